//! Answers that are packed on their way.

use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use remotelab_gateway::compression::Compression;

use crate::client::get;
use crate::foreign::unpack;
use crate::toy::{Seen, Toy};
use crate::world::World;

const COOKIE: (&str, &str) = ("cookie", "owner__session_token=a");

fn script(seen: &Seen) -> Response<Full<Bytes>> {
    let same = seen.header("if-none-match") == Some("\"v1\"");
    Response::builder()
        .status(if same { 304 } else { 200 })
        .header("content-type", if seen.target == "/page" { "text/html" } else { "text/javascript" })
        .header("cache-control", if seen.target == "/secret" { "private" } else { "no-cache" })
        .header("etag", "\"v1\"")
        .header("accept-ranges", "bytes")
        .header("vary", "Cookie")
        .body(Full::from(if same { String::new() } else { long() }))
        .unwrap()
}

fn long() -> String {
    "let x = 1; ".repeat(200)
}

#[tokio::test]
async fn what_is_the_same_for_everybody_leaves_packed() {
    let toy = Toy::start(script).await;
    let world = World::new(&toy, &[]).await;
    for (accept, coding) in [("gzip, deflate", "gzip"), ("gzip, br", "br"), ("gzip, br, zstd", "zstd")] {
        let got = get(world.address, "/owner/x.js", &[COOKIE, ("accept-encoding", accept)]).await;
        assert_eq!(got.header("content-encoding"), Some(coding));
        assert_eq!(got.header("etag"), Some("W/\"v1~p1s\""));
        assert_eq!(got.all("vary"), ["Cookie", "Accept-Encoding"]);
        assert_eq!((got.header("content-length"), got.header("accept-ranges")), (None, None));
        assert!(got.body.len() < 200);
        assert_eq!(unpack(coding, &got.body).await, long().as_bytes());
        // The instance hears what the client takes, and may pack better itself.
        assert_eq!(toy.last().header("accept-encoding"), Some(accept));
    }
    let plain = get(world.address, "/owner/x.js", &[]).await;
    assert_eq!((plain.text(), plain.header("etag")), (long().as_str(), Some("\"v1\"")));
    assert_eq!(plain.all("vary"), ["Cookie", "Accept-Encoding"]);
    let gzip = ("accept-encoding", "gzip");
    let again = get(world.address, "/owner/x.js", &[gzip, ("if-none-match", "W/\"v1~p1s\"")]).await;
    assert_eq!((again.status.as_u16(), again.header("etag")), (304, Some("W/\"v1~p1s\"")));
}

#[tokio::test]
async fn secrets_beside_what_was_asked_are_packed_only_when_that_is_wanted() {
    for (compression, packed) in [(Compression::Public, false), (Compression::All, true)] {
        let toy = Toy::start(script).await;
        let world = World::with(&toy, &[], |settings| settings.compression = compression).await;
        let gzip = ("accept-encoding", "gzip");
        for (path, headers) in [("/owner/page", &[COOKIE, gzip][..]), ("/owner/secret", &[gzip])] {
            let got = get(world.address, path, headers).await;
            assert_eq!(got.header("content-encoding").is_some(), packed, "{path}");
        }
        let public = get(world.address, "/owner/page", &[gzip]).await;
        assert_eq!(public.header("content-encoding"), Some("gzip"));
    }
    let toy = Toy::start(script).await;
    let world = World::with(&toy, &[], |settings| settings.compression = Compression::Off).await;
    let got = get(world.address, "/owner/x.js", &[("accept-encoding", "gzip")]).await;
    assert_eq!((got.text(), got.header("content-encoding")), (long().as_str(), None));
}
