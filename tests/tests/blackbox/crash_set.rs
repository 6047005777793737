//! What once ended a gateway or an instance: all of them are there afterwards, with nothing left open.

use std::fs;
use std::time::Duration;

use anyhow::Context as _;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use remotelab_tests::http;
use remotelab_tests::wait::{eventually, within};
use remotelab_tests::world::World;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const CONNECTIONS: usize = 2_000;
const AT_ONCE: usize = 16;
/// What each is ready to send; most are closed long before.
const LEN: usize = 1 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_is_sent_ends_a_server_or_leaves_a_file_open() -> anyhow::Result<()> {
    let world = World::without_executors().await?;
    let hasty = TcpListener::bind(("127.0.0.1", 0)).await?;
    let port = hasty.local_addr()?.port();
    fs::create_dir_all(world.config())?;
    fs::write(world.config().join("gateway.toml"), format!("[service.hasty]\nport = {port}\n"))?;
    tokio::spawn(refuse_in_the_middle(hasty));
    let _up = world.up().await?;
    let gateway = world.ports().gateway;
    let ask = async || http::send(http::client().get(format!("{}/owner/login", world.gateway_url()))).await;
    assert_eq!(ask().await?.status, 200);
    let servers = || ["gateway", "chat"].map(|word| world.processes_of(word));
    let before = servers();
    let pid = *before[0].first().context("a gateway")?;
    let open = fs::read_dir(format!("/proc/{pid}/fd"))?.count();

    for request in [
        "GET // HTTP/1.1\r\nhost: h\r\n\r\n".to_owned(),
        "GET http://[/x HTTP/1.1\r\nhost: h\r\n\r\n".to_owned(),
        "GET /owner// HTTP/1.1\r\nhost: h\r\n".to_owned() + UPGRADE,
        "GET /owner/ws HTTP/1.1\r\nhost: h:x:y\r\n".to_owned() + UPGRADE,
        "GET /owner/ws HTTP/1.1\r\nhost: [\r\n".to_owned() + UPGRADE,
        "GET //ws HTTP/1.1\r\nhost: h\r\n".to_owned() + UPGRADE,
    ] {
        for port in [gateway, world.ports().owner] {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
            stream.write_all(request.as_bytes()).await?;
            let _ = stream.shutdown().await;
            // Whatever it says, it says it soon.
            within(Duration::from_secs(15), "an end", async || {
                Ok(Some(stream.read_to_end(&mut Vec::new()).await))
            })
            .await
            .map(drop)?;
        }
    }
    for _ in 0..50 {
        let mut stream = TcpStream::connect(("127.0.0.1", gateway)).await?;
        let head = format!("POST /hasty/ HTTP/1.1\r\nhost: h\r\ncontent-length: {LEN}\r\n\r\n");
        let _ = stream.write_all(head.as_bytes()).await;
        let _ = stream.write_all(&vec![0; LEN / 2]).await;
    }
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..AT_ONCE {
        tasks.spawn(make_noise(gateway, task as u64));
    }
    while let Some(task) = tasks.join_next().await {
        task??;
    }

    assert_eq!(servers(), before, "a server is another one");
    assert_eq!(ask().await?.status, 200);
    eventually("as few open files as before", async || {
        let now = fs::read_dir(format!("/proc/{pid}/fd"))?.count();
        // One for the owner's instance may be kept.
        Ok((now <= open + 1).then_some(()))
    })
    .await
}

const UPGRADE: &str = "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
                       sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// Random bytes, every other time behind something that may go on so.
async fn make_noise(port: u16, seed: u64) -> anyhow::Result<()> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut bytes = vec![0; LEN];
    random.fill(&mut bytes[..]);
    for connection in 0..CONNECTIONS / AT_ONCE {
        let begin: &[u8] = [
            &b""[..],
            b"POST /owner/login HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n",
            b"POST /owner/login HTTP/1.1\r\nhost: h\r\n",
            b"GET /owner/",
        ][connection % 4];
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        let cut = random.random_range(0..LEN / 2);
        // It hangs up in the middle.
        let _ = stream.write_all(begin).await;
        let _ = tokio::time::timeout(Duration::from_millis(200), stream.write_all(&bytes[cut..])).await;
    }
    Ok(())
}

/// Answers before the body is there, and hangs up.
async fn refuse_in_the_middle(listener: TcpListener) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let _ = stream.read_u8().await;
        let _ = stream.write_all(b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 0\r\n\r\n").await;
        // What is unread makes this a reset.
        drop(stream);
    }
}
