//! Instances that listen at a socket of their own.

use std::os::unix::fs::symlink;
use std::path::PathBuf;

use http::StatusCode;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpStream, UnixListener};

use crate::client::{get, read_until};
use crate::toy::Toy;
use crate::websockets::{ACCEPT, HANDSHAKE, SWITCHING};
use crate::world::World;

#[tokio::test]
async fn an_instance_is_reached_by_its_socket_and_needs_no_signature_there() {
    let (owner, stranger) = (Toy::hello("owner").await, Toy::hello("stranger").await);
    let world = World::new(&owner, &[("trial1", "", &stranger)]).await;
    let guest = Toy::hello("guest").await;
    guest.listen_at(&socket(&world));
    for round in 0..3 {
        assert_eq!(get(world.address, "/trial1/x", &[]).await.text(), "guest", "{round}");
    }
    // Before the first connection nobody knows that there is a socket.
    let signed: Vec<bool> =
        guest.take().iter().map(|seen| seen.header("x-remotelab-gateway").is_some()).collect();
    assert_eq!(&signed[1..], [false, false]);
    assert!(stranger.take().is_empty());
}

#[tokio::test]
async fn a_port_taken_by_a_stranger_gets_nothing() {
    let (owner, stranger) = (Toy::hello("owner").await, Toy::hello("stranger").await);
    let world = World::new(&owner, &[("trial1", "", &stranger)]).await;
    let path = socket(&world);
    // It had a socket, and died.
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    drop(UnixListener::bind(&path).unwrap());
    assert_eq!(get(world.address, "/trial1/", &[]).await.status, StatusCode::BAD_GATEWAY);
    // Nor when the socket is gone, or is a way to somebody else.
    std::fs::remove_file(&path).unwrap();
    assert_eq!(get(world.address, "/trial1/", &[]).await.status, StatusCode::BAD_GATEWAY);
    stranger.listen_at(&path.with_extension("elsewhere"));
    symlink(path.with_extension("elsewhere"), &path).unwrap();
    assert_eq!(get(world.address, "/trial1/", &[]).await.status, StatusCode::BAD_GATEWAY);
    assert!(stranger.take().is_empty());
    std::fs::remove_file(&path).unwrap();
    let guest = Toy::hello("guest").await;
    guest.listen_at(&path);
    assert_eq!(get(world.address, "/trial1/", &[]).await.text(), "guest");
}

#[tokio::test]
async fn sockets_of_pages_are_joined_over_it() {
    let owner = Toy::hello("owner").await;
    let world = World::new(&owner, &[("trial1", "", &owner)]).await;
    world.write_registry(&serde_json::json!([world.record("trial1", "", 1)]).to_string());
    world.admin("POST", "/reload").await;
    let path = socket(&world);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let listener = UnixListener::bind(&path).unwrap();
    let mut client = TcpStream::connect(world.address).await.unwrap();
    client.write_all(HANDSHAKE.as_bytes()).await.unwrap();
    let (mut instance, _) = listener.accept().await.unwrap();
    read_until(&mut instance, "\r\n\r\n").await;
    instance.write_all(format!("{SWITCHING}{ACCEPT}\r\nhello").as_bytes()).await.unwrap();
    assert!(read_until(&mut client, "hello").await.ends_with("hello"));
    client.write_all(b"you").await.unwrap();
    assert_eq!(read_until(&mut instance, "you").await, "you");
}

fn socket(world: &World) -> PathBuf {
    world.instance_config("trial1").join("run/chat.sock")
}
