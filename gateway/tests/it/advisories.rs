//! Defects that proxies of this kind had, tried here. Each test names the advisory of the RustSec database; the
//! three of 2026 (upgrades, HTTP/1.0 with codings, cached answers) are tried by their subject.

use http::Response;
use http_body_util::Full;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::client::{get, raw, read_until};
use crate::recorder::Recorder;
use crate::toy::{Seen, Toy};
use crate::websockets::HANDSHAKE;
use crate::world::World;

/// Whoever takes it for a request closes after it.
const EVIL: &str = "GET /owner/evil HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n";

#[tokio::test]
async fn rustsec_2021_0078_a_length_with_a_sign() {
    let toy = Toy::hello("ok").await;
    let world = World::new(&toy, &[]).await;
    for length in ["+3", "3 ", " +3", "-3", "3,3", ""] {
        let head = format!("POST /owner/x HTTP/1.1\r\nhost: h\r\ncontent-length:{length}\r\n\r\nabc{EVIL}");
        let answer = raw(world.address, head).await;
        let is_plain = length.trim() == "3";
        assert_eq!(answer.starts_with("HTTP/1.1 400 "), !is_plain, "{length:?}: {answer}");
        let first = toy.take().first().map(|seen| (seen.target.clone(), seen.body.clone()));
        assert_eq!(first, is_plain.then(|| ("/x".to_owned(), "abc".into())), "{length:?}");
    }
}

#[tokio::test]
async fn rustsec_2021_0079_a_chunk_longer_than_any_number() {
    let toy = Toy::hello("ok").await;
    let world = World::new(&toy, &[]).await;
    for size in ["10000000000000003", "f0000000000000003", "ffffffffffffffffffffffffffffffff3"] {
        let head = "POST /owner/x HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n";
        raw(world.address, format!("{head}{size}\r\nabc\r\n0\r\n\r\n{EVIL}")).await;
        let seen = toy.take();
        assert!(seen.iter().all(|seen| seen.target == "/x" && seen.body.is_empty()), "{size}: {seen:?}");
    }
}

/// Frames of HTTP/2 are no requests here, however many there are.
#[tokio::test]
async fn rustsec_2024_0332_a_flood_of_continuations() {
    let toy = Toy::hello("ok").await;
    let world = World::new(&toy, &[]).await;
    let mut stream = TcpStream::connect(world.address).await.unwrap();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    let continuation = [&[0, 0, 8, 9, 0, 0, 0, 0, 1][..], &[0x40; 8]].concat();
    let mut sent = 0;
    while sent < 100_000 && stream.write_all(&continuation).await.is_ok() {
        sent += 1;
        if stream.try_read(&mut [0; 1024]).is_ok_and(|len| len == 0) {
            break;
        }
    }
    assert!(sent < 100_000, "nobody hung up");
    assert_eq!(toy.targets(), Vec::<String>::new());
}

/// What is left of a body after an early answer is no request, whoever gave the answer.
#[tokio::test]
async fn rustsec_2025_0037_a_body_that_nobody_read() {
    let owner = Toy::hello("ok").await;
    let world = World::new(&owner, &[]).await;
    let recorder = Recorder::start().await;
    world.write_registry(&json!([world.record("trial1", "", recorder.port())]).to_string());
    world.admin("POST", "/reload").await;
    for path in ["/nobody/x", "/trial1/x", "/"] {
        let mut stream = TcpStream::connect(world.address).await.unwrap();
        let length = EVIL.len();
        let head = format!("POST {path} HTTP/1.1\r\nhost: h\r\ncontent-length: {length}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        // The answer is there before the body.
        read_until(&mut stream, "HTTP/1.1 ").await;
        stream.write_all(EVIL.as_bytes()).await.unwrap();
        stream.write_all(b"GET /owner/next HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n").await.unwrap();
        let _ = stream.read_to_end(&mut Vec::new()).await;
        let seen = owner.targets();
        assert!(seen.is_empty() || seen == ["GET /next"], "{path}: {seen:?}");
        let sent = recorder.take();
        assert!(!sent.contains("/evil HTTP") || sent.contains(EVIL), "{path}: {sent}");
        assert!(sent.matches("x-forwarded-for").count() <= 1, "{path}: {sent}");
    }
}

/// Bytes after a handshake stay here until the instance has switched.
#[tokio::test]
async fn rustsec_2026_upgrades_pass_nothing_before_the_instance_agreed() {
    let instance = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let owner = Toy::hello("owner").await;
    let world = World::new(&owner, &[]).await;
    let port = instance.local_addr().unwrap().port();
    world.write_registry(&json!([world.record("trial1", "", port)]).to_string());
    world.admin("POST", "/reload").await;
    let mut client = TcpStream::connect(world.address).await.unwrap();
    let pipelined = "GET /owner/next HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n";
    client.write_all(format!("{HANDSHAKE}{pipelined}").as_bytes()).await.unwrap();
    let (mut stream, _) = instance.accept().await.unwrap();
    let mut seen = read_until(&mut stream, "\r\n\r\n").await;
    stream.write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno").await.unwrap();
    // The answer is over, so whatever was to come would have come before it.
    let answers = read_until(&mut client, "\r\n\r\nowner").await;
    assert!(answers.starts_with("HTTP/1.1 403 ") && answers.contains("HTTP/1.1 200 "), "{answers}");
    assert_eq!(owner.targets(), ["GET /next"]);
    drop(client);
    stream.read_to_string(&mut seen).await.unwrap();
    assert_eq!(seen.matches("HTTP/1.1").count(), 1, "{seen}");
}

#[tokio::test]
async fn rustsec_2026_codings_have_one_reading_in_either_version() {
    let toy = Toy::hello("ok").await;
    let world = World::new(&toy, &[]).await;
    for (version, codings) in [
        ("1.0", "transfer-encoding: chunked\r\n"),
        ("1.0", "transfer-encoding: chunked\r\ncontent-length: 3\r\n"),
        ("1.1", "transfer-encoding: identity, chunked\r\n"),
        ("1.1", "transfer-encoding: chunked, identity\r\n"),
        ("1.1", "transfer-encoding: chunked, chunked\r\n"),
        ("1.1", "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n"),
        ("1.1", "content-length: 3\r\ntransfer-encoding: chunked\r\n"),
        ("1.1", "transfer-encoding: chunked;q=1\r\n"),
    ] {
        let head =
            format!("POST /owner/x HTTP/{version}\r\nhost: h\r\nconnection: keep-alive\r\n{codings}\r\n");
        let answer = raw(world.address, format!("{head}0\r\n\r\n{EVIL}")).await;
        assert!(answer.contains(" 400 ") && answer.matches("HTTP/1.").count() == 1, "{codings}: {answer}");
        assert_eq!(toy.targets(), Vec::<String>::new(), "{codings}");
    }
}

/// Nothing is kept, so no answer can be given to another.
#[tokio::test]
async fn rustsec_2026_no_answer_crosses_hosts() {
    let named = |seen: &Seen| {
        let body = format!("{} {}", seen.header("x-forwarded-host").unwrap(), seen.target);
        Response::builder().header("cache-control", "public, max-age=3600").body(Full::from(body)).unwrap()
    };
    let toys = [Toy::start(named).await, Toy::start(named).await];
    let world = World::new(&toys[0], &[("trial1", "a.example", &toys[1])]).await;
    for _ in 0..2 {
        for (host, path, text) in [
            ("a.example", "/x", "a.example /x"),
            ("b.example", "/owner/x", "b.example /x"),
            ("b.example", "/trial1/x", "b.example /x"),
            ("c.example", "/trial1/x", "c.example /x"),
        ] {
            assert_eq!(get(world.address, path, &[("host", host)]).await.text(), text);
        }
    }
    assert_eq!(toys.map(|toy| toy.take().len()), [2, 6]);
}
