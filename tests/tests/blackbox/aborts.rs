//! Requests that somebody broke off leave nothing behind in the gateway.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use remotelab_tests::wait::{eventually, within};
use remotelab_tests::world::World;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const ABORTS: usize = 1_000;
/// At a time.
const CROWD: usize = 100;

#[tokio::test]
async fn a_thousand_aborted_requests_leave_nothing_open() -> anyhow::Result<()> {
    let world = World::without_executors().await?;
    let instance = TcpListener::bind("127.0.0.1:0").await?;
    let port = instance.local_addr()?.port();
    let open = Arc::new(AtomicUsize::new(0));
    let serving = tokio::spawn(endless(instance, Arc::clone(&open)));
    world.register([("trial1", port)])?;
    fs::create_dir_all(world.config())?;
    fs::write(world.config().join("gateway.toml"), "[limits.tenant]\nrate = 0\n")?;
    let gateway = world.start(&["gateway"])?;
    let address = world.gateway_url().trim_start_matches("http://").to_owned();
    eventually("the gateway", async || Ok(TcpStream::connect(&address).await.ok())).await?;
    let files = || -> anyhow::Result<usize> {
        let folder = fs::read_dir(format!("/proc/{}/fd", gateway.pid())).context("list the open files")?;
        // The log opens its file when it has something to write.
        let is_log = |path: &Path| path.extension().is_some_and(|it| it == "jsonl");
        Ok(folder.flatten().filter(|entry| !fs::read_link(entry.path()).is_ok_and(|to| is_log(&to))).count())
    };
    abort(&address, CROWD, &open).await?;
    within(Duration::from_secs(5), "a quiet gateway", async || {
        Ok((open.load(Ordering::SeqCst) == 0).then_some(()))
    })
    .await?;
    let before = files()?;
    for _ in 0..ABORTS / CROWD {
        abort(&address, CROWD, &open).await?;
    }
    within(Duration::from_secs(1), "the instance to be free", async || {
        Ok((open.load(Ordering::SeqCst) == 0).then_some(()))
    })
    .await?;
    within(Duration::from_secs(5), "the files to be closed", async || Ok((files()? <= before).then_some(())))
        .await?;
    serving.abort();
    Ok(())
}

/// Downloads and uploads that are all in the middle when their client goes.
async fn abort(address: &str, count: usize, open: &AtomicUsize) -> anyhow::Result<()> {
    let mut clients = Vec::new();
    for number in 0..count {
        let mut client = TcpStream::connect(address).await?;
        let request = if number % 2 == 0 {
            "GET /trial1/ HTTP/1.1\r\nhost: h\r\n\r\n"
        } else {
            "POST /trial1/ HTTP/1.1\r\nhost: h\r\ncontent-length: 100000\r\n\r\nhalf"
        };
        client.write_all(request.as_bytes()).await?;
        clients.push(client);
    }
    eventually("all to be in work", async || Ok((open.load(Ordering::SeqCst) >= count).then_some(())))
        .await?;
    drop(clients);
    // So that the next ones are counted by themselves.
    eventually("all to be gone", async || Ok((open.load(Ordering::SeqCst) == 0).then_some(()))).await
}

/// Begins answers and ends none; counts connections.
async fn endless(listener: TcpListener, open: Arc<AtomicUsize>) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let open = Arc::clone(&open);
        tokio::spawn(async move {
            open.fetch_add(1, Ordering::SeqCst);
            let head = b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\npiece";
            let mut piece = [0; 4096];
            let mut answered = false;
            while stream.read(&mut piece).await.is_ok_and(|read| read > 0) {
                if !answered && stream.write_all(head).await.is_err() {
                    break;
                }
                answered = true;
            }
            open.fetch_sub(1, Ordering::SeqCst);
        });
    }
}
