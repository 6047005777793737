//! What a run costs while nothing happens in it: nothing, neither in the server nor in its runner.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use remotelab_tests::process::processor_time;
use remotelab_tests::world::World;
use serde_json::json;

/// Tells how long its runner was at work, is silent for two seconds, and tells it again.
const SILENT: &str = r#"#!/bin/sh
cat /proc/$PPID/task/*/schedstat > before
sleep 2
cat /proc/$PPID/task/*/schedstat > after
echo '{"type":"item.completed","item":{"id":"m","type":"agent_message","text":"done"}}'
"#;

/// Five hundredths of the silence. One that is looked at again and again takes all of it.
const MOST: Duration = Duration::from_millis(100);

#[tokio::test]
async fn a_silent_run_takes_no_processor_time() -> anyhow::Result<()> {
    let world = World::without_executors().await?;
    world.tool("silent", SILENT)?;
    fs::create_dir_all(world.config()).context("create the configuration folder")?;
    let tools =
        json!([{"id": "silent", "name": "Silent", "command": "silent", "runtimeFamily": "codex-json"}]);
    fs::write(world.config().join("tools.json"), tools.to_string()).context("write tools")?;
    let up = world.up().await?;
    let owner = world.owner().await?;
    let chat = world.processes_of("chat").first().copied().context("no chat server")?;
    let session = owner.open_session_with(json!({"folder": world.work(), "tool": "silent"})).await?;

    let run = owner.say(&session, "r", "go").await?.run.context("no run")?;
    let waited = owner.get(&format!("/api/runs/{run}?wait=1")).await?;
    ensure!(waited["run"]["state"] == "running", "{waited:#}");
    let before = processor_time(chat)?;
    let ended = owner.get(&format!("/api/runs/{run}?wait=30")).await?;
    ensure!(ended["run"]["state"] == "completed", "{ended:#}");
    let server = processor_time(chat)? - before;
    let runner = total(&world.work().join("after"))? - total(&world.work().join("before"))?;

    ensure!(server < MOST, "the server worked for {server:?}");
    ensure!(runner < MOST, "the runner worked for {runner:?}");
    drop(up);
    Ok(())
}

/// Adds what the kernel told of the threads of a process.
fn total(file: &Path) -> anyhow::Result<Duration> {
    let text = fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
    let times = text.lines().filter_map(|line| line.split(' ').next()?.parse::<u64>().ok());
    Ok(Duration::from_nanos(times.sum()))
}
