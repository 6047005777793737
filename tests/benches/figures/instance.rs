//! One chat server, and a guest from nothing.

use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use remotelab_tests::http;
use remotelab_tests::world::World;
use serde_json::json;

use crate::{Figures, spread};

/// Says one thing and ends: what is measured is the product, not the tool.
const TOOL: &str = r#"#!/bin/sh
echo '{"type":"assistant","message":{"content":[{"type":"text","text":"done"}]}}'
echo '{"type":"result","subtype":"success","is_error":false,"result":"done"}'
"#;

/// From the post to the 202, which promises that it is on disk; beside one fdatasync of that disk.
pub(crate) async fn message_acknowledged(figures: &mut Figures) -> anyhow::Result<()> {
    let world = World::without_executors().await?;
    world.tool("quick", TOOL)?;
    std::fs::create_dir_all(world.config()).context("create the configuration folder")?;
    let tools =
        json!([{"id": "quick", "name": "Quick", "command": "quick", "runtimeFamily": "claude-stream-json"}]);
    std::fs::write(world.config().join("tools.json"), tools.to_string()).context("write tools")?;
    let _up = world.up().await?;
    let owner = world.owner().await?;
    // One connection for all, as a browser and a connector have it.
    let kept = reqwest::Client::builder().no_proxy().build().context("make a client")?;
    let mut acknowledged = Vec::new();
    let mut answered = Vec::new();
    for number in 0..100 {
        let session = owner.open_session("quick").await?;
        let message = json!({"requestId": format!("bench-{number}"), "text": "go"});
        let url = format!("{}/api/sessions/{session}/messages", world.owner_url());
        let request = kept.post(url).header("cookie", owner.cookie()).json(&message);
        let began = Instant::now();
        let answer = http::send(request).await?;
        acknowledged.push(began.elapsed());
        anyhow::ensure!(answer.status == 202, "{answer:?}");
        let run = answer.json()?["run"]["id"].as_str().context("no run")?.to_owned();
        owner.finished(&run).await?;
        answered.push(began.elapsed());
    }
    let sync = bare_sync(world.root())?;
    figures.add("one fdatasync of 4 KiB, growing file", spread(sync));
    figures.add("message acknowledged, synced", spread(acknowledged));
    figures.add("post to answer, tool included", spread(answered));
    Ok(())
}

fn bare_sync(folder: &Path) -> anyhow::Result<Vec<Duration>> {
    let mut file = std::fs::File::create(folder.join("synced")).context("create a file")?;
    let mut times = Vec::new();
    for _ in 0..100 {
        let began = Instant::now();
        file.write_all(&[b'x'; 4_096]).and_then(|()| file.sync_data()).context("write and sync")?;
        times.push(began.elapsed());
    }
    Ok(times)
}

/// From the command to the guest's own page behind the gateway.
pub(crate) async fn trial_reachable(figures: &mut Figures) -> anyhow::Result<()> {
    let world = World::without_executors().await?;
    let _up = world.up().await?;
    let mut times = Vec::new();
    for number in 1..=10 {
        let began = Instant::now();
        let created = world.run(&["guest-instance", "create-trial", "--json"]).await?;
        anyhow::ensure!(created.code == Some(0), "create-trial: {created:?}");
        first_page(&format!("{}/trial{number}/login", world.gateway_url())).await?;
        times.push(began.elapsed());
    }
    figures.add("create-trial to reachable", spread(times));
    Ok(())
}

pub(crate) async fn first_page(url: &str) -> anyhow::Result<()> {
    let began = Instant::now();
    loop {
        let answer = http::send(http::client().get(url)).await;
        if answer.is_ok_and(|answer| answer.status.as_u16() == 200) {
            return Ok(());
        }
        anyhow::ensure!(began.elapsed() < Duration::from_secs(20), "no page at {url}");
        tokio::time::sleep(Duration::from_micros(500)).await;
    }
}
