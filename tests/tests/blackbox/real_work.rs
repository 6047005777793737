//! The real executors at work for the real server: what they change, how they are stopped, why they fail.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use remotelab_tests::api::Client;
use remotelab_tests::executors::{Login, RealExecutors};
use remotelab_tests::ports;
use remotelab_tests::standin_model::{Script, Step};
use remotelab_tests::wait::{eventually, within};
use remotelab_tests::world::World;
use serde_json::{Value, json};

#[tokio::test]
async fn codex_writes_a_file_and_says_so() -> anyhow::Result<()> {
    let events = a_file_is_written("codex").await?;
    let change = events.iter().find(|event| event["type"] == "file_change").context("no file change")?;
    let path = change["filePath"].as_str().unwrap_or_default();
    ensure!(path.ends_with("note.txt") && change["changeType"] == "add", "{change:#}");
    Ok(())
}

#[tokio::test]
async fn claude_writes_a_file_and_says_so() -> anyhow::Result<()> {
    let events = a_file_is_written("claude").await?;
    let call = events.iter().find(|event| event["type"] == "tool_use").context("no tool was used")?;
    ensure!(call["toolName"] == "Write", "{call:#}");
    let result = events.iter().find(|event| event["type"] == "tool_result").context("no result")?;
    ensure!(result["toolName"] == "Write" && result["exitCode"] == 0, "{result:#}");
    Ok(())
}

async fn a_file_is_written(tool: &str) -> anyhow::Result<Vec<Value>> {
    let world = World::new().await?;
    let steps = [Step::add_file("note.txt", "one\ntwo\n"), Step::text("Written")];
    world.model().script(Script::new().when_text("write a note", steps));
    let _up = world.up().await?;
    let owner = world.owner().await?;
    let session = owner.open_session_with(json!({"folder": world.work(), "tool": tool})).await?;
    ensure!(owner.ask(&session, "please write a note").await? == "Written");
    ensure!(std::fs::read_to_string(world.work().join("note.txt"))? == "one\ntwo\n");
    owner.events(&session).await
}

#[tokio::test]
async fn codex_is_stopped_in_the_middle() -> anyhow::Result<()> {
    a_run_is_stopped("codex").await
}

#[tokio::test]
async fn claude_is_stopped_in_the_middle() -> anyhow::Result<()> {
    a_run_is_stopped("claude").await
}

/// It ends with everything that it started, and the session takes the next message.
async fn a_run_is_stopped(tool: &str) -> anyhow::Result<()> {
    let world = World::new().await?;
    let held = [Step::text("first "), Step::hold("half"), Step::text("second")];
    world.model().script(Script::new().when_text("take your time", held));
    let _up = world.up().await?;
    let owner = world.owner().await?;
    let session = owner.open_session(tool).await?;
    let posted = owner.say(&session, "slow", "take your time").await?;
    let run = posted.run.context("the message was queued")?;
    world.model().held("half").await?;
    let at_work = world.processes().len();

    owner.post(&format!("/api/sessions/{session}/cancel"), &json!({})).await?;

    let ended = owner.finished(&run).await?;
    ensure!(ended["state"] == "cancelled" && ended["failureReason"].is_null(), "{ended:#}");
    ensure!(last_event(&owner, &session).await?["content"] == "cancelled");
    within(Duration::from_secs(10), "the end of its processes", async || {
        let left = world.processes();
        let of_run = left.iter().any(|found| found.words.iter().any(|word| word == "runner"));
        Ok((!of_run && left.len() < at_work).then_some(()))
    })
    .await?;
    world.model().release("half");
    ensure!(owner.ask(&session, "and now?").await? == "You said: and now?");
    Ok(())
}

#[tokio::test]
async fn who_is_not_signed_in_is_told_so() -> anyhow::Result<()> {
    let world = World::without_executors().await?;
    world.link_executors(Login::Out)?;
    let _up = world.up().await?;
    let claude = reason(&world, "claude").await?;
    ensure!(claude.starts_with("Claude is not signed in: "), "{claude}");

    world.link_executors(Login::In)?;
    world.model().script(Script::new().otherwise([Step::status(401)]));
    let codex = reason(&world, "codex").await?;
    ensure!(codex.starts_with("Codex is not signed in: "), "{codex}");
    Ok(())
}

#[tokio::test]
async fn a_model_that_is_away_is_told_of() -> anyhow::Result<()> {
    let world = World::without_executors().await?;
    let nobody = format!("http://127.0.0.1:{}", ports::free()?);
    RealExecutors::locate()?.link(&world.bin(), &nobody, Login::In)?;
    let _up = world.up().await?;
    let claude = reason(&world, "claude").await?;
    ensure!(claude.starts_with("Claude could not reach its model over the network: "), "{claude}");

    // Codex waits for as long as it takes, says so meanwhile, and can be stopped.
    let owner = world.owner().await?;
    let session = owner.open_session("codex").await?;
    let posted = owner.say(&session, "one", "hello").await?;
    eventually("word of the network", async || {
        let told = last_event(&owner, &session).await?;
        let content = told["content"].as_str().unwrap_or_default();
        Ok(content.contains("waiting for network").then_some(()))
    })
    .await?;
    owner.post(&format!("/api/sessions/{session}/cancel"), &json!({})).await?;
    let ended = owner.finished(&posted.run.context("the message was queued")?).await?;
    ensure!(ended["state"] == "cancelled", "{ended:#}");
    Ok(())
}

#[tokio::test]
async fn a_model_that_is_out_of_order_is_told_of() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.model().script(Script::new().otherwise([Step::status(503)]));
    let _up = world.up().await?;
    for (tool, name) in [("codex", "Codex"), ("claude", "Claude")] {
        let reason = reason(&world, tool).await?;
        ensure!(reason.starts_with(&format!("The model behind {name} is overloaded")), "{reason}");
    }
    Ok(())
}

/// Posts a message that fails; returns why, as the record and the history tell it.
async fn reason(world: &World, tool: &str) -> anyhow::Result<String> {
    let owner = world.owner().await?;
    let session = owner.open_session(tool).await?;
    let posted = owner.say(&session, "one", "hello").await?;
    let run = posted.run.context("the message was queued")?;
    let run = eventually("the end of the run", async || {
        let run = owner.run(&run).await?;
        Ok((!run["finalizedAt"].is_null()).then_some(run))
    })
    .await?;
    ensure!(run["state"] == "failed", "{run:#}");
    let reason = run["failureReason"].as_str().context("no reason")?.to_owned();
    let told = last_event(&owner, &session).await?;
    ensure!(told["content"] == format!("error: {reason}"), "{told:#}");
    Ok(reason)
}

async fn last_event(owner: &Client, session: &str) -> anyhow::Result<Value> {
    owner.events(session).await?.pop().context("no events")
}
