//! What a WebSocket costs the gateway on which nothing happens.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use futures_util::{StreamExt as _, stream};
use remotelab_tests::world::World;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::subject::{GUEST, gateway};
use crate::Figures;

const SOCKETS: u64 = 10_000;
/// Two ends of each are in this program, two in the gateway, and there is something else.
const ENDS: u64 = 2;
const OTHERS: u64 = 500;
const AT_ONCE: usize = 64;
const ROOM: &str =
    "[limits]\nconnections = 30000\n[limits.tenant]\nrate = 0\nsockets = 20000\nconnections = 20000\n";
/// To the key that every client sends here.
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

pub(super) async fn sockets(figures: &mut Figures) -> anyhow::Result<()> {
    // Children inherit it.
    let files = raise_files(ENDS * SOCKETS + OTHERS);
    let count = SOCKETS.min(files.saturating_sub(OTHERS) / ENDS);
    let fewer = if count < SOCKETS { format!(", {files} files may be open") } else { String::new() };
    let world = World::without_executors().await?;
    let instance = TcpListener::bind("127.0.0.1:0").await.context("listen")?;
    let port = instance.local_addr().context("find the port")?.port();
    let holding = tokio::spawn(hold(instance));
    let subject = gateway(&world, "ours", port, 10, ROOM).await?;
    let before = subject.memory()?;
    let address = subject.url.trim_start_matches("http://").split('/').next().unwrap_or_default().to_owned();
    let opened = stream::iter(0..count).map(|_| open(&address)).buffer_unordered(AT_ONCE);
    let opened: Vec<anyhow::Result<TcpStream>> = opened.collect().await;
    let opened = opened.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
    // Until what opening took is given back; this is a wait that is for a time.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let after = subject.memory()?;
    let each = (after - before) * 1024.0 / count as f64;
    figures.add(
        "memory per held WebSocket (floor 16 KiB, goal 6)",
        format!("{each:.1} KiB; {count} held{fewer}, {after:.1} MiB in all"),
    );
    drop(opened);
    holding.abort();
    Ok(())
}

/// Allows as many open files as are wanted, or as may be; returns how many.
fn raise_files(wanted: u64) -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.unwrap_or(u64::MAX);
    for (current, maximum) in [(wanted, most.max(wanted)), (most.min(wanted), most)] {
        let raised = Rlimit { current: Some(current), maximum: limit.maximum.map(|_| maximum) };
        if setrlimit(Resource::Nofile, raised).is_ok() {
            return current;
        }
    }
    limit.current.unwrap_or(u64::MAX)
}

/// Answers pages, and agrees to every socket and keeps it.
async fn hold(listener: TcpListener) {
    while let Ok((mut stream, _)) = listener.accept().await {
        tokio::spawn(async move {
            while let Ok(head) = read_head(&mut stream).await {
                let answer = if head.to_ascii_lowercase().contains("upgrade: websocket") {
                    format!(
                        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                         sec-websocket-accept: {ACCEPT}\r\n\r\n"
                    )
                } else {
                    "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok".to_owned()
                };
                if stream.write_all(answer.as_bytes()).await.is_err() {
                    return;
                }
            }
        });
    }
}

async fn open(address: &str) -> anyhow::Result<TcpStream> {
    let mut stream = TcpStream::connect(address).await.context("connect")?;
    let request = format!(
        "GET /trial{GUEST}/ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.context("ask")?;
    let head = read_head(&mut stream).await?;
    ensure!(head.starts_with("HTTP/1.1 101 "), "no socket: {head}");
    Ok(stream)
}

async fn read_head(stream: &mut TcpStream) -> anyhow::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let read = stream.read_buf(&mut head).await.context("read a head")?;
        ensure!(read > 0 && head.len() < 8192, "no head: {}", String::from_utf8_lossy(&head));
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}
