//! Many at once: answers never change places, changes of routes are not felt.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::{SinkExt, StreamExt};
use http::Response;
use http_body_util::Full;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;

use crate::client::Client;
use crate::toy::{Seen, Toy};
use crate::world::World;

const CLIENTS: usize = 24;
const REQUESTS: usize = 40;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everyone_gets_the_own_answer_while_others_hang_up() {
    let toy = Toy::start(echo).await;
    let world = World::new(&toy, &[]).await;
    let address = world.address;
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..CLIENTS {
        clients.spawn(async move {
            let mut connection = Client::connect(address).await;
            for request in 0..REQUESTS {
                let body = format!("{client}-{request};").repeat(1 + (client * request * 7) % 20_000);
                let path = format!("/owner/{client}/{request}");
                let got = connection.send("POST", &path, &[], body.clone()).await;
                assert_eq!(got.status, 200);
                assert!(got.text() == format!("/{client}/{request} {body}"), "{path} got another's answer");
                if request.is_multiple_of(5) {
                    leave_early(address, request).await;
                }
            }
        });
    }
    while let Some(client) = clients.join_next().await {
        client.unwrap();
    }
}

/// Sends a request and goes without waiting, once with half a body and once with a whole one.
async fn leave_early(address: std::net::SocketAddr, request: usize) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let body = "x".repeat(if request.is_multiple_of(2) { 50 } else { 100 });
    let head = "POST /owner/gone HTTP/1.1\r\nhost: h\r\ncontent-length: 100\r\n\r\n";
    let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
}

fn echo(seen: &Seen) -> Response<Full<bytes::Bytes>> {
    let mut body = format!("{} ", seen.target).into_bytes();
    body.extend_from_slice(&seen.body);
    Response::new(Full::from(body))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_creates_and_deletes_cost_nobody_a_request_or_a_socket() {
    let (owner, guest) = (Toy::start(echo).await, Toy::hello("guest").await);
    let echo_port = websocket_echo().await;
    let world = World::new(&owner, &[]).await;
    let steady = world.record("steady", "", echo_port);
    world.write_registry(&json!([steady]).to_string());
    world.admin("POST", "/reload").await;
    let url = format!("ws://{}/steady/ws", world.address);
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();

    let address = world.address;
    let over = Arc::new(AtomicBool::new(false));
    let stop = Arc::clone(&over);
    let load = tokio::spawn(async move {
        let mut client = Client::connect(address).await;
        let mut count = 0;
        while !stop.load(Ordering::SeqCst) {
            assert_eq!(client.send("GET", "/owner/x", &[], "").await.text(), "/x ");
            count += 1;
        }
        count
    });
    for round in 0..100 {
        let name = format!("trial{round}");
        world.write_registry(&json!([steady, world.record(&name, "", guest.port())]).to_string());
        assert_eq!(world.admin("POST", "/reload").await.0, 200);
        let got = crate::client::get(address, &format!("/{name}/"), &[]).await;
        assert_eq!(got.text(), "guest", "{name}");
        socket.send(Message::text(name.clone())).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), Message::text(name));
    }
    over.store(true, Ordering::SeqCst);
    assert!(load.await.unwrap() > 0);
}

async fn websocket_echo() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
                while let Some(Ok(message)) = socket.next().await {
                    if socket.send(message).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    port
}
