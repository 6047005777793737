//! WebSockets through the gateway.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use remotelab_gateway::listener::Scheme;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{accept_hdr_async, connect_async};

use crate::client::{raw, read_until};
use crate::toy::Toy;
use crate::world::World;

#[tokio::test]
async fn messages_pass_both_ways_and_cookies_are_mapped() {
    let (world, mut handshakes) = echoing().await;
    let mut request = format!("ws://{}/trial1/ws?x=1", world.address).into_client_request().unwrap();
    let headers = request.headers_mut();
    headers.insert("cookie", "trial1__session_token=A; owner__session_token=O".parse().unwrap());
    headers.insert("origin", format!("http://{}", world.address).parse().unwrap());
    let (mut socket, response) = connect_async(request).await.unwrap();
    assert_eq!(response.headers()["set-cookie"], "trial1__seen=1; Path=/trial1; SameSite=Lax");
    let seen = handshakes.recv().await.unwrap();
    assert_eq!(seen.uri(), "/ws?x=1");
    assert_eq!(seen.headers()["cookie"], "session_token=A");
    assert_eq!(seen.headers()["x-forwarded-prefix"], "/trial1");
    assert!(seen.headers().contains_key("x-remotelab-gateway"));
    for message in [Message::text("hello"), Message::binary(vec![7; 200_000])] {
        socket.send(message.clone()).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), message);
    }
    socket.close(None).await.unwrap();
    while let Some(Ok(_)) = socket.next().await {}
}

#[tokio::test]
async fn pages_of_other_origins_open_nothing() {
    let (world, mut handshakes) = echoing().await;
    for origin in ["https://evil.example", "null"] {
        let mut request = format!("ws://{}/trial1/ws", world.address).into_client_request().unwrap();
        request.headers_mut().insert("origin", origin.parse().unwrap());
        assert_eq!(refusal(connect_async(request).await.unwrap_err()), 403, "{origin}");
    }
    assert!(handshakes.try_recv().is_err());
}

#[tokio::test]
async fn sockets_of_a_removed_guest_are_closed_and_those_of_others_stay() {
    let (mut world, _handshakes) = echoing().await;
    world.running.take().unwrap().shutdown().await;
    world.settings.timeouts.drain = Duration::from_millis(50);
    let running = remotelab_gateway::start(world.settings.clone()).await.unwrap();
    let address = running.addresses()[0];
    let registry = std::fs::read_to_string(&world.settings.registry).unwrap();
    let (mut socket, _) = connect_async(format!("ws://{address}/trial1/ws")).await.unwrap();
    // A change of the route is no end of it.
    world.write_registry(&registry.replace(r#""hostname":"""#, r#""hostname":"t.example.com""#));
    running.reloader().reload().await.unwrap();
    socket.send(Message::text("still here")).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("still here"));
    world.write_registry("[]");
    running.reloader().reload().await.unwrap();
    while let Some(Ok(_)) = socket.next().await {}
}

#[tokio::test]
async fn a_page_that_came_without_tls_opens_nothing_where_the_outside_has_it() {
    let (mut world, mut handshakes) = echoing().await;
    world.running.take().unwrap().shutdown().await;
    world.settings.listeners[0].scheme = Scheme::Https;
    let running = remotelab_gateway::start(world.settings.clone()).await.unwrap();
    let address = running.addresses()[0];
    for (scheme, opens) in [("http", false), ("https", true)] {
        let mut request = format!("ws://{address}/trial1/ws").into_client_request().unwrap();
        request.headers_mut().insert("host", "lab.example".parse().unwrap());
        request.headers_mut().insert("origin", format!("{scheme}://lab.example").parse().unwrap());
        let stream = TcpStream::connect(address).await.unwrap();
        let outcome = tokio_tungstenite::client_async(request, stream).await;
        assert_eq!(outcome.is_ok(), opens, "{scheme}");
    }
    assert!(handshakes.recv().await.is_some());
    assert!(handshakes.try_recv().is_err());
}

#[tokio::test]
async fn a_handshake_with_a_body_is_refused_unseen() {
    let toy = Toy::hello("ok").await;
    let world = World::new(&toy, &[]).await;
    let handshake = HANDSHAKE.replace("/trial1/", "/owner/");
    for body in ["content-length: 4\r\n\r\nbody", "transfer-encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n"]
    {
        let request = format!("{}{body}", handshake.strip_suffix("\r\n").unwrap());
        let answer = raw(world.address, request).await;
        assert!(answer.starts_with("HTTP/1.1 426 ") && answer.contains("upgrade: websocket\r\n"), "{answer}");
    }
    assert_eq!(toy.targets(), Vec::<String>::new());
}

#[tokio::test]
async fn unknown_and_absent_instances_answer_properly() {
    let (world, _handshakes) = echoing().await;
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    world.write_registry(&format!("[{}]", world.record("gone", "", gone.port())));
    world.admin("POST", "/reload").await;
    for (path, status) in [("nobody/ws", 404), ("gone/ws", 502)] {
        let error = connect_async(format!("ws://{}/{path}", world.address)).await.unwrap_err();
        assert_eq!(refusal(error), status, "{path}");
    }
}

#[tokio::test]
async fn only_a_true_101_joins_and_the_connection_goes_on_otherwise() {
    for (answer, status) in [
        (format!("{SWITCHING}{ACCEPT}\r\n"), 101),
        (format!("{SWITCHING}\r\n"), 502),
        (format!("{SWITCHING}sec-websocket-accept: AAAA\r\n\r\n"), 502),
        (
            format!(
                "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: h2c\r\n{ACCEPT}\r\n"
            ),
            502,
        ),
        ("HTTP/1.1 401 Unauthorized\r\ncontent-length: 2\r\n\r\nno".to_owned(), 401),
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nno".to_owned(), 200),
    ] {
        let address = scripted(answer).await;
        let owner = Toy::hello("owner").await;
        let world = World::new(&owner, &[]).await;
        world.write_registry(&format!("[{}]", world.record("trial1", "", address)));
        world.admin("POST", "/reload").await;
        let mut stream = TcpStream::connect(world.address).await.unwrap();
        stream.write_all(HANDSHAKE.as_bytes()).await.unwrap();
        let pipelined = "GET /owner/next HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n";
        stream.write_all(pipelined.as_bytes()).await.unwrap();
        let text = read_until(&mut stream, if status == 101 { "tunnel" } else { "\r\n\r\nowner" }).await;
        assert!(text.starts_with(&format!("HTTP/1.1 {status} ")), "{text}");
        // Joined bytes belong to the instance, all others are requests to the gateway.
        let seen = owner.targets();
        assert_eq!(seen, if status == 101 { vec![] } else { vec!["GET /next".to_owned()] }, "{text}");
    }
}

#[tokio::test]
async fn a_socket_whose_client_does_not_read_is_closed_though_it_speaks() {
    let instance = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let owner = Toy::hello("owner").await;
    let world = World::with(&owner, &[], |settings| {
        settings.timeouts.websocket_idle = Duration::from_millis(100);
    })
    .await;
    let port = instance.local_addr().unwrap().port();
    world.write_registry(&format!("[{}]", world.record("trial1", "", port)));
    world.admin("POST", "/reload").await;
    let mut client = TcpStream::connect(world.address).await.unwrap();
    client.write_all(HANDSHAKE.as_bytes()).await.unwrap();
    let (mut instance, _) = instance.accept().await.unwrap();
    read_until(&mut instance, "\r\n\r\n").await;
    instance.write_all(format!("{SWITCHING}{ACCEPT}\r\n").as_bytes()).await.unwrap();
    let (mut from_client, mut to_client) = instance.into_split();
    let flood = tokio::spawn(async move { while to_client.write_all(&[0; 65_536]).await.is_ok() {} });
    let read =
        tokio::spawn(async move { while from_client.read(&mut [0; 64]).await.is_ok_and(|n| n > 0) {} });
    let mut ticks = tokio::time::interval(Duration::from_millis(10));
    while client.write_all(b"ping").await.is_ok() {
        ticks.tick().await;
    }
    flood.await.unwrap();
    read.await.unwrap();
}

pub(crate) const HANDSHAKE: &str = "GET /trial1/ws HTTP/1.1\r\nhost: h\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
     sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
pub(crate) const SWITCHING: &str =
    "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n";
pub(crate) const ACCEPT: &str = "sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";

fn refusal(error: Error) -> u16 {
    match error {
        Error::Http(response) => response.status().as_u16(),
        other => panic!("no proper answer: {other}"),
    }
}

/// A guest that echoes and reports handshakes.
async fn echoing() -> (World, tokio::sync::mpsc::UnboundedReceiver<Request>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (report, handshakes) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let report = report.clone();
            tokio::spawn(async move {
                #[expect(clippy::result_large_err, reason = "the callback's type is tungstenite's")]
                let callback = |request: &Request, mut response: Response| {
                    response.headers_mut().insert("set-cookie", "seen=1; Path=/".parse().unwrap());
                    report.send(request.clone()).unwrap();
                    Ok(response)
                };
                let Ok(mut socket) = accept_hdr_async(stream, callback).await else {
                    return;
                };
                while let Some(Ok(message)) = socket.next().await {
                    if message.is_close() || socket.send(message).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    let owner = Toy::hello("owner").await;
    let world = World::new(&owner, &[]).await;
    world.write_registry(&format!("[{}]", world.record("trial1", "", port)));
    world.admin("POST", "/reload").await;
    (world, handshakes)
}

/// Answers the first request with fixed bytes; says `tunnel` when more bytes come after that.
async fn scripted(answer: String) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let answer = answer.clone();
            tokio::spawn(async move {
                read_until(&mut stream, "\r\n\r\n").await;
                let _ = stream.write_all(answer.as_bytes()).await;
                if !read_until(&mut stream, "\r\n\r\n").await.is_empty() {
                    let _ = stream.write_all(b"tunnel").await;
                }
            });
        }
    });
    port
}
