//! Another gateway in the place of the one that runs, under load.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use remotelab_tests::http;
use remotelab_tests::wait::eventually;
use remotelab_tests::world::World;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// So many ask, each so often.
const CROWD: usize = 10;
const PACE: Duration = Duration::from_millis(40);
const SOCKETS: usize = 30;
const UPGRADES: usize = 3;

/// The frame of a close whose reason is that the service starts anew.
const RESTART: &[u8] = b"\x88\x02\x03\xf4";

#[tokio::test]
async fn an_upgrade_under_load_refuses_nobody() -> anyhow::Result<()> {
    let world = World::without_executors().await?;
    let _up = world.up().await?;
    let owner = world.owner().await?;
    let cookie = format!("owner__{}", owner.cookie());
    let (stop, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut crowd = JoinSet::new();
    for number in 0..CROWD {
        let url = format!("{}/owner/api/sessions", world.gateway_url());
        let (cookie, stop, asked) = (cookie.clone(), Arc::clone(&stop), Arc::clone(&asked));
        crowd.spawn(async move {
            let mut client = http::client();
            let mut next = Instant::now();
            while !stop.load(Ordering::SeqCst) {
                let answer = http::send(client.get(&url).header("cookie", &cookie)).await?;
                ensure!(answer.status == 200, "{answer:?}");
                asked.fetch_add(1, Ordering::SeqCst);
                // Half of them keep their connection for as long as they may.
                if number % 2 == 0 || answer.header("connection") == Some("close") {
                    client = http::client();
                }
                next += PACE;
                tokio::time::sleep(next.saturating_duration_since(Instant::now())).await;
            }
            anyhow::Ok(())
        });
    }
    let mut sockets = JoinSet::new();
    for _ in 0..SOCKETS {
        // Nobody may have more than sixteen from one address, but this machine is no client.
        sockets.spawn(last_bytes(open(&world, &cookie).await?));
    }
    let first = *world.processes_of("gateway").first().context("a gateway")?;
    for round in 0..UPGRADES {
        let before = asked.load(Ordering::SeqCst);
        eventually("requests pass", async || {
            Ok((asked.load(Ordering::SeqCst) > before + 3 * CROWD).then_some(()))
        })
        .await?;
        let done = world.run(&["gateway", "upgrade"]).await?;
        ensure!(done.code == Some(0), "round {round}: {done:?}");
    }
    while let Some(last) = sockets.join_next().await {
        let last = last??;
        ensure!(last.ends_with(RESTART), "{last:?}");
    }
    stop.store(true, Ordering::SeqCst);
    while let Some(one) = crowd.join_next().await {
        one??;
    }
    eventually(
        "the old ones are gone",
        async || Ok((world.processes_of("gateway").len() == 1).then_some(())),
    )
    .await?;
    ensure!(world.processes_of("gateway") != [first], "it is another one");
    let health = world.run(&["gateway", "health"]).await?;
    ensure!(health.code == Some(0), "{health:?}");
    // The supervisor keeps the new one.
    let restarted = world.run(&["gateway", "upgrade"]).await?;
    ensure!(restarted.code == Some(0), "{restarted:?}");
    Ok(())
}

async fn open(world: &World, cookie: &str) -> anyhow::Result<TcpStream> {
    let mut stream = TcpStream::connect(("127.0.0.1", world.ports().gateway)).await?;
    let request = format!(
        "GET /owner/ws HTTP/1.1\r\nhost: h\r\ncookie: {cookie}\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut head = Vec::new();
    while !head.windows(4).any(|four| four == b"\r\n\r\n") {
        ensure!(stream.read_buf(&mut head).await? > 0, "no answer");
    }
    ensure!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
    Ok(stream)
}

async fn last_bytes(mut stream: TcpStream) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    tokio::time::timeout(Duration::from_secs(60), stream.read_to_end(&mut bytes)).await??;
    Ok(bytes)
}
