//! Bodies that come slowly keep nobody else out.

use reqwest::{Method, StatusCode};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::world::{ECHO, PATIENCE, World};

const BOUNDARY: &str = "Content-Type: multipart/form-data; boundary=b";

/// Begins a message and returns when the server waits for its body.
async fn begin(world: &World, session: &str, cookie: &str, headers: &str) -> TcpStream {
    let mut stream = TcpStream::connect(world.base.trim_start_matches("http://")).await.unwrap();
    let head = format!(
        "POST /api/sessions/{session}/messages HTTP/1.1\r\nHost: x\r\nCookie: {cookie}\r\nExpect: 100-continue\r\n{headers}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let go_on = b"HTTP/1.1 100 Continue\r\n\r\n";
    let mut told = vec![0; go_on.len()];
    tokio::time::timeout(PATIENCE, stream.read_exact(&mut told)).await.unwrap().unwrap();
    assert_eq!(told, go_on);
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_forms_and_long_bodies_keep_no_message_out() {
    let world = World::signed_in(ECHO).await;
    let id = world.session().await;
    let cookie = super::world::cookie(&world.open_link().await).unwrap();
    let mut slow = Vec::new();
    for number in 0..40 {
        let headers = format!("{BOUNDARY}\r\nTransfer-Encoding: chunked");
        let mut form = begin(&world, &id, &cookie, &headers).await;
        let part =
            format!("--b\r\nContent-Disposition: form-data; name=\"requestId\"\r\n\r\nslow-{number}\r\n");
        let rest = "--b\r\nContent-Disposition: form-data; name=\"attachments\"; filename=\"a\"\r\n\r\nhalf";
        let chunk = format!("{part}{rest}");
        form.write_all(format!("{:x}\r\n{chunk}\r\n", chunk.len()).as_bytes()).await.unwrap();
        slow.push(form);
    }
    // As much as there is memory for, and those that do not tell how long they are.
    for headers in [
        format!("Content-Length: {}", 256 << 20),
        format!("Content-Length: {}", 192 << 20),
        "Transfer-Encoding: chunked".to_owned(),
        "Transfer-Encoding: chunked".to_owned(),
    ] {
        slow.push(begin(&world, &id, &cookie, &headers).await);
    }
    let short = world.turn(&id, "short", "hello").await;
    let longer = world.turn(&id, "longer", &"x".repeat(500_000)).await;
    assert_ne!(short, longer);
    let form = reqwest::multipart::Form::new().text("requestId", "form").text("text", "by form");
    let sent = world.request(Method::POST, &format!("/api/sessions/{id}/messages")).multipart(form).send();
    assert_eq!(sent.await.unwrap().status(), StatusCode::ACCEPTED);
    drop(slow);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_short() {
    let world = World::signed_in(ECHO).await;
    let id = world.session().await;
    let long = "x".repeat(1_025);
    for route in ["messages", "assistant-messages"] {
        let fields: &[&str] = match route {
            "messages" => &["requestId", "tool", "model", "effort"],
            _ => &["requestId", "runId", "source"],
        };
        for field in fields {
            let answer =
                world.post(&format!("/api/sessions/{id}/{route}"), &json!({"text": "x", *field: long})).await;
            let error = json!({"error": format!("{field} must be at most 1024 bytes long")});
            assert_eq!(answer, (StatusCode::BAD_REQUEST, error), "{route}");
        }
    }
    assert_eq!(world.send(&id, &long[1..], "x").await.0, StatusCode::ACCEPTED);
    let form = reqwest::multipart::Form::new().text("requestId", long).text("text", "by form");
    let sent = world.request(Method::POST, &format!("/api/sessions/{id}/messages")).multipart(form).send();
    assert_eq!(sent.await.unwrap().status(), StatusCode::BAD_REQUEST);
}
