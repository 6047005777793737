//! OpenCode, Gemini, GitHub Copilot and Cline: the real programs at work for the real server.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use remotelab_tests::executors::cache;
use remotelab_tests::standin_model::{Api, Script, Step};
use remotelab_tests::world::World;
use serde_json::{Value, json};

#[tokio::test]
async fn opencode_does_a_task() -> anyhow::Result<()> {
    let world = World::without_executors().await?;
    let config = json!({
        "model": "anthropic/standin",
        "autoupdate": false,
        "share": "disabled",
        "provider": {"anthropic": {
            "options": {"baseURL": format!("{}/v1", world.model().base_url()), "apiKey": "standin"},
            "models": {"standin": {"name": "Standin", "limit": {"context": 200_000, "output": 8_000}}},
        }},
    });
    let variables = [
        ("OPENCODE_CONFIG_CONTENT", config.to_string()),
        ("OPENCODE_DISABLE_AUTOUPDATE", "1".into()),
        ("OPENCODE_DISABLE_MODELS_FETCH", "1".into()),
        ("OPENCODE_DISABLE_DEFAULT_PLUGINS", "1".into()),
        ("OPENCODE_DISABLE_LSP_DOWNLOAD", "1".into()),
        ("OPENCODE_PURE", "1".into()),
    ];
    link(&world, "opencode", &variables, "")?;
    a_task_and_the_next(&world, "opencode", Api::Messages).await
}

#[tokio::test]
async fn gemini_does_a_task() -> anyhow::Result<()> {
    let world = World::without_executors().await?;
    let variables = [
        ("GEMINI_API_KEY", "standin".into()),
        ("GOOGLE_GEMINI_BASE_URL", world.model().base_url()),
        // Else it starts itself a second time, to get more memory.
        ("GEMINI_CLI_NO_RELAUNCH", "true".into()),
    ];
    gemini_settings(&world, &json!({"auth": {"selectedType": "gemini-api-key"}}))?;
    link(&world, "gemini", &variables, "--model gemini-2.5-pro")?;
    a_task_and_the_next(&world, "gemini", Api::Gemini).await
}

#[tokio::test]
async fn copilot_does_a_task() -> anyhow::Result<()> {
    let world = World::without_executors().await?;
    let variables = [
        ("COPILOT_PROVIDER_BASE_URL", world.model().base_url()),
        ("COPILOT_PROVIDER_TYPE", "anthropic".into()),
        ("COPILOT_PROVIDER_API_KEY", "standin".into()),
        ("COPILOT_MODEL", "claude-standin".into()),
        ("COPILOT_AUTO_UPDATE", "false".into()),
    ];
    link(&world, "copilot", &variables, "")?;
    a_task_and_the_next(&world, "copilot", Api::Messages).await
}

#[tokio::test]
async fn cline_does_a_task() -> anyhow::Result<()> {
    let world = World::without_executors().await?;
    let settings = world.home().join(".cline/data/settings");
    fs::create_dir_all(&settings)?;
    let provider = json!({
        "provider": "openai-compatible",
        "apiKey": "standin",
        "model": "standin",
        "baseUrl": format!("{}/v1", world.model().base_url()),
    });
    let providers = json!({
        "version": 1,
        "lastUsedProvider": "openai-compatible",
        "providers": {"openai-compatible": {
            "settings": provider,
            "updatedAt": "2026-11-22T12:00:00.000Z",
            "tokenSource": "manual",
        }},
    });
    fs::write(settings.join("providers.json"), providers.to_string())?;
    link(&world, "cline", &[("CLINE_NO_AUTO_UPDATE", "1".into())], "")?;
    a_task_and_the_next(&world, "cline", Api::Chat).await?;
    assert_eq!(world.processes_of("--cline-hub-daemon"), [0; 0], "Cline left a service behind");
    Ok(())
}

#[tokio::test]
async fn without_an_account_each_says_so() -> anyhow::Result<()> {
    let world = World::without_executors().await?;
    gemini_settings(&world, &json!({}))?;
    link(&world, "gemini", &[("GEMINI_CLI_NO_RELAUNCH", "true".into())], "")?;
    link(&world, "copilot", &[("COPILOT_AUTO_UPDATE", "false".into())], "")?;
    let _up = world.up().await?;
    let owner = world.owner().await?;
    for (tool, name) in [("gemini", "Gemini CLI"), ("copilot", "GitHub Copilot")] {
        let session = owner.open_session(tool).await?;
        let posted = owner.say(&session, "one", "hello").await?;
        let run = owner.finished(&posted.run.unwrap_or_default()).await?;
        assert_eq!(run["state"], "failed");
        let reason = run["failureReason"].as_str().unwrap_or_default();
        assert!(reason.starts_with(&format!("{name} is not signed in: ")), "{run:#}");
    }
    Ok(())
}

/// The same for each: thinking or not, a command, an answer, and a second message that knows the first.
async fn a_task_and_the_next(world: &World, tool: &str, api: Api) -> anyhow::Result<()> {
    world.model().script(
        Script::new()
            .when_text(
                "add the numbers",
                [Step::shell("expr 40 + 2 | sed s/^/sum-/"), Step::text("The sum "), Step::text("is **42**")],
            )
            .when_text("what was it", [Step::text("It was 42")]),
    );
    let _up = world.up().await?;
    let owner = world.owner().await?;
    let session = owner.open_session(tool).await?;

    assert_eq!(owner.ask(&session, "please add the numbers").await?, "The sum is **42**");

    let events = owner.events(&session).await?;
    let of_kind =
        |kind: &str| -> Vec<&Value> { events.iter().filter(|event| event["type"] == kind).collect() };
    assert_eq!(of_kind("tool_use").len(), 1, "{events:#?}");
    let results = of_kind("tool_result");
    assert_eq!(results.len(), 1, "{events:#?}");
    assert!(results[0]["output"].as_str().is_some_and(|text| text.starts_with("sum-42")), "{results:#?}");
    assert_eq!(results[0]["exitCode"], 0);

    assert_eq!(owner.ask(&session, "and what was it?").await?, "It was 42");
    let requests = world.model().requests();
    let second =
        requests.iter().rfind(|request| request.api == api && request.user_text == "and what was it?");
    let second = second.context("the second message did not arrive")?.body.to_string();
    assert!(second.contains("The sum is **42**"), "the conversation was forgotten: {second}");
    Ok(())
}

/// Writes settings with which Gemini keeps to itself.
fn gemini_settings(world: &World, security: &Value) -> anyhow::Result<()> {
    let folder = world.home().join(".gemini");
    fs::create_dir_all(&folder)?;
    let settings = json!({
        "security": security,
        "privacy": {"usageStatisticsEnabled": false},
        "general": {"enableAutoUpdate": false, "enableAutoUpdateNotification": false},
    });
    Ok(fs::write(folder.join("settings.json"), settings.to_string())?)
}

/// Puts a script on the search path that runs the real program with these variables.
fn link(world: &World, name: &str, variables: &[(&str, String)], flags: &str) -> anyhow::Result<()> {
    let exports: String = variables
        .iter()
        .map(|(key, value)| format!("export {key}='{}'\n", value.replace('\'', "'\\''")))
        .collect();
    let program = program(name)?;
    world.tool(name, &format!("#!/bin/sh\n{exports}exec '{}' {flags} \"$@\"\n", program.display()))
}

fn program(name: &str) -> anyhow::Result<PathBuf> {
    let path = cache()?.join(Path::new("npm/node_modules/.bin")).join(name);
    if !path.is_file() {
        bail!("{} is missing; install it with: cargo xtask setup", path.display());
    }
    Ok(path)
}
