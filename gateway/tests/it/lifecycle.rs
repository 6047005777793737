//! Start, limits and stop.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use remotelab_gateway::gateway::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::client::{Client, get, read_until};
use crate::toy::Toy;
use crate::world::{World, eventually, settings};

#[tokio::test]
async fn a_taken_port_and_a_second_gateway_are_named() {
    let owner = Toy::hello("owner").await;
    let world = World::new(&owner, &[]).await;
    let mut second = world.settings.clone();
    second.listeners[0].bind = world.address;
    match remotelab_gateway::start(second).await.unwrap_err() {
        Error::Bind { address, .. } => assert_eq!(address, world.address),
        other => panic!("{other}"),
    }
    let error = remotelab_gateway::start(world.settings.clone()).await.unwrap_err();
    assert!(matches!(error, Error::Socket { .. }), "{error}");
    assert_eq!(get(world.address, "/owner/", &[]).await.text(), "owner");
    let mode = std::fs::metadata(&world.settings.socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn a_socket_left_by_a_dead_gateway_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(&folder, 1);
    std::fs::create_dir_all(settings.socket.parent().unwrap()).unwrap();
    drop(std::os::unix::net::UnixListener::bind(&settings.socket).unwrap());
    assert!(settings.socket.exists());
    let running = remotelab_gateway::start(settings.clone()).await.unwrap();
    assert_eq!(running.prefixes(), ["/owner"]);
    running.shutdown().await;
    assert!(!settings.socket.exists());
}

#[tokio::test]
async fn stopping_lets_answers_finish_and_lets_nobody_in() {
    let slow = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let owner = Toy::hello("owner").await;
    let mut world = World::new(&owner, &[]).await;
    world.write_registry(&format!("[{}]", world.record("trial1", "", slow.local_addr().unwrap().port())));
    world.admin("POST", "/reload").await;

    let mut idle = Client::connect(world.address).await;
    idle.send("GET", "/owner/", &[], "").await;
    let mut busy = TcpStream::connect(world.address).await.unwrap();
    busy.write_all(b"GET /trial1/ HTTP/1.1\r\nhost: h\r\n\r\n").await.unwrap();
    let (mut instance, _) = slow.accept().await.unwrap();
    read_until(&mut instance, "\r\n\r\n").await;

    let stopping = tokio::spawn(world.running.take().unwrap().shutdown());
    let address = world.address;
    eventually("nobody is let in", || async { TcpStream::connect(address).await.is_err() }).await;
    assert!(!stopping.is_finished());
    instance.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndone").await.unwrap();
    let mut answer = String::new();
    busy.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with("done"), "{answer}");
    stopping.await.unwrap();
}

#[tokio::test]
async fn the_drain_time_ends_what_does_not_end() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let owner = Toy::hello("owner").await;
    let mut world = World::with(&owner, &[], |settings| {
        settings.timeouts.drain = Duration::from_millis(100);
    })
    .await;
    world.write_registry(&format!("[{}]", world.record("trial1", "", silent.local_addr().unwrap().port())));
    world.admin("POST", "/reload").await;
    let mut busy = TcpStream::connect(world.address).await.unwrap();
    busy.write_all(b"GET /trial1/ HTTP/1.1\r\nhost: h\r\n\r\n").await.unwrap();
    let (_instance, _) = silent.accept().await.unwrap();
    world.running.take().unwrap().shutdown().await;
    assert_eq!(busy.read_to_end(&mut Vec::new()).await.unwrap_or(0), 0);
}

#[tokio::test]
async fn idle_and_surplus_clients_wait_or_go() {
    let owner = Toy::hello("owner").await;
    let world = World::with(&owner, &[], |settings| {
        settings.limits.connections = 1;
        settings.timeouts.client_header = Duration::from_millis(100);
        settings.timeouts.keep_alive = Duration::from_millis(200);
    })
    .await;
    let mut silent = TcpStream::connect(world.address).await.unwrap();
    // The second one waits in the queue until the first is closed for saying nothing.
    assert_eq!(get(world.address, "/owner/", &[]).await.text(), "owner");
    assert_eq!(silent.read(&mut [0; 1]).await.unwrap(), 0);
    let mut kept = TcpStream::connect(world.address).await.unwrap();
    kept.write_all(b"GET /owner/ HTTP/1.1\r\nhost: h\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    kept.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with("owner"), "{answer}");
}

#[tokio::test]
async fn the_control_socket_can_ask_for_the_end() {
    let owner = Toy::hello("owner").await;
    let mut world = World::new(&owner, &[]).await;
    let serving = tokio::spawn(world.running.take().unwrap().run_until(std::future::pending()));
    let answer = world.admin("POST", "/drain").await;
    assert_eq!(answer, (200, serde_json::json!({ "status": "draining" })));
    serving.await.unwrap();
    assert!(TcpStream::connect(world.address).await.is_err());
}
