//! Bytes that mean harm.

use std::net::SocketAddr;

use proptest::test_runner::{RngAlgorithm, TestRng};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::client::{get, raw};
use crate::toy::Toy;
use crate::world::World;

/// A smuggled request would show as `/evil` at the instance.
#[tokio::test]
async fn the_instance_sees_at_most_the_first_request_and_never_a_hidden_one() {
    let toy = Toy::hello("ok").await;
    let world = World::new(&toy, &[]).await;
    let evil = "GET /evil HTTP/1.1\r\nhost: h\r\n\r\n";
    let len = evil.len();
    for (name, head, body) in [
        (
            "CL.TE",
            format!("content-length: {}\r\ntransfer-encoding: chunked\r\n", 5 + len),
            format!("0\r\n\r\n{evil}"),
        ),
        (
            "TE.CL",
            "transfer-encoding: chunked\r\ncontent-length: 4\r\n".into(),
            format!("{len:x}\r\n{evil}\r\n0\r\n\r\n"),
        ),
        (
            "TE.TE",
            "transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n".into(),
            format!("0\r\n\r\n{evil}"),
        ),
        ("odd TE", "transfer-encoding: xchunked\r\ncontent-length: 0\r\n".into(), evil.to_owned()),
        ("listed TE", "transfer-encoding: gzip, chunked\r\n".into(), format!("0\r\n\r\n{evil}")),
        ("two CL", format!("content-length: 0\r\ncontent-length: {len}\r\n"), evil.to_owned()),
        ("CL list", format!("content-length: {len}, 0\r\n"), evil.to_owned()),
        ("CL plus", format!("content-length: +{len}\r\n"), evil.to_owned()),
        ("CL minus", "content-length: -1\r\n".into(), evil.to_owned()),
        ("huge chunk", "transfer-encoding: chunked\r\n".into(), format!("fffffffffffffffff\r\n{evil}")),
        ("bad chunk", "transfer-encoding: chunked\r\n".into(), format!("zz\r\n{evil}")),
        ("obs-fold", format!("x: a\r\n content-length: 0\r\ncontent-length: {len}\r\n"), evil.to_owned()),
        ("space before colon", format!("content-length : 0\r\ncontent-length: {len}\r\n"), evil.to_owned()),
        ("NUL", "x: a\0b\r\ncontent-length: 0\r\n".into(), String::new()),
        ("bare LF", format!("content-length: {len}\n"), evil.to_owned()),
    ] {
        let request =
            format!("POST /owner/first HTTP/1.1\r\nhost: h\r\nconnection: close\r\n{head}\r\n{body}");
        let answer = raw(world.address, request).await;
        let seen = toy.targets();
        assert!(seen.is_empty() || seen == ["POST /first"], "{name}: {seen:?}");
        assert!(answer.starts_with("HTTP/1.1 400 "), "{name}: {answer}");
    }
}

#[tokio::test]
async fn a_length_cannot_be_hidden_from_the_instance() {
    let toy = Toy::hello("ok").await;
    let world = World::new(&toy, &[]).await;
    let evil = "GET /evil HTTP/1.1\r\nhost: h\r\n\r\n";
    let request = format!(
        "POST /owner/first HTTP/1.1\r\nhost: h\r\nconnection: close, content-length\r\ncontent-length: {}\r\n\r\n{evil}",
        evil.len()
    );
    assert!(raw(world.address, request).await.starts_with("HTTP/1.1 200 "));
    let seen = toy.take();
    assert_eq!(seen.len(), 1);
    assert_eq!((seen[0].target.as_str(), seen[0].body.as_ref()), ("/first", evil.as_bytes()));
}

#[tokio::test]
async fn malformed_requests_are_refused_and_never_seen() {
    let toy = Toy::hello("ok").await;
    let world = World::new(&toy, &[]).await;
    let long = format!("GET /owner/{} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n", "a".repeat(9_000));
    let many = format!("GET /owner/ HTTP/1.1\r\nhost: h\r\n{}\r\n", "x: y\r\n".repeat(101));
    let fat = format!("GET /owner/ HTTP/1.1\r\nhost: h\r\nx: {}\r\n\r\n", "y".repeat(40_000));
    for (request, status) in [
        ("GET // HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n", 400),
        ("GET http://[/x HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n", 400),
        ("GET http://other/owner/ HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n", 400),
        ("GET /owner/../x HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n", 400),
        ("GET /owner/ HTTP/1.1\r\nconnection: close\r\n\r\n", 400),
        ("GET /owner/ HTTP/1.1\r\nhost: a\r\nhost: b\r\nconnection: close\r\n\r\n", 400),
        ("GET /owner/ HTTP/1.1\r\nhost: a b\r\nconnection: close\r\n\r\n", 400),
        ("TRACE /owner/ HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n", 405),
        ("CONNECT h:1 HTTP/1.1\r\nhost: h:1\r\nconnection: close\r\n\r\n", 405),
        ("OPTIONS * HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n", 204),
        ("GET /ow\u{1}ner/ HTTP/1.1\r\nhost: h\r\n\r\n", 400),
        ("GET /owner/#x HTTP/1.1\r\nhost: h\r\n\r\n", 400),
        ("GET /owner/ HTTP/1.1\nhost: h\n\n", 400),
        ("nonsense\r\n\r\n", 400),
        (long.as_str(), 414),
        (many.as_str(), 431),
        (fat.as_str(), 431),
    ] {
        let answer = raw(world.address, request).await;
        let expected = format!("HTTP/1.1 {status} ");
        assert!(answer.starts_with(&expected), "{request:.60}: {answer:.60}");
    }
    assert_eq!(toy.targets(), Vec::<String>::new());
}

#[tokio::test]
async fn an_upgrade_that_is_not_one_leads_into_no_tunnel() {
    let toy = Toy::hello("ok").await;
    let world = World::new(&toy, &[]).await;
    let pipelined = "GET /owner/second HTTP/1.1\r\nhost: h\r\ncookie: session_token=stolen\r\n\
                     x-forwarded-for: 6.6.6.6\r\nconnection: close\r\n\r\n";
    for upgrade in [
        "connection: upgrade\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAARAAAAAAAIAAAAA\r\n",
        "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n",
        "connection: upgrade\r\nupgrade: websocket\r\n",
    ] {
        let request = format!("GET /owner/first HTTP/1.1\r\nhost: h\r\n{upgrade}\r\n{pipelined}");
        let answer = raw(world.address, request).await;
        assert_eq!(answer.matches("HTTP/1.1 200").count(), 2, "{answer}");
        let seen = toy.take();
        assert_eq!(seen[1].target, "/second");
        assert_eq!(seen[1].header("cookie"), None);
        assert_eq!(seen[1].header("x-forwarded-for"), Some("127.0.0.1"));
    }
}

#[tokio::test]
async fn random_bytes_harm_nobody() {
    let toy = Toy::hello("ok").await;
    let world = World::new(&toy, &[]).await;
    let mut random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut streams = tokio::task::JoinSet::new();
    for round in 0..200 {
        let mut bytes = vec![0; 8192];
        rand::Rng::fill_bytes(&mut random, &mut bytes);
        if round % 2 == 0 {
            bytes.splice(0..0, *b"GET /owner/ HTTP/1.1\r\nhost: h\r\n");
        }
        let address = world.address;
        streams.spawn(async move {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let _ = stream.write_all(&bytes).await;
            let _ = stream.shutdown().await;
            let _ = stream.read_to_end(&mut Vec::new()).await;
        });
    }
    while streams.join_next().await.is_some() {}
    assert_eq!(get(world.address, "/owner/", &[]).await.text(), "ok");
}

/// The answer of an instance that refuses an upload and resets the connection still gets to the client.
#[tokio::test]
async fn an_early_answer_outlives_the_upload() {
    let address = refuser().await;
    let owner = Toy::hello("owner").await;
    let world = World::new(&owner, &[]).await;
    world.write_registry(&format!("[{}]", world.record("trial1", "", address.port())));
    world.admin("POST", "/reload").await;
    for round in 0..50 {
        let mut stream = TcpStream::connect(world.address).await.unwrap();
        let head = "POST /trial1/up HTTP/1.1\r\nhost: h\r\ncontent-length: 800000\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        // The answer may come before the last byte.
        let _ = stream.write_all(&vec![b'x'; 800_000]).await;
        let answer = crate::client::read_until(&mut stream, "too big").await;
        assert!(answer.starts_with("HTTP/1.1 413 "), "round {round}: {answer}");
    }
    assert_eq!(get(world.address, "/owner/", &[]).await.text(), "owner");
}

/// Reads only a little of each request, answers 413 and closes with unread bytes, which resets.
async fn refuser() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let _ = stream.read(&mut [0; 512]).await;
                let answer =
                    "HTTP/1.1 413 Payload Too Large\r\ncontent-length: 7\r\nconnection: close\r\n\r\ntoo big";
                let _ = stream.write_all(answer.as_bytes()).await;
            });
        }
    });
    address
}
