//! The socket beside the port, by which the gateway comes.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::world::{ECHO, World};

#[tokio::test(flavor = "multi_thread")]
async fn whoever_comes_by_the_socket_is_believed() {
    let mut world = World::start(ECHO).await;
    let path = socket(&world);
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let forwarded = "x-forwarded-for: 10.1.2.3\r\nx-forwarded-prefix: /trial1\r\n";
    assert!(login_page(&path, forwarded).await.contains("href=\"/trial1/\""));
    assert!(login_page(&path, "x-forwarded-prefix: /trial1\r\n").await.contains("href=\"/\""));
    // The next server takes the place of this one.
    world.restart().await;
    assert!(login_page(&path, forwarded).await.contains("href=\"/trial1/\""));
}

fn socket(world: &World) -> PathBuf {
    world.root.path().join("config/run/chat.sock")
}

async fn login_page(path: &Path, headers: &str) -> String {
    let mut stream = UnixStream::connect(path).await.unwrap();
    let request = format!("GET /login HTTP/1.1\r\nhost: h\r\nconnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    answer
}
