//! kill -9 while a trigger is delivered: its message is worked on, once.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use remotelab_tests::api::Client;
use remotelab_tests::process::signal_to;
use remotelab_tests::wait::eventually;
use remotelab_tests::world::World;
use rustix::process::Signal;
use serde_json::{Value, json};

const ROUNDS: usize = 8;

/// Notes that it ran and answers.
const TOOL: &str = r#"#!/bin/sh
echo "$REMOTELAB_RUN_ID" >> "$HOME/ran"
echo '{"type":"assistant","message":{"content":[{"type":"text","text":"done"}]}}'
echo '{"type":"result","subtype":"success","is_error":false,"result":"done"}'
"#;

#[tokio::test]
async fn runtime_weakness_33_a_due_trigger_is_delivered_once_whatever_dies() -> anyhow::Result<()> {
    let world = World::without_executors().await?;
    world.tool("steady", TOOL)?;
    fs::create_dir_all(world.config()).context("create the configuration folder")?;
    let tools = json!([{"id": "steady", "name": "Steady", "command": "steady", "runtimeFamily": "claude-stream-json"}]);
    fs::write(world.config().join("tools.json"), tools.to_string()).context("write tools")?;
    let mut up = world.up().await?;
    let file = world.config().join("chat-triggers.json");
    let mut made = Vec::new();

    for round in 0..ROUNDS {
        let owner = eventually("a login", async || Ok(world.owner().await.ok())).await?;
        let session = owner.open_session("steady").await?;
        let text = format!("round {round}");
        let words = ["trigger", "create", "--session", &session, "--in", "300ms", "--text", &text, "--json"];
        let output = world.run(&words).await?;
        ensure!(output.code == Some(0), "{output:?}");
        let answer: Value = serde_json::from_str(&output.stdout).context("read what was made")?;
        let id = answer["trigger"]["id"].as_str().context("an id")?.to_owned();
        let pid = *world.processes_of("chat").first().context("a chat server")?;
        let before = Duration::from_millis(240 + 10 * u64::try_from(round)?);
        // Odd rounds die somewhere around the time, even ones in the middle of a delivery.
        if round % 2 == 1 {
            tokio::time::sleep(before).await;
        } else {
            until_claimed(&file, &id).await;
        }
        signal_to(pid, Signal::KILL)?;
        delivered(&world, &id).await.with_context(|| format!("round {round}"))?;
        made.push((session, id));
    }
    check(&world, &made).await?;

    // A server that died right before it noted the delivery: the next one must not repeat it.
    up.kill().await?;
    let mut stored: Value = serde_json::from_slice(&fs::read(&file)?)?;
    for trigger in stored.as_array_mut().context("a list")? {
        trigger["status"] = "delivering".into();
        trigger["enabled"] = true.into();
    }
    fs::write(&file, stored.to_string())?;
    let _up = world.up().await?;
    for (_, id) in &made {
        delivered(&world, id).await?;
    }
    check(&world, &made).await
}

/// One message, one line about it, one run.
async fn check(world: &World, made: &[(String, String)]) -> anyhow::Result<()> {
    let owner = world.owner().await?;
    for (session, id) in made {
        let trigger = get(&owner, id).await?;
        let run = trigger["runId"].as_str().context("a run")?.to_owned();
        let finished = owner.finished(&run).await?;
        ensure!(finished["state"] == "completed", "the run ended as {finished:#}");
        let events = owner.events(session).await?;
        let count = |holds: &dyn Fn(&Value) -> bool| events.iter().filter(|event| holds(event)).count();
        let line = format!("scheduled trigger fired: {id}");
        ensure!(count(&|event| event["role"] == "user") == 1, "{events:#?}");
        ensure!(count(&|event| event["content"] == *line) == 1, "{events:#?}");
        let ran = fs::read_to_string(world.home().join("ran")).context("read what ran")?;
        ensure!(ran.lines().filter(|line| *line == run).count() == 1, "{run} did not run once: {ran}");
    }
    Ok(())
}

async fn delivered(world: &World, id: &str) -> anyhow::Result<()> {
    eventually(format!("the delivery of {id}"), async || {
        let Ok(owner) = world.owner().await else { return Ok(None) };
        let Ok(trigger) = get(&owner, id).await else { return Ok(None) };
        ensure!(trigger["status"] != "failed", "{trigger:#}");
        Ok((trigger["status"] == "delivered").then_some(()))
    })
    .await
}

async fn get(owner: &Client, id: &str) -> anyhow::Result<Value> {
    Ok(owner.get(&format!("/api/triggers/{id}")).await?["trigger"].take())
}

/// Returns as soon as the file says that the trigger is being delivered, or has been.
async fn until_claimed(file: &Path, id: &str) {
    let (file, id): (PathBuf, String) = (file.to_owned(), id.to_owned());
    let looked = tokio::task::spawn_blocking(move || {
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(3) {
            let stored = fs::read(&file).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
            let stored: Value = stored.unwrap_or_default();
            let triggers = stored.as_array().map(Vec::as_slice).unwrap_or_default();
            if triggers.iter().any(|trigger| trigger["id"] == *id && trigger["status"] != "pending") {
                return;
            }
        }
    });
    // Whenever it is, the kill comes now.
    let _ = looked.await;
}
