//! Guests come and go while others work: nobody notices.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use remotelab_tests::wait::eventually;
use remotelab_tests::world::World;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, timeout};

const SOCKETS: usize = 200;
const PER_SECOND: u64 = 200;
const CHANGES: usize = 100;
const PATIENCE: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_guests_come_and_go_and_nothing_fails_or_drops() -> anyhow::Result<()> {
    let world = World::without_executors().await?;
    let echo = TcpListener::bind(("127.0.0.1", 0)).await?;
    let port = echo.local_addr()?.port();
    tokio::spawn(serve(echo));
    let other = TcpListener::bind(("127.0.0.1", 0)).await?;
    let other_port = other.local_addr()?.port();
    tokio::spawn(serve(other));
    std::fs::create_dir_all(world.config())?;
    std::fs::write(world.config().join("gateway.toml"), "[limits.tenant]\nsockets = 1000\nrate = 1000\n")?;
    world.register([("steady", port)])?;
    let _gateway = world.start(&["gateway"])?;
    let address = ("127.0.0.1", world.ports().gateway);
    eventually("the gateway", async || Ok(TcpStream::connect(address).await.ok())).await?;
    reload(&world).await?;

    let mut sockets = Vec::with_capacity(SOCKETS);
    for _ in 0..SOCKETS {
        let mut socket = TcpStream::connect(address).await?;
        socket.write_all(format!("GET /steady/ws HTTP/1.1\r\nhost: h\r\n{UPGRADE}").as_bytes()).await?;
        ensure!(read_head(&mut socket).await?.starts_with("HTTP/1.1 101 "));
        sockets.push(socket);
    }
    let over = Arc::new(AtomicBool::new(false));
    let asked = Arc::new(AtomicUsize::new(0));
    let load = tokio::spawn(load(address, Arc::clone(&over), Arc::clone(&asked)));
    let began = Instant::now();
    for round in 0..CHANGES {
        let name = format!("trial{round}");
        world.register([("steady", port), (&name, other_port)])?;
        reload(&world).await?;
        let mut stream = TcpStream::connect(address).await?;
        let status = ask(&mut stream, &format!("/{name}/")).await?;
        ensure!(status.contains(" 200 "), "{name} has no route: {status}");
    }
    over.store(true, Ordering::SeqCst);
    load.await??;
    let (asked, took) = (asked.load(Ordering::SeqCst), began.elapsed());
    // A busy machine asks less often than it means to; far less would prove nothing.
    ensure!(asked as f64 > 0.5 * PER_SECOND as f64 * took.as_secs_f64(), "{asked} in {took:?}");
    for socket in &mut sockets {
        socket.write_all(b"still here").await?;
        let mut back = [0; 10];
        timeout(PATIENCE, socket.read_exact(&mut back)).await.context("a socket is silent")??;
        ensure!(back == *b"still here");
    }
    Ok(())
}

/// Asks so many times a second, on a few connections, until it is over. One failure ends it.
async fn load(
    address: (&'static str, u16),
    over: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
) -> anyhow::Result<()> {
    const CLIENTS: u64 = 8;
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let (over, asked) = (Arc::clone(&over), Arc::clone(&asked));
        clients.spawn(async move {
            let mut stream = TcpStream::connect(address).await?;
            let mut ticks = interval(Duration::from_millis(1000 * CLIENTS / PER_SECOND));
            while !over.load(Ordering::SeqCst) {
                ticks.tick().await;
                let status = ask(&mut stream, "/steady/x").await?;
                ensure!(status.starts_with("HTTP/1.1 200 "), "{status}");
                asked.fetch_add(1, Ordering::SeqCst);
            }
            anyhow::Ok(())
        });
    }
    while let Some(client) = clients.join_next().await {
        client??;
    }
    Ok(())
}

async fn ask(stream: &mut TcpStream, path: &str) -> anyhow::Result<String> {
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: h\r\n\r\n").as_bytes()).await?;
    let head = read_head(stream).await?;
    let mut body = [0; 2];
    if head.contains(" 200 ") {
        timeout(PATIENCE, stream.read_exact(&mut body)).await??;
    }
    Ok(head)
}

async fn reload(world: &World) -> anyhow::Result<()> {
    let mut control = UnixStream::connect(world.config().join("run/gateway.sock")).await?;
    control.write_all(b"POST /reload HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await?;
    let mut answer = String::new();
    timeout(PATIENCE, control.read_to_string(&mut answer)).await??;
    ensure!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    Ok(())
}

const UPGRADE: &str = "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
                       sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

async fn read_head(stream: &mut TcpStream) -> anyhow::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(timeout(PATIENCE, stream.read_u8()).await.context("no answer")??);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// Answers requests with `ok`, and sends back what comes over a socket.
async fn serve(listener: TcpListener) {
    while let Ok((mut stream, _)) = listener.accept().await {
        tokio::spawn(async move {
            while !read_request(&mut stream).await?.contains("upgrade: websocket") {
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await?;
            }
            let head = "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
                        sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
            stream.write_all(head.as_bytes()).await?;
            let (mut from, mut to) = stream.split();
            tokio::io::copy(&mut from, &mut to).await?;
            anyhow::Ok(())
        });
    }
}

/// A kept connection may wait for its next request as long as it likes.
async fn read_request(stream: &mut TcpStream) -> anyhow::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    Ok(String::from_utf8_lossy(&head).to_ascii_lowercase())
}
