//! Whoever hangs up, the other side learns of it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use remotelab_gateway::Settings;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::client::{get, raw, read_until};
use crate::toy::Toy;
use crate::world::{World, eventually};

#[tokio::test]
async fn a_client_that_leaves_frees_the_instance() {
    let (address, open) = endless().await;
    let world = before(address).await;
    let mut clients = Vec::new();
    for _ in 0..20 {
        let mut download = TcpStream::connect(world.address).await.unwrap();
        download.write_all(b"GET /trial1/ HTTP/1.1\r\nhost: h\r\n\r\n").await.unwrap();
        assert!(read_until(&mut download, "piece").await.contains("piece"));
        clients.push(download);
        let mut upload = TcpStream::connect(world.address).await.unwrap();
        upload
            .write_all(b"POST /trial1/ HTTP/1.1\r\nhost: h\r\ncontent-length: 1000\r\n\r\nabc")
            .await
            .unwrap();
        clients.push(upload);
    }
    eventually("all requests are in work", || async { open.load(Ordering::SeqCst) == 40 }).await;
    drop(clients);
    eventually("no connection is left", || async { open.load(Ordering::SeqCst) == 0 }).await;
}

/// The fastest of some: a busy machine may be late, a timer would always be.
#[tokio::test]
async fn leaving_is_noticed_at_once_both_ways() {
    let (address, open) = endless().await;
    let world = before(address).await;
    let mut fastest = Duration::MAX;
    for _ in 0..10 {
        let mut download = TcpStream::connect(world.address).await.unwrap();
        download.write_all(b"GET /trial1/ HTTP/1.1\r\nhost: h\r\n\r\n").await.unwrap();
        read_until(&mut download, "piece").await;
        let left = std::time::Instant::now();
        drop(download);
        while open.load(Ordering::SeqCst) > 0 {
            tokio::task::yield_now().await;
        }
        fastest = fastest.min(left.elapsed());
    }
    assert!(fastest < Duration::from_millis(100), "{fastest:?}");
    let dying = TcpListener::bind("127.0.0.1:0").await.unwrap();
    world.write_registry(&format!("[{}]", world.record("trial2", "", dying.local_addr().unwrap().port())));
    world.admin("POST", "/reload").await;
    let mut fastest = Duration::MAX;
    for _ in 0..10 {
        let mut download = TcpStream::connect(world.address).await.unwrap();
        download.write_all(b"GET /trial2/ HTTP/1.1\r\nhost: h\r\n\r\n").await.unwrap();
        let (mut instance, _) = dying.accept().await.unwrap();
        read_until(&mut instance, "\r\n\r\n").await;
        instance.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf").await.unwrap();
        read_until(&mut download, "half").await;
        let left = std::time::Instant::now();
        drop(instance);
        let _ = download.read_to_end(&mut Vec::new()).await;
        fastest = fastest.min(left.elapsed());
    }
    assert!(fastest < Duration::from_millis(100), "{fastest:?}");
}

#[tokio::test]
async fn a_thousand_aborts_leave_nothing_open() {
    let (address, open) = endless().await;
    let world = before(address).await;
    for _ in 0..20 {
        let mut clients = Vec::new();
        for number in 0..50 {
            let mut client = TcpStream::connect(world.address).await.unwrap();
            let request = if number % 2 == 0 {
                "GET /trial1/ HTTP/1.1\r\nhost: h\r\n\r\n"
            } else {
                "POST /trial1/ HTTP/1.1\r\nhost: h\r\ncontent-length: 1000\r\n\r\nabc"
            };
            client.write_all(request.as_bytes()).await.unwrap();
            clients.push(client);
        }
        eventually("all are in work", || async { open.load(Ordering::SeqCst) == 50 }).await;
        drop(clients);
        eventually("none is left", || async { open.load(Ordering::SeqCst) == 0 }).await;
    }
    assert_eq!(world.in_work("trial1").await, (0, 0));
}

#[tokio::test]
async fn an_instance_that_dies_in_its_answer_ends_the_clients() {
    for (head, cut) in [("content-length: 100", "half"), ("transfer-encoding: chunked", "4\r\nhalf\r\n")] {
        let address = scripted(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n{cut}")).await;
        let world = before(address).await;
        let answer = raw(world.address, "GET /trial1/ HTTP/1.1\r\nhost: h\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("half"), "{answer}");
        assert!(!answer.ends_with("0\r\n\r\n"), "{answer}");
    }
}

#[tokio::test]
async fn an_instance_that_says_nothing_of_sense_is_a_502() {
    for nonsense in ["", "nonsense\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n"] {
        let address = scripted(nonsense.to_owned()).await;
        let world = before(address).await;
        assert_eq!(get(world.address, "/trial1/", &[]).await.status, 502, "{nonsense}");
    }
}

#[tokio::test]
async fn a_silent_instance_is_a_504_and_a_silent_client_a_408() {
    let (address, _) = endless().await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let owner = Toy::hello("owner").await;
    let world = World::with(&owner, &[], |settings| {
        settings.timeouts.response_header = Duration::from_millis(100);
        settings.timeouts.client_body_idle = Duration::from_millis(100);
        settings.timeouts.body_idle = Duration::from_millis(100);
    })
    .await;
    let port = silent.local_addr().unwrap().port();
    let records = [world.record("silent", "", port), world.record("trial1", "", address.port())];
    world.write_registry(&serde_json::json!(records).to_string());
    world.admin("POST", "/reload").await;
    assert_eq!(get(world.address, "/silent/api/", &[]).await.status, 504);
    let slow = "POST /owner/ HTTP/1.1\r\nhost: h\r\ncontent-length: 9\r\n\r\nabc";
    assert!(raw(world.address, slow).await.starts_with("HTTP/1.1 408"));
    let stalled = raw(world.address, "GET /trial1/ HTTP/1.1\r\nhost: h\r\n\r\n").await;
    assert!(stalled.ends_with("piece\r\n"), "{stalled}");
}

#[tokio::test]
async fn a_client_that_does_not_read_frees_the_instance() {
    let (address, open) = flood().await;
    let world = before_with(address, |settings| {
        settings.timeouts.client_write = Duration::from_millis(100);
    })
    .await;
    let mut download = TcpStream::connect(world.address).await.unwrap();
    download.write_all(b"GET /trial1/ HTTP/1.1\r\nhost: h\r\n\r\n").await.unwrap();
    download.readable().await.unwrap();
    eventually("no connection is left", || async { open.load(Ordering::SeqCst) == 0 }).await;
    // Whoever reads is not cut off, however long it takes in all.
    let mut reader = TcpStream::connect(world.address).await.unwrap();
    reader.write_all(b"GET /trial1/ HTTP/1.1\r\nhost: h\r\n\r\n").await.unwrap();
    let begun = std::time::Instant::now();
    while begun.elapsed() < Duration::from_millis(300) {
        assert_ne!(reader.read(&mut [0; 65_536]).await.unwrap(), 0);
    }
}

#[tokio::test]
async fn a_trickled_head_is_not_waited_for() {
    let owner = Toy::hello("owner").await;
    let world = World::with(&owner, &[], |settings| {
        settings.timeouts.client_header = Duration::from_millis(100);
    })
    .await;
    for before in ["", "GET /owner/ HTTP/1.1\r\nhost: h\r\n\r\n"] {
        let (mut from, mut to) = TcpStream::connect(world.address).await.unwrap().into_split();
        to.write_all(before.as_bytes()).await.unwrap();
        let trickle = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(Duration::from_millis(10));
            to.write_all(b"GET / HTTP/1.1\r\nx: ").await.unwrap();
            while to.write_all(b"y").await.is_ok() {
                ticks.tick().await;
            }
        });
        let _ = from.read_to_end(&mut Vec::new()).await;
        trickle.await.unwrap();
    }
}

#[tokio::test]
async fn a_stream_arrives_piece_by_piece() {
    let (address, _) = endless().await;
    let world = before(address).await;
    let mut stream = TcpStream::connect(world.address).await.unwrap();
    stream.write_all(b"GET /trial1/ HTTP/1.1\r\nhost: h\r\n\r\n").await.unwrap();
    // The instance never ends its answer, so seeing the first piece proves that nothing is held back.
    assert!(read_until(&mut stream, "piece").await.contains("piece"));
}

#[tokio::test]
async fn a_kept_connection_that_died_is_replaced_unseen() {
    let (address, connections) = one_shot().await;
    let world = before(address).await;
    for round in 1..=10 {
        assert_eq!(get(world.address, "/trial1/", &[]).await.text(), "once", "{round}");
        let mut client = crate::client::Client::connect(world.address).await;
        assert_eq!(client.send("POST", "/trial1/", &[], "x").await.text(), "once", "{round}");
    }
    assert_eq!(connections.load(Ordering::SeqCst), 20);
}

async fn before(address: SocketAddr) -> World {
    before_with(address, |_| {}).await
}

async fn before_with(address: SocketAddr, change: impl FnOnce(&mut Settings)) -> World {
    let owner = Toy::hello("owner").await;
    let world = World::with(&owner, &[], change).await;
    world.write_registry(&format!("[{}]", world.record("trial1", "", address.port())));
    assert_eq!(world.admin("POST", "/reload").await.0, 200);
    world
}

/// Answers one piece of an endless stream and counts open connections.
async fn endless() -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let open = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&open);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let count = Arc::clone(&count);
            tokio::spawn(async move {
                count.fetch_add(1, Ordering::SeqCst);
                let request = read_until(&mut stream, "\r\n\r\n").await;
                if request.starts_with("GET") {
                    let answer = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\npiece\r\n";
                    let _ = stream.write_all(answer.as_bytes()).await;
                }
                let _ = stream.read_to_end(&mut Vec::new()).await;
                count.fetch_sub(1, Ordering::SeqCst);
            });
        }
    });
    (address, open)
}

/// Answers without an end, as fast as it is read, and counts open connections.
async fn flood() -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let open = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&open);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let count = Arc::clone(&count);
            tokio::spawn(async move {
                count.fetch_add(1, Ordering::SeqCst);
                read_until(&mut stream, "\r\n\r\n").await;
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
                while stream.write_all(&[b'x'; 65_536]).await.is_ok() {}
                count.fetch_sub(1, Ordering::SeqCst);
            });
        }
    });
    (address, open)
}

/// Answers every request with the same bytes and closes.
async fn scripted(answer: String) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            read_until(&mut stream, "\r\n\r\n").await;
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    address
}

/// Promises to keep its connections and closes each after one answer.
async fn one_shot() -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move {
                let request = read_until(&mut stream, "\r\n\r\n").await;
                if request.starts_with("POST") && !request.ends_with('x') {
                    let _ = stream.read(&mut [0; 1]).await;
                }
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nonce").await;
            });
        }
    });
    (address, connections)
}
