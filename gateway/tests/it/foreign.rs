//! Programs that do not know their prefix.

use std::time::Duration;

use async_compression::tokio::bufread::{
    BrotliDecoder, BrotliEncoder, GzipDecoder, GzipEncoder, ZstdDecoder, ZstdEncoder,
};
use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use remotelab_gateway::route::build::Service;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::client::{Client, get, read_until};
use crate::toy::{Seen, Toy};
use crate::world::World;

const PAGE: &str = "<html><HEAD lang=en><link rel=stylesheet href=/app.css></HEAD><a href='/x'>/x</a></html>";
const CHANGED: &str = "<html><HEAD lang=en><base href=\"/wiki/\"><link rel=stylesheet href=\"/wiki/app.css\"></HEAD><a href=\"/wiki/x\">/x</a></html>";

/// A gateway before an owner and a foreign program at `/wiki`.
async fn before(wiki: &Toy) -> World {
    let owner = Toy::hello("owner").await;
    World::with(&owner, &[("guest", "", wiki)], |settings| {
        settings.services = vec![Service {
            name: "wiki".into(),
            port: wiki.port(),
            hosts: vec!["wiki.example".into()],
            foreign: true,
        }];
    })
    .await
}

fn page(kind: &'static str, body: &'static str) -> impl Fn(&Seen) -> Response<Full<Bytes>> {
    move |_| {
        Response::builder()
            .header("content-type", kind)
            .header("etag", "\"v1\"")
            .header("digest", "x")
            .header("x-remotelab-base", "native")
            .header("location", "/wiki/x")
            .body(Full::from(body))
            .unwrap()
    }
}

#[tokio::test]
async fn pages_and_styles_get_the_prefix_and_scripts_do_not() {
    for (kind, body, changed) in [
        ("text/html", PAGE, CHANGED),
        ("text/css;charset=utf-8", "a{b:url(/x)}", "a{b:url(/wiki/x)}"),
        ("application/manifest+json", "{\"start_url\":\"/\"}", "{\"start_url\":\"/wiki/\"}"),
    ] {
        let wiki = Toy::start(page(kind, body)).await;
        let world = before(&wiki).await;
        let got = get(world.address, "/wiki/", &[]).await;
        assert_eq!(got.text(), changed);
        assert_eq!(got.header("etag"), Some("W/\"v1~r1s\""));
        assert_eq!((got.header("content-length"), got.header("digest")), (None, None));
        // It may say what it likes: the flag of our own is not its to give.
        assert_eq!(got.header("location"), Some("/wiki/x"));
        assert_eq!(wiki.last().header("x-remotelab-gateway"), None);
        let own_host = get(world.address, "/", &[("host", "wiki.example")]).await;
        assert_eq!((own_host.text(), own_host.header("etag")), (body, Some("\"v1\"")));
    }
    for kind in ["text/javascript", "application/json", "text/html; charset=utf-16", "image/svg+xml"] {
        let wiki = Toy::start(page(kind, PAGE)).await;
        let world = before(&wiki).await;
        let got = get(world.address, "/wiki/", &[]).await;
        assert_eq!((got.text(), got.header("etag")), (PAGE, Some("\"v1\"")), "{kind}");
    }
}

#[tokio::test]
async fn only_the_page_at_the_prefix_itself_is_told_of_it() {
    let wiki = Toy::start(page("text/html", PAGE)).await;
    let world = before(&wiki).await;
    let told = |text: &str| text.contains("<base");
    assert!(told(get(world.address, "/wiki/", &[]).await.text()));
    assert!(!told(get(world.address, "/wiki/deep/page", &[]).await.text()));
    assert!(!told(get(world.address, "/wiki/?a#b", &[]).await.text()));
}

#[tokio::test]
async fn a_guest_is_foreign_when_its_record_says_so() {
    let guest = Toy::start(page("text/html", PAGE)).await;
    let owner = Toy::hello("owner").await;
    let world = World::new(&owner, &[("trial1", "", &guest)]).await;
    assert_eq!(get(world.address, "/trial1/", &[]).await.text(), PAGE);
    let mut record = world.record("trial1", "", guest.port());
    record["kind"] = "foreign".into();
    world.write_registry(&json!([record]).to_string());
    world.admin("POST", "/reload").await;
    let got = get(world.address, "/trial1/", &[]).await;
    assert_eq!(got.text(), CHANGED.replace("/wiki/", "/trial1/"));
    let (_, routes) = world.admin("GET", "/routes").await;
    assert_eq!(routes["routes"][1]["foreign"], true);
}

#[tokio::test]
async fn tags_come_back_as_the_program_gave_them() {
    let wiki = Toy::start(|seen| {
        let same = seen.header("if-none-match").is_some_and(|tags| tags.contains("\"v1\""));
        let response = Response::builder().header("etag", "\"v1\"").header("content-type", "text/html");
        response.status(if same { 304 } else { 200 }).body(Full::from(if same { "" } else { PAGE })).unwrap()
    })
    .await;
    let world = before(&wiki).await;
    let first = get(world.address, "/wiki/", &[]).await;
    let tag = first.header("etag").unwrap().to_owned();
    let again = get(world.address, "/wiki/", &[("if-none-match", &format!("\"x\", {tag}"))]).await;
    assert_eq!((again.status.as_u16(), again.header("etag")), (304, Some(tag.as_str())));
    assert_eq!(wiki.last().header("if-none-match"), Some("\"x\", \"v1\""));
    let mut client = Client::connect(world.address).await;
    let length = PAGE.len().to_string();
    let head = client.send("HEAD", "/wiki/", &[], "").await;
    assert_eq!((head.header("etag"), head.header("content-length")), (Some("\"v1\""), Some(length.as_str())));
}

#[tokio::test]
async fn what_came_packed_leaves_packed() {
    let world_of = |coding: &'static str, packed: Vec<u8>| async move {
        let wiki = Toy::start(move |_| {
            Response::builder()
                .header("content-type", "text/html")
                .header("content-encoding", coding)
                .body(Full::from(packed.clone()))
                .unwrap()
        })
        .await;
        (before(&wiki).await, wiki)
    };
    for coding in ["gzip", "br", "zstd"] {
        let (world, _wiki) = world_of(coding, pack(coding, PAGE.as_bytes()).await).await;
        let got = get(world.address, "/wiki/", &[("accept-encoding", coding)]).await;
        assert_eq!(got.header("content-encoding"), Some(coding));
        assert_eq!(unpack(coding, &got.body).await, CHANGED.as_bytes());
    }
    let (world, _wiki) = world_of("compress", PAGE.into()).await;
    assert_eq!(get(world.address, "/wiki/", &[]).await.text(), PAGE);
}

/// Much in little: what is read of it at a time is bounded, and so is what a client leaves unread.
#[tokio::test]
async fn a_body_that_grows_without_end_is_read_as_it_is_taken() {
    let mut page = b"<p>".to_vec();
    page.resize(16 << 20, b' ');
    let packed = pack("gzip", &page).await;
    assert!(packed.len() < 1 << 20);
    let wiki = Toy::start(move |_| {
        Response::builder()
            .header("content-type", "text/html")
            .header("content-encoding", "gzip")
            .body(Full::from(packed.clone()))
            .unwrap()
    })
    .await;
    let world = before(&wiki).await;
    let got = get(world.address, "/wiki/", &[("accept-encoding", "gzip")]).await;
    assert_eq!(unpack("gzip", &got.body).await.len(), page.len());
}

/// A page that the program goes on with later is shown so far.
#[tokio::test]
async fn what_is_there_is_shown() {
    for coding in [None, Some("gzip")] {
        let instance = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let owner = Toy::hello("owner").await;
        let port = instance.local_addr().unwrap().port();
        let world = World::with(&owner, &[], |settings| {
            settings.services = vec![Service { name: "wiki".into(), port, hosts: vec![], foreign: true }];
        })
        .await;
        let mut client = TcpStream::connect(world.address).await.unwrap();
        let accept = coding.unwrap_or("identity");
        let request = format!("GET /wiki/ HTTP/1.1\r\nhost: h\r\naccept-encoding: {accept}\r\n\r\n");
        client.write_all(request.as_bytes()).await.unwrap();
        let (mut wiki, _) = instance.accept().await.unwrap();
        read_until(&mut wiki, "\r\n\r\n").await;
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ntransfer-encoding: chunked\r\n\r\n";
        wiki.write_all(format!("{head}d\r\n<a href=/x>on\r\n").as_bytes()).await.unwrap();
        let shown = tokio::time::timeout(Duration::from_secs(10), async {
            match coding {
                None => read_until(&mut client, "<a href=\"/wiki/x\">on").await,
                // The head, the size of a chunk, the beginning of a packed body.
                Some(_) => {
                    let mut seen = Vec::new();
                    while !seen.windows(2).any(|at| at == [0x1f, 0x8b]) {
                        assert!(client.read_buf(&mut seen).await.unwrap() > 0);
                    }
                    String::from_utf8_lossy(&seen).into_owned()
                }
            }
        });
        let shown = shown.await.expect("it is shown before it is whole");
        assert_eq!(shown.contains("content-encoding: gzip"), coding.is_some(), "{shown}");
    }
}

async fn pack(coding: &str, plain: &[u8]) -> Vec<u8> {
    let mut packed = Vec::new();
    match coding {
        "gzip" => GzipEncoder::new(plain).read_to_end(&mut packed).await,
        "br" => BrotliEncoder::new(plain).read_to_end(&mut packed).await,
        _ => ZstdEncoder::new(plain).read_to_end(&mut packed).await,
    }
    .unwrap();
    packed
}

pub(crate) async fn unpack(coding: &str, packed: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    match coding {
        "gzip" => GzipDecoder::new(packed).read_to_end(&mut plain).await,
        "br" => BrotliDecoder::new(packed).read_to_end(&mut plain).await,
        _ => ZstdDecoder::new(packed).read_to_end(&mut plain).await,
    }
    .unwrap();
    plain
}
