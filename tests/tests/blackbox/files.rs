//! Large files, at the price of a little memory, and files of runs whose server dies.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use futures_util::{StreamExt as _, stream};
use remotelab_tests::api::Client;
use remotelab_tests::http;
use remotelab_tests::process::signal_to;
use remotelab_tests::wait::eventually;
use remotelab_tests::world::World;
use reqwest::multipart::{Form, Part};
use reqwest::{Body, Method, StatusCode};
use rustix::process::Signal;
use serde_json::{Value, json};

const MEBIBYTE: usize = 1 << 20;

/// What the server may need beside the bytes: they are more than twice as many.
const MOST_MEMORY: u64 = 96 << 20;

fn bytes(count: usize) -> Body {
    let chunk = vec![7; MEBIBYTE];
    Body::wrap_stream(stream::iter((0..count).map(move |_| Ok::<_, std::io::Error>(chunk.clone()))))
}

/// The most memory that a process ever held.
fn high_water(pid: u32) -> anyhow::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).context("ask for its memory")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("a high-water mark")?;
    let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse().context("a number")?;
    Ok(kibibytes << 10)
}

#[tokio::test]
async fn large_files_take_little_memory() -> anyhow::Result<()> {
    let world = World::without_executors().await?;
    let _up = world.up().await?;
    let owner = world.owner().await?;
    let session = owner.open_session("demo").await?;
    let pid = *world.processes_of("chat").first().context("a chat server")?;
    let intent = json!({"sessionId": session, "originalName": "large.bin", "sizeBytes": 300 * MEBIBYTE});
    let begun = owner.post("/api/assets/upload-intents", &intent).await?;
    let url = format!("{}{}", world.owner_url(), begun["upload"]["url"].as_str().context("an address")?);
    let put = http::client().put(url).header("cookie", owner.cookie()).body(bytes(300));
    let answer = http::send(put).await?;
    ensure!(answer.status == StatusCode::OK, "{answer:?}");
    let id = begun["asset"]["id"].as_str().context("an id")?;
    owner.post(&format!("/api/assets/{id}/finalize"), &json!({})).await?;

    let url = format!("{}/api/assets/{id}/download", world.owner_url());
    let download = http::client().get(&url).header("cookie", owner.cookie()).send().await?;
    let (mut chunks, mut size) = (download.bytes_stream(), 0);
    while let Some(chunk) = chunks.next().await {
        size += chunk?.len();
    }
    ensure!(size == 300 * MEBIBYTE, "{size} bytes came back");

    let part = Part::stream(bytes(200)).file_name("also large.bin");
    let form = Form::new().text("text", "keep it").text("requestId", "large").part("attachments", part);
    let messages = format!("{}/api/sessions/{session}/messages", world.owner_url());
    let post = http::client().post(&messages).header("cookie", owner.cookie()).multipart(form);
    let answer = http::send(post).await?;
    ensure!(answer.status == StatusCode::ACCEPTED, "{answer:?}");
    let events = owner.events(&session).await?;
    let sizes: Vec<&Value> = events.iter().map(|event| &event["attachments"][0]["sizeBytes"]).collect();
    ensure!(*sizes[0] == 200 * MEBIBYTE, "{sizes:?}");

    let too_much = Form::new().text("text", "x").part("attachments", Part::stream(bytes(257)).file_name("b"));
    let post = http::client().post(&messages).header("cookie", owner.cookie()).multipart(too_much);
    let answer = http::send(post).await?;
    ensure!(answer.status == StatusCode::PAYLOAD_TOO_LARGE, "{answer:?}");
    let images: Vec<_> = fs::read_dir(world.config().join("images"))?.collect();
    ensure!(images.len() == 1, "{images:?}");

    let most = high_water(pid)?;
    ensure!(most < MOST_MEMORY, "the server held {} MiB", most >> 20);
    Ok(())
}

#[tokio::test]
async fn files_go_through_the_gateway_below_its_prefix() -> anyhow::Result<()> {
    let world = World::without_executors().await?;
    let _up = world.up().await?;
    let owner = Client::login(&format!("{}/owner", world.gateway_url()), &world.owner_token()?).await?;
    let session = owner.open_session("demo").await?;
    let intent = json!({"sessionId": session, "originalName": "a.txt"});
    let begun = owner.post("/api/assets/upload-intents", &intent).await?;
    let id = begun["asset"]["id"].as_str().context("an id")?;
    let path = begun["upload"]["url"].as_str().context("an address")?;
    ensure!(path == format!("/owner/api/assets/{id}/content"), "{path}");
    let put = http::client().put(format!("{}{path}", world.gateway_url())).header("cookie", owner.cookie());
    let answer = http::send(put.body("0123456789")).await?;
    ensure!(answer.status == StatusCode::OK, "{answer:?}");
    let finished = owner.post(&format!("/api/assets/{id}/finalize"), &json!({})).await?;
    let path = finished["asset"]["directUrl"].as_str().context("an address")?;
    let get = http::client().get(format!("{}{path}", world.gateway_url())).header("cookie", owner.cookie());
    let part = http::send(get.header("range", "bytes=2-4")).await?;
    ensure!(part.status == StatusCode::PARTIAL_CONTENT && part.text == "234", "{part:?}");

    let shown = json!({"attachments": [{"assetId": id}]});
    owner.post(&format!("/api/sessions/{session}/assistant-messages"), &shown).await?;
    let page = owner.send(Method::GET, &format!("/s/{session}"), None).await?;
    ensure!(page.text.contains(r#"<base href="/owner/">"#), "{}", page.text);
    ensure!(page.text.contains(&format!(r#"href="api/assets/{id}/download?download=1""#)), "{}", page.text);
    Ok(())
}

/// Writes a file and names it.
const WRITER: &str = r#"#!/bin/sh
head -c 3000000 /dev/zero > "$HOME/work/result.bin"
echo '{"type":"assistant","message":{"content":[{"type":"text","text":"See `result.bin`."}]}}'
echo '{"type":"result","subtype":"success","is_error":false,"result":"done"}'
"#;

const ROUNDS: u64 = 6;

#[tokio::test]
async fn what_a_run_made_is_offered_once_whenever_the_server_dies() -> anyhow::Result<()> {
    let world = World::without_executors().await?;
    world.tool("writer", WRITER)?;
    fs::create_dir_all(world.config()).context("create the configuration folder")?;
    let tools = json!([{"id": "writer", "name": "Writer", "command": "writer", "runtimeFamily": "claude-stream-json"}]);
    fs::write(world.config().join("tools.json"), tools.to_string()).context("write tools")?;
    let _up = world.up().await?;
    let mut sessions = Vec::new();
    for round in 0..ROUNDS {
        let owner = eventually("a login", async || Ok(world.owner().await.ok())).await?;
        let fields = json!({"folder": "~/work", "tool": "writer"});
        let session = owner.open_session_with(fields).await?;
        let run = owner.say(&session, "r", "make it").await?.run.context("a run")?;
        let result = world.config().join(format!("chat-runs/{run}/result.json"));
        eventually("the executor's end", async || Ok(result.exists().then_some(()))).await?;
        let pid = *world.processes_of("chat").first().context("a chat server")?;
        // Before the end of the run is noted, while the file is copied, after it is offered.
        tokio::time::sleep(Duration::from_millis(4 * round)).await;
        signal_to(pid, Signal::KILL)?;
        sessions.push(session);
    }
    let owner = eventually("a login", async || Ok(world.owner().await.ok())).await?;
    for session in &sessions {
        let offers = eventually("the offer of the file", async || {
            let events = owner.events(session).await?;
            let offers = events.into_iter().filter(|event| event["source"] == "result_file_assets");
            let offers: Vec<Value> = offers.collect();
            Ok((!offers.is_empty()).then_some(offers))
        })
        .await?;
        ensure!(offers.len() == 1, "{offers:#?}");
        ensure!(offers[0]["attachments"][0]["sizeBytes"] == 3_000_000, "{offers:#?}");
    }
    // One record each: a second try makes the same asset, and nothing half copied is left.
    let names = |folder: &str| -> anyhow::Result<usize> {
        let entries = fs::read_dir(world.config().join(folder))?.collect::<Result<Vec<_>, _>>()?;
        Ok(entries.iter().filter(|entry| entry.path().is_file()).count())
    };
    // A record may come into its file a little after it is known.
    eventually("one record and one file for each", async || {
        let count = (names("file-assets")?, names("file-assets/objects")?);
        Ok((count == (sessions.len(), sessions.len())).then_some(()))
    })
    .await?;
    Ok(())
}
