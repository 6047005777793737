//! Bodies pass byte for byte.

use bytes::Bytes;
use http::Response;
use http_body_util::Full;

use crate::client::Client;
use crate::toy::{Seen, Toy};
use crate::world::World;

const GZIP: &[u8] = b"\x1f\x8b\x08\0\0\0\0\0\0\x03\xcbH\xcd\xc9\xc9\x07\0\x86\xa6\x106\x05\0\0\0";

/// Status, content type, other headers, body.
type Case = (u16, &'static str, Vec<(&'static str, &'static str)>, Bytes);

#[tokio::test]
async fn nothing_of_an_answer_is_rewritten() {
    let page: Bytes = Bytes::from_static(
        b"<!doctype html><head lang=en></head><a href=/login>run GET /ws</a> https://github.com/login",
    );
    let cases: Vec<Case> = vec![
        (200, "text/html", vec![("etag", "\"1\"")], page.clone()),
        (200, "text/html; charset=gbk", vec![], Bytes::from_static(b"\xc4\xe3\xba\xc3 /login")),
        (200, "application/javascript", vec![("content-encoding", "gzip")], Bytes::from_static(GZIP)),
        (200, "application/json", vec![("vary", "Cookie")], Bytes::from_static(b"{\"u\":\"/api/x\"}")),
        (206, "text/html", vec![("content-range", "bytes 0-3/9")], Bytes::from_static(b"<hea")),
        (304, "text/html", vec![("etag", "\"1\"")], Bytes::new()),
        (200, "application/octet-stream", vec![], (0..=255u8).cycle().take(300_000).collect()),
    ];
    let answers = cases.clone();
    let toy = Toy::start(move |seen: &Seen| {
        let index: usize = seen.target.trim_start_matches('/').parse().unwrap();
        let (status, content_type, headers, body) = &answers[index];
        let mut response = Response::builder().status(*status).header("content-type", *content_type);
        for (name, value) in headers {
            response = response.header(*name, *value);
        }
        response.body(Full::new(body.clone())).unwrap()
    })
    .await;
    let world = World::new(&toy, &[]).await;
    let mut through = Client::connect(world.address).await;
    let mut direct = Client::connect(toy.address).await;
    for (index, (status, ..)) in cases.iter().enumerate() {
        for method in ["GET", "HEAD"] {
            let ours = through.send(method, &format!("/owner/{index}"), &[], "").await;
            let theirs = direct.send(method, &format!("/{index}"), &[], "").await;
            assert_eq!((ours.status.as_u16(), &ours.body), (*status, &theirs.body), "{index} {method}");
            let mut headers = ours.headers.clone();
            headers.remove("x-request-id");
            headers.remove("date");
            let mut expected = theirs.headers.clone();
            expected.remove("date");
            assert_eq!(headers, expected, "{index} {method}");
        }
    }
}

#[tokio::test]
async fn uploads_arrive_whole_with_their_framing() {
    let toy = Toy::hello("ok").await;
    let world = World::new(&toy, &[]).await;
    let body: Bytes = (0..=255u8).cycle().take(3_000_000).collect();
    let mut client = Client::connect(world.address).await;
    assert_eq!(client.send("PUT", "/owner/x", &[], body.clone()).await.status, 200);
    let seen = toy.last();
    assert_eq!((seen.header("content-length"), seen.body.clone()), (Some("3000000"), body));

    let chunked = "POST /owner/y HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n\
                   5\r\nhello\r\n6;ext=1\r\n world\r\n0\r\n\r\n";
    assert!(crate::client::raw(world.address, chunked).await.starts_with("HTTP/1.1 200"));
    let seen = toy.last();
    assert_eq!(
        (seen.header("transfer-encoding"), seen.header("content-length"), seen.body.as_ref()),
        (Some("chunked"), None, b"hello world".as_ref())
    );
}

#[tokio::test]
async fn an_upload_over_the_limit_is_refused_however_it_is_framed() {
    let toy = Toy::hello("ok").await;
    let world = World::with(&toy, &[], |settings| settings.limits.tenant.body = 10).await;
    let mut client = Client::connect(world.address).await;
    assert_eq!(client.send("POST", "/owner/", &[], "0123456789").await.status, 200);
    assert_eq!(client.send("POST", "/owner/", &[], "0123456789a").await.status, 413);
    let chunked = "POST /owner/ HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n\
                   b\r\n0123456789a\r\n0\r\n\r\n";
    let answer = crate::client::raw(world.address, chunked).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
}
