//! A new gateway in the place of the old one, and what sockets are told.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use remotelab_gateway::supervisor::Alone;
use remotelab_gateway::{Inherited, Running, Settings, Start};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, accept_async, connect_async};

use crate::client::{Client, get, read_until};
use crate::toy::Toy;
use crate::world::{World, eventually};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_refused_while_a_new_gateway_takes_over() {
    let owner = Toy::hello("owner").await;
    let mut world = World::new(&owner, &[]).await;
    let sockets = upstream(&world).await;
    let (stop, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut crowd = JoinSet::new();
    for number in 0..8 {
        let (address, stop, asked) = (world.address, Arc::clone(&stop), Arc::clone(&asked));
        crowd.spawn(async move {
            let mut client = Client::connect(address).await;
            while !stop.load(Ordering::SeqCst) {
                let got = client.send("POST", "/owner/", &[], "body").await;
                assert_eq!(got.text(), "owner");
                asked.fetch_add(1, Ordering::SeqCst);
                // Half of them keep their connection for as long as they may.
                if number % 2 == 0 || got.header("connection") == Some("close") {
                    client = Client::connect(address).await;
                }
            }
        });
    }
    let mut open: Vec<Socket> = Vec::new();
    for _ in 0..10 {
        open.push(connect_async(format!("ws://{}/trial1/ws", world.address)).await.unwrap().0);
    }
    let mut old = world.running.take().unwrap();
    for round in 0..3 {
        let before = asked.load(Ordering::SeqCst);
        eventually("requests pass", || async { asked.load(Ordering::SeqCst) > before + 50 }).await;
        let new = take_over(&world.settings).await;
        assert_eq!(new.addresses(), [world.address]);
        let ended = tokio::spawn(old.run_until(pending()));
        if round == 0 {
            for socket in open.drain(..) {
                assert_eq!(last_word(socket).await, Some(CloseCode::Restart));
            }
        }
        ended.await.unwrap();
        old = new;
        assert_eq!(world.admin("GET", "/health").await.0, 200);
    }
    stop.store(true, Ordering::SeqCst);
    while let Some(one) = crowd.join_next().await {
        one.unwrap();
    }
    old.shutdown().await;
    assert!(TcpStream::connect(world.address).await.is_err());
    assert!(!world.settings.socket.exists());
    drop(sockets);
}

#[tokio::test]
async fn a_new_gateway_that_dies_changes_nothing() {
    let owner = Toy::hello("owner").await;
    let world = World::new(&owner, &[]).await;
    for _ in 0..2 {
        drop(inherited(&world.settings).await);
        assert_eq!(get(world.address, "/owner/", &[]).await.text(), "owner");
        assert_eq!(world.admin("GET", "/health").await.0, 200);
    }
    // Where none runs there is nothing to take over.
    let mut other = world.settings.clone();
    other.socket = world.folder.path().join("gateway.sock");
    let running = take_over(&other).await;
    assert_ne!(running.addresses(), [world.address]);
}

#[tokio::test]
async fn a_socket_of_a_removed_guest_is_told_so() {
    let owner = Toy::hello("owner").await;
    let world = World::with(&owner, &[], |settings| {
        settings.timeouts.drain = Duration::from_millis(50);
    })
    .await;
    let _sockets = upstream(&world).await;
    let (socket, _) = connect_async(format!("ws://{}/trial1/ws", world.address)).await.unwrap();
    world.write_registry("[]");
    world.admin("POST", "/reload").await;
    assert_eq!(last_word(socket).await, Some(CloseCode::Away));
}

#[tokio::test]
async fn a_frame_is_never_cut_in_two_by_a_close() {
    let raw = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let owner = Toy::hello("owner").await;
    let mut world = World::new(&owner, &[]).await;
    world.write_registry(&format!("[{}]", world.record("trial1", "", raw.local_addr().unwrap().port())));
    world.admin("POST", "/reload").await;
    let mut client = TcpStream::connect(world.address).await.unwrap();
    let key = "dGhlIHNhbXBsZSBub25jZQ==";
    let hello = format!(
        "GET /trial1/ws HTTP/1.1\r\nhost: h\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: {key}\r\n\r\n"
    );
    client.write_all(hello.as_bytes()).await.unwrap();
    let (mut instance, _) = raw.accept().await.unwrap();
    read_until(&mut instance, "\r\n\r\n").await;
    let accept = derive_accept_key(key.as_bytes());
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-accept: {accept}\r\n\r\n"
    );
    instance.write_all(answer.as_bytes()).await.unwrap();
    read_until(&mut client, "\r\n\r\n").await;
    // Half of a frame, the wish to end, and the other half.
    instance.write_all(b"\x82\x04ab").await.unwrap();
    read_until(&mut client, "ab").await;
    let stopping = tokio::spawn(world.running.take().unwrap().shutdown());
    let address = world.address;
    eventually("it drains", || async { TcpStream::connect(address).await.is_err() }).await;
    instance.write_all(b"cd").await.unwrap();
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, b"cd\x88\x02\x03\xf4");
    stopping.await.unwrap();
}

async fn take_over(settings: &Settings) -> Running {
    let inherited = inherited(settings).await;
    Start { settings: settings.clone(), supervisor: Arc::new(Alone), inherited }.run().await.unwrap()
}

async fn inherited(settings: &Settings) -> Inherited {
    let settings = settings.clone();
    tokio::task::spawn_blocking(move || Inherited::ask(&settings)).await.unwrap().unwrap()
}

/// A guest `trial1` that opens sockets and says nothing.
async fn upstream(world: &World) -> JoinSet<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    world.write_registry(&format!("[{}]", world.record("trial1", "", listener.local_addr().unwrap().port())));
    world.admin("POST", "/reload").await;
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut sockets = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            sockets.spawn(async move {
                if let Ok(mut socket) = accept_async(stream).await {
                    while let Some(Ok(_)) = socket.next().await {}
                }
            });
        }
    });
    tasks
}

/// The reason by which a socket was closed.
async fn last_word(mut socket: Socket) -> Option<CloseCode> {
    while let Some(Ok(message)) = socket.next().await {
        if let Message::Close(frame) = message {
            return frame.map(|frame| frame.code);
        }
    }
    None
}
