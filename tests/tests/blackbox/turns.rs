//! What the real executors are asked after a turn, and that they do nothing for it.

use std::time::Duration;

use anyhow::ensure;
use remotelab_tests::standin_model::{Script, Step};
use remotelab_tests::wait::within;
use remotelab_tests::world::World;
use serde_json::{Value, json};

#[tokio::test]
async fn claude_names_the_session_without_tools() -> anyhow::Result<()> {
    a_session_is_named("claude").await
}

#[tokio::test]
async fn codex_names_the_session_without_tools() -> anyhow::Result<()> {
    a_session_is_named("codex").await
}

async fn a_session_is_named(tool: &str) -> anyhow::Result<()> {
    let world = World::new().await?;
    let about = json!({"title": "Sorting receipts", "group": "Home", "description": "Sorts them.",
        "workflowState": "done", "taskCard": {"goal": "Sorted receipts"}});
    let question = "Answer with a JSON object with these keys";
    let asked = [Step::text(format!("```json\n{about}\n```"))];
    world.model().script(Script::new().when_prompt(question, asked).otherwise([Step::text("Sorted")]));
    let _up = world.up().await?;
    let owner = world.owner().await?;
    let session = owner.open_session_with(json!({"folder": world.work(), "tool": tool})).await?;
    ensure!(owner.ask(&session, "sort the receipts").await? == "Sorted");
    let named = within(Duration::from_secs(60), "the session's name", async || {
        let session = owner.get(&format!("/api/sessions/{session}")).await?["session"].take();
        Ok((session["name"] == "Sorting receipts").then_some(session))
    })
    .await?;
    let told =
        json!([named["group"], named["description"], named["workflowState"], named["taskCard"]["goal"]]);
    ensure!(told == json!(["Home", "Sorts them.", "done", "Sorted receipts"]), "{named:#}");
    let runs = owner.get(&format!("/api/sessions/{session}/runs")).await?;
    let kinds: Vec<&Value> =
        runs["runs"].as_array().into_iter().flatten().map(|run| &run["internalOperation"]).collect();
    ensure!(kinds == [&json!("turn_helper"), &Value::Null], "{runs:#}");
    let mut calls = world.model().requests();
    calls.retain(|request| request.prompt.contains(question));
    ensure!(calls.len() == 1, "asked {} times", calls.len());
    if tool == "claude" {
        ensure!(calls[0].body["tools"].as_array().is_none_or(Vec::is_empty), "{}", calls[0].body["tools"]);
        ensure!(calls[0].model.contains("haiku"), "{}", calls[0].model);
    }
    Ok(())
}
