//! What an instance gets, byte for byte.

use serde_json::json;

use crate::client::raw;
use crate::recorder::Recorder;
use crate::toy::Toy;
use crate::world::{World, eventually};

const EVIL: &str = "GET /trial1/evil HTTP/1.1\r\nhost: h\r\n\r\n";

#[tokio::test]
async fn what_is_ambiguous_is_not_sent_at_all() {
    let (world, recorder) = recorded().await;
    for (name, head) in [
        ("CL.TE", "content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
        ("TE.CL", "transfer-encoding: chunked\r\ncontent-length: 4\r\n\r\n2\r\nab\r\n0\r\n\r\n"),
        ("TE.TE", "transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n\r\n0\r\n\r\n"),
        ("TE with a tab", "transfer-encoding:\tchunked, identity\r\n\r\n0\r\n\r\n"),
        ("vertical tab", "transfer-encoding: \u{b}chunked\r\n\r\n0\r\n\r\n"),
        ("two lengths", "content-length: 0\r\ncontent-length: 0\r\n\r\n"),
        ("a sign", "content-length: +5\r\n\r\nabcde"),
        ("hex", "content-length: 0x5\r\n\r\nabcde"),
        ("too long a length", "content-length: 18446744073709551616\r\n\r\n"),
        ("obs-fold", "x: a\r\n b\r\n\r\n"),
        ("bare LF", "x: a\nb: c\r\n\r\n"),
        ("bare CR", "x: a\rcontent-length: 5\r\n\r\nabcde"),
        ("space before colon", "content-length : 5\r\n\r\nabcde"),
        ("no name", ": x\r\n\r\n"),
    ] {
        let request = format!("POST /trial1/first HTTP/1.1\r\nhost: h\r\n{head}{EVIL}");
        let answer = raw(world.address, request).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{name}: {answer}");
        assert_eq!(answer.matches("HTTP/1.").count(), 1, "{name}: {answer}");
        assert_eq!(recorder.take(), "", "{name}");
    }
    for (name, request) in [
        ("HTTP/1.0 and chunks", "POST /trial1/x HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
        ("another authority", "GET http://other/trial1/x HTTP/1.1\r\nhost: h\r\n\r\n"),
        ("two slashes", "GET //trial1/x HTTP/1.1\r\nhost: h\r\n\r\n"),
        ("no version", "GET /trial1/x\r\n\r\n"),
        ("a strange version", "GET /trial1/x HTTP/1.2\r\nhost: h\r\n\r\n"),
        ("two spaces", "GET  /trial1/x HTTP/1.1\r\nhost: h\r\n\r\n"),
    ] {
        let answer = raw(world.address, format!("{request}{}", "connection: close\r\n\r\n")).await;
        assert!(
            answer.starts_with("HTTP/1.1 400 ") || answer.starts_with("HTTP/1.0 400 "),
            "{name}: {answer}"
        );
        assert_eq!(recorder.take(), "", "{name}");
    }
}

/// Its head may have left before the chunk came that is none; what comes after that one never does.
#[tokio::test]
async fn nothing_after_a_broken_chunk_is_sent() {
    let (world, recorder) = recorded().await;
    for chunk in [
        "10000000000000000\r\n",
        "fffffffffffffffff\r\n",
        "-1\r\n",
        "0x1\r\n",
        "1 \n",
        "3\r\nabcd\r\n",
        "0\r\nx\r\n\r\n",
    ] {
        let head = "POST /trial1/first HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n";
        let answer = raw(world.address, format!("{head}{chunk}{EVIL}")).await;
        assert!(answer.matches("HTTP/1.1 ").count() <= 1, "{chunk:?}: {answer}");
        let seen = recorder.take();
        assert!(!seen.contains("evil") && seen.matches("HTTP/1.1").count() <= 1, "{chunk:?}: {seen}");
    }
}

#[tokio::test]
async fn what_is_in_order_is_sent_in_one_reading() {
    let (world, recorder) = recorded().await;
    for (request, line, length) in [
        ("POST /trial1/x HTTP/1.0\r\ncontent-length: 5\r\n\r\nabcde", "POST /x HTTP/1.1", Some("abcde")),
        (
            "GET http://h/trial1/x?y HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n",
            "GET /x?y HTTP/1.1",
            None,
        ),
        ("GET /trial1//x HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n", "GET //x HTTP/1.1", None),
        (
            "GET /trial1/x HTTP/1.1\r\nhost: h\r\nconnection: close, upgrade\r\nupgrade: h2c\r\n\r\n",
            "GET /x HTTP/1.1",
            None,
        ),
    ] {
        let answer = raw(world.address, request).await;
        assert!(answer.contains(" 200 ") && answer.ends_with("ok"), "{answer}");
        let body = length.unwrap_or_default();
        let mut seen = String::new();
        eventually("the body is there", || {
            seen.push_str(&recorder.take());
            let there = seen.ends_with(&format!("\r\n\r\n{body}"));
            async move { there }
        })
        .await;
        assert!(seen.starts_with(&format!("{line}\r\n")), "{seen}");
        let fields = seen.to_ascii_lowercase();
        let lengths = fields.matches("\r\ncontent-length: 5\r\n").count();
        assert_eq!(lengths, usize::from(length.is_some()), "{seen}");
        assert!(!fields.contains("transfer-encoding") && !fields.contains("upgrade"), "{seen}");
    }
}

async fn recorded() -> (World, Recorder) {
    let owner = Toy::hello("owner").await;
    let world = World::new(&owner, &[]).await;
    let recorder = Recorder::start().await;
    world.write_registry(&json!([world.record("trial1", "", recorder.port())]).to_string());
    world.admin("POST", "/reload").await;
    (world, recorder)
}
