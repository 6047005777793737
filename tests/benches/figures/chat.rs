//! The chat server under many sessions, many messages and many listeners.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use futures_util::StreamExt as _;
use futures_util::stream;
use remotelab_tests::api::Client;
use remotelab_tests::http;
use remotelab_tests::process::Process;
use remotelab_tests::world::World;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::instance::first_page;
use crate::peer::Peer;
use crate::{Figures, memory, spread};

const MANY_SESSIONS: usize = 10_000;
const SOCKETS: usize = 1_000;
const AT_ONCE: usize = 50;
/// What the tool of a crowd takes.
const TOOL_TIME: Duration = Duration::from_millis(100);
/// How many requests prepare a world at once.
const HANDS: usize = 32;

/// Says one thing and ends, after a time.
pub(crate) fn tool(pause: Duration) -> String {
    format!(
        "#!/bin/sh\nsleep {}\n\
         echo '{{\"type\":\"system\",\"subtype\":\"init\",\"session_id\":\"steady\"}}'\n\
         echo '{{\"type\":\"assistant\",\"message\":{{\"content\":[{{\"type\":\"text\",\"text\":\"done\"}}]}}}}'\n\
         echo '{{\"type\":\"result\",\"subtype\":\"success\",\"is_error\":false,\"result\":\"done\"}}'\n",
        pause.as_secs_f64()
    )
}

/// Boot, memory and list with no session and with ten thousand, beside a server that does nothing.
pub(crate) async fn boot_and_memory(figures: &mut Figures) -> anyhow::Result<()> {
    let world = furnished(Duration::ZERO).await?;
    let (peer_boot, peer_memory) = Peer::boot_and_memory(&world).await?;
    figures.add("boot to first answer, bare hyper server", spread(peer_boot));
    for sessions in [0, MANY_SESSIONS] {
        if sessions > 0 {
            let mut chat = chat(&world).await?;
            let owner = world.owner().await?;
            open_sessions(&world, &owner, sessions).await?;
            // What was changed a moment ago is left out of the index.
            tokio::time::sleep(Duration::from_millis(2_200)).await;
            chat.stop(Duration::from_secs(10)).await?;
        }
        let mut times = Vec::new();
        for _ in 0..20 {
            let began = Instant::now();
            let mut chat = world.start(&["chat"])?;
            first_page(&format!("{}/login", world.owner_url())).await?;
            times.push(began.elapsed());
            chat.stop(Duration::from_secs(10)).await?;
        }
        figures.add(format!("boot to first 200, {sessions} sessions"), spread(times));
        let chat = chat(&world).await?;
        let owner = world.owner().await?;
        let idle = settled_memory(chat.pid()).await?;
        figures.add(
            format!("idle memory, {sessions} sessions"),
            format!("{idle:.1} MiB; bare hyper server {peer_memory:.1} MiB; ratio {:.1}", idle / peer_memory),
        );
        let (mut list, mut bytes) = (Vec::new(), 0);
        for _ in 0..20 {
            let began = Instant::now();
            let answer = owner.send(reqwest::Method::GET, "/api/sessions?view=refs", None).await?;
            list.push(began.elapsed());
            bytes = answer.text.len();
        }
        figures.add(
            format!("list of references, {sessions} sessions"),
            format!("{}, {bytes} bytes", spread(list)),
        );
    }
    Ok(())
}

/// What the product adds to a tool's own time, from the post to the answer at the client.
pub(crate) async fn own_time(figures: &mut Figures) -> anyhow::Result<()> {
    let world = furnished(TOOL_TIME).await?;
    let bare = bare_tool(&world.bin().join("steady"))?;
    let _chat = chat(&world).await?;
    let owner = world.owner().await?;
    let kept = kept_client()?;
    let (mut polled, mut heard) = (Vec::new(), Vec::new());
    for number in 0..60 {
        let session = owner.open_session("steady").await?;
        let began = Instant::now();
        let run = post(&world, &kept, &owner, &session, number).await?;
        let times = if number % 2 == 0 {
            ended(&world, &kept, &owner, &run).await?;
            &mut polled
        } else {
            waited(&world, &kept, &owner, &run).await?;
            &mut heard
        };
        times.push(began.elapsed().saturating_sub(bare));
    }
    let alone = format!("the tool alone takes {:.1} ms", bare.as_secs_f64() * 1e3);
    figures.add("own time around a run, who waits for its end", format!("{}; {alone}", spread(heard)));
    figures.add("own time around a run, who asks every millisecond", format!("{}; {alone}", spread(polled)));
    Ok(())
}

/// Fifty sessions get a message at the same moment.
pub(crate) async fn crowd(figures: &mut Figures) -> anyhow::Result<()> {
    let world = furnished(TOOL_TIME).await?;
    let chat = chat(&world).await?;
    let owner = world.owner().await?;
    let kept = kept_client()?;
    let mut sessions = Vec::new();
    for _ in 0..AT_ONCE {
        sessions.push(owner.open_session("steady").await?);
    }
    let mut bare = Vec::new();
    let mut times = Vec::new();
    for round in 0..5 {
        bare.push(bare_crowd(&world.bin().join("steady"))?);
        let began = Instant::now();
        let turns = sessions.iter().map(async |session| {
            let run = post(&world, &kept, &owner, session, round).await?;
            waited(&world, &kept, &owner, &run).await
        });
        for turn in futures_util::future::join_all(turns).await {
            turn?;
        }
        times.push(began.elapsed());
    }
    let memory = memory::mib(chat.pid(), "Rss:")?;
    figures.add(
        format!("{AT_ONCE} messages at once, last one done"),
        format!("{}; the tools alone {}; {memory:.1} MiB after it", spread(times), spread(bare)),
    );
    Ok(())
}

/// What a socket costs on which nothing happens.
pub(crate) async fn sockets(figures: &mut Figures) -> anyhow::Result<()> {
    let world = furnished(Duration::ZERO).await?;
    let chat = chat(&world).await?;
    let owner = world.owner().await?;
    let before = settled_memory(chat.pid()).await?;
    let mut sockets = Vec::new();
    for _ in 0..SOCKETS {
        sockets.push(open_socket(&world, owner.cookie()).await?);
    }
    let after = settled_memory(chat.pid()).await?;
    let each = (after - before) * 1024.0 / SOCKETS as f64;
    figures.add(format!("memory of an idle socket, {SOCKETS} of them"), format!("{each:.1} KiB"));
    Ok(())
}

pub(crate) async fn furnished(pause: Duration) -> anyhow::Result<World> {
    let world = World::without_executors().await?;
    world.tool("steady", &tool(pause))?;
    std::fs::create_dir_all(world.config()).context("create the configuration folder")?;
    let tools = json!([{
        "id": "steady", "name": "Steady", "command": "steady", "runtimeFamily": "claude-stream-json",
    }]);
    std::fs::write(world.config().join("tools.json"), tools.to_string()).context("write tools")?;
    let token = format!(r#"{{"token":"{}"}}"#, "0123456789abcdef".repeat(4));
    std::fs::write(world.config().join("auth.json"), token).context("write auth.json")?;
    Ok(world)
}

pub(crate) async fn chat(world: &World) -> anyhow::Result<Process> {
    let chat = world.start(&["chat"])?;
    first_page(&format!("{}/login", world.owner_url())).await?;
    Ok(chat)
}

pub(crate) async fn open_sessions(world: &World, owner: &Client, count: usize) -> anyhow::Result<()> {
    let fields = json!({
        "folder": world.work(), "tool": "steady", "name": "March sales cleanup", "group": "Sales ops",
        "description": "A session as connectors make them, with a line about it",
    });
    let opened = stream::iter(0..count).map(|_| owner.open_session_with(fields.clone()));
    let opened: Vec<_> = opened.buffer_unordered(HANDS).collect().await;
    opened.into_iter().try_for_each(|opened| opened.map(drop))
}

/// One connection for all, as a browser and a connector have it.
pub(crate) fn kept_client() -> anyhow::Result<reqwest::Client> {
    reqwest::Client::builder().no_proxy().build().context("make a client")
}

pub(crate) async fn post(
    world: &World,
    kept: &reqwest::Client,
    owner: &Client,
    session: &str,
    number: usize,
) -> anyhow::Result<String> {
    let message = json!({"requestId": format!("bench-{number}"), "text": "go"});
    let url = format!("{}/api/sessions/{session}/messages", world.owner_url());
    let answer = http::send(kept.post(url).header("cookie", owner.cookie()).json(&message)).await?;
    ensure!(answer.status == 202, "{answer:?}");
    Ok(answer.json()?["run"]["id"].as_str().context("no run")?.to_owned())
}

/// Asks again and again, without a pause that would be measured as well.
async fn ended(world: &World, kept: &reqwest::Client, owner: &Client, run: &str) -> anyhow::Result<()> {
    let url = format!("{}/api/runs/{run}", world.owner_url());
    loop {
        let answer = http::send(kept.get(&url).header("cookie", owner.cookie())).await?;
        let state: Value = answer.json()?["run"]["state"].take();
        match state.as_str() {
            Some("completed") => return Ok(()),
            Some("accepted" | "running") => tokio::time::sleep(Duration::from_millis(1)).await,
            _ => anyhow::bail!("the run ended as {state}"),
        }
    }
}

/// Asks once and is answered at the end.
pub(crate) async fn waited(
    world: &World,
    kept: &reqwest::Client,
    owner: &Client,
    run: &str,
) -> anyhow::Result<()> {
    let url = format!("{}/api/runs/{run}?wait=30", world.owner_url());
    let answer = http::send(kept.get(url).header("cookie", owner.cookie())).await?;
    let state: Value = answer.json()?["run"]["state"].take();
    ensure!(state == "completed", "the run ended as {state}");
    Ok(())
}

fn bare_tool(program: &Path) -> anyhow::Result<Duration> {
    let mut times = Vec::new();
    for _ in 0..20 {
        let began = Instant::now();
        std::process::Command::new(program).output().context("run the tool")?;
        times.push(began.elapsed());
    }
    times.sort_unstable();
    Ok(times[times.len() / 2])
}

/// As many tools at once as the crowd has, without the product.
fn bare_crowd(program: &Path) -> anyhow::Result<Duration> {
    let began = Instant::now();
    let start = || std::process::Command::new(program).stdout(std::process::Stdio::null()).spawn();
    let mut tools = (0..AT_ONCE).map(|_| start()).collect::<Result<Vec<_>, _>>().context("run the tool")?;
    for tool in &mut tools {
        tool.wait().context("wait for the tool")?;
    }
    Ok(began.elapsed())
}

async fn open_socket(world: &World, cookie: &str) -> anyhow::Result<TcpStream> {
    let mut stream = TcpStream::connect(("127.0.0.1", world.ports().owner)).await?;
    let request = format!(
        "GET /ws HTTP/1.1\r\nHost: x\r\nCookie: {cookie}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = vec![0; 4096];
    let mut length = 0;
    while !String::from_utf8_lossy(&answer[..length]).contains("build_info") {
        let read = stream.read(&mut answer[length..]).await?;
        ensure!(read > 0, "no socket: {}", String::from_utf8_lossy(&answer[..length]));
        length += read;
    }
    Ok(stream)
}

/// The resident memory when nothing happens any more; this is a wait that is for a time.
async fn settled_memory(pid: u32) -> anyhow::Result<f64> {
    tokio::time::sleep(Duration::from_secs(2)).await;
    memory::mib(pid, "Rss:")
}
