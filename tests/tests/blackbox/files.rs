//! Large files: streamed to the disk and back, at the price of a little memory.

use std::fs;

use anyhow::{Context as _, ensure};
use futures_util::{StreamExt as _, stream};
use remotelab_tests::http;
use remotelab_tests::world::World;
use reqwest::multipart::{Form, Part};
use reqwest::{Body, StatusCode};
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
