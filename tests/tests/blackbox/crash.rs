//! kill -9 of anything at any moment: what was acknowledged is done, once.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use remotelab_tests::api::Client;
use remotelab_tests::process::{Process, signal_to};
use remotelab_tests::wait::{eventually, within};
use remotelab_tests::world::World;
use rustix::process::Signal;
use serde_json::{Value, json};

const ROUNDS: usize = 50;

/// Notes that it ran, takes its time, answers.
const TOOL: &str = r#"#!/bin/sh
echo "$REMOTELAB_RUN_ID" >> "$HOME/ran"
sleep 0.1
echo '{"type":"assistant","message":{"content":[{"type":"text","text":"done"}]}}'
sleep 0.1
echo '{"type":"result","subtype":"success","is_error":false,"result":"done"}'
"#;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Victim {
    Chat,
    Gateway,
    Runner,
    Supervisor,
}

const VICTIMS: [Victim; 5] =
    [Victim::Chat, Victim::Runner, Victim::Gateway, Victim::Chat, Victim::Supervisor];

#[tokio::test]
async fn nothing_acknowledged_is_lost_or_done_twice() -> anyhow::Result<()> {
    let world = World::without_executors().await?;
    world.tool("steady", TOOL)?;
    fs::create_dir_all(world.config()).context("create the configuration folder")?;
    let tools = json!([{"id": "steady", "name": "Steady", "command": "steady", "runtimeFamily": "claude-stream-json"}]);
    fs::write(world.config().join("tools.json"), tools.to_string()).context("write tools")?;
    let mut up = world.up().await?;
    let mut done = Vec::new();
    let mut killed = BTreeMap::<Victim, usize>::new();

    for round in 0..ROUNDS {
        let victim = VICTIMS[round % VICTIMS.len()];
        let delay = Duration::from_millis(u64::from(rand::random::<u8>()));
        let (one, hit) = play(&world, &mut up, &format!("round-{round}"), victim, delay)
            .await
            .with_context(|| format!("round {round}: {victim:?} after {delay:?}"))?;
        done.push(one);
        *killed.entry(victim).or_default() += usize::from(hit);
    }

    let owner = world.owner().await?;
    let ran = fs::read_to_string(world.home().join("ran")).context("read what ran")?;
    for one in &done {
        one.check(&owner).await?;
        let times = ran.lines().filter(|line| one.run == *line).count();
        ensure!(times <= 1, "{} ran {times} times", one.request);
    }
    // A moment may come too late for a runner, but hardly ever.
    for victim in VICTIMS {
        let times = killed.get(&victim).copied().unwrap_or(0);
        ensure!(times >= 5, "{victim:?} was killed {times} times: {killed:?}");
    }
    Ok(())
}

/// A message, and what became of it.
struct Done {
    request: String,
    session: String,
    run: String,
    state: String,
}

/// Posts one message, kills at that moment, and waits for the end of the run.
async fn play(
    world: &World,
    up: &mut Process,
    request: &str,
    victim: Victim,
    delay: Duration,
) -> anyhow::Result<(Done, bool)> {
    let owner = world.owner().await?;
    let session = owner.open_session("steady").await?;
    let (posted, hit) = tokio::join!(owner.say(&session, request, "go on"), async {
        tokio::time::sleep(delay).await;
        kill(world, up, victim).await
    });
    let hit = hit?;
    if victim == Victim::Supervisor {
        *up = world.up().await?;
    }
    // A sender who got no answer sends the same again.
    let run = match posted.ok().and_then(|posted| posted.run) {
        Some(run) => run,
        None => again(world, &session, request).await?,
    };
    let finished = finished(world, &run).await?;
    let state = finished["state"].as_str().unwrap_or_default().to_owned();
    ensure!(
        state == "completed" || (state == "failed" && victim == Victim::Runner && hit),
        "the run ended as {finished:#}"
    );
    ensure!(up.is_running()?, "the supervisor ended");
    let request = request.to_owned();
    Ok((Done { request, session, run, state }, hit))
}

/// Kills one of that kind; false when there is none.
async fn kill(world: &World, up: &mut Process, victim: Victim) -> anyhow::Result<bool> {
    let word = match victim {
        Victim::Supervisor => {
            up.kill().await?;
            return Ok(true);
        }
        Victim::Chat => "chat",
        Victim::Gateway => "gateway",
        Victim::Runner => "runner",
    };
    // A runner may be about to come.
    let found =
        within(Duration::from_millis(300), word, async || Ok(world.processes_of(word).first().copied()));
    match found.await {
        // It may end between the two.
        Ok(pid) => Ok(signal_to(pid, Signal::KILL).is_ok()),
        Err(_) => Ok(false),
    }
}

/// Posts again until there is an answer, which names the one run of this request.
async fn again(world: &World, session: &str, request: &str) -> anyhow::Result<String> {
    eventually(format!("an answer to {request}"), async || {
        let Ok(owner) = world.owner().await else {
            return Ok(None);
        };
        let posted = owner.say(session, request, "go on").await;
        Ok(posted.ok().and_then(|posted| posted.run))
    })
    .await
}

async fn finished(world: &World, run: &str) -> anyhow::Result<Value> {
    eventually(format!("the end of {run}"), async || {
        let Ok(owner) = world.owner().await else {
            return Ok(None);
        };
        let run = owner.run(run).await.ok();
        Ok(run.filter(|run| !run["finalizedAt"].is_null()))
    })
    .await
}

impl Done {
    /// One user message, one reply when the run was completed, and nothing that still waits.
    async fn check(&self, owner: &Client) -> anyhow::Result<()> {
        let events = owner.events(&self.session).await?;
        let messages = |role: &str| {
            let is_one = |event: &&Value| event["type"] == "message" && event["role"] == role;
            let of_run = |event: &&Value| event["runId"] == *self.run;
            events.iter().filter(is_one).filter(of_run).count()
        };
        let request = &self.request;
        ensure!(messages("user") == 1, "{request}: {events:#?}");
        match self.state.as_str() {
            "completed" => ensure!(messages("assistant") == 1, "{request}: {events:#?}"),
            // The runner may have died before or after its tool spoke.
            _ => ensure!(messages("assistant") <= 1, "{request}: {events:#?}"),
        }
        let session = owner.get(&format!("/api/sessions/{}", self.session)).await?;
        let state = &session["session"]["activity"]["run"]["state"];
        ensure!(*state == "idle", "{request} is stuck: {session:#}");
        Ok(())
    }
}
