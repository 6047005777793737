//! Files in a real object storage: put there by client and server, read from there by client and runner.

use std::fs;

use anyhow::{Context as _, ensure};
use remotelab_tests::api::Client;
use remotelab_tests::http;
use remotelab_tests::object_storage::ObjectStorage;
use remotelab_tests::wait::eventually;
use remotelab_tests::world::World;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

/// Prints the files that its prompt, its last argument, speaks of.
const READER: &str = r#"#!/bin/sh
for last; do :; done
printf '%s' "$last" | sed -n 's/^\[User attached [a-z]*: .* -> \(.*\)\]$/\1/p' | while read -r file; do cat "$file"; done > "$HOME/read"
echo '{"type":"assistant","message":{"content":[{"type":"text","text":"done"}]}}'
echo '{"type":"result","subtype":"success","is_error":false,"result":"done"}'
"#;

async fn world(storage: &ObjectStorage) -> anyhow::Result<World> {
    let mut world = World::without_executors().await?;
    storage.tell(&mut world);
    world.tool("reader", READER)?;
    fs::create_dir_all(world.config()).context("create the configuration folder")?;
    let tools = json!([{"id": "reader", "name": "Reader", "command": "reader", "runtimeFamily": "claude-stream-json"}]);
    fs::write(world.config().join("tools.json"), tools.to_string()).context("write tools")?;
    Ok(world)
}

/// Follows a download to the storage.
async fn fetch(owner: &Client, id: &str, query: &str) -> anyhow::Result<http::Answer> {
    let answer = owner.send(Method::GET, &format!("/api/assets/{id}/download{query}"), None).await?;
    ensure!(answer.status == StatusCode::FOUND, "{answer:?}");
    http::send(http::client().get(answer.header("location").context("an address")?)).await
}

fn text<'a>(value: &'a Value, pointer: &str) -> anyhow::Result<&'a str> {
    value.pointer(pointer).and_then(Value::as_str).with_context(|| format!("{pointer} in {value}"))
}

#[tokio::test]
async fn a_client_uploads_to_the_storage_itself_and_the_runner_reads_from_it() -> anyhow::Result<()> {
    let storage = ObjectStorage::start().await?;
    let world = world(&storage).await?;
    let _up = world.up().await?;
    let owner = world.owner().await?;
    let session = owner.open_session("reader").await?;
    let intent = json!({"sessionId": session, "originalName": "Grüße an b.txt", "mimeType": "image/png"});
    let begun = owner.post("/api/assets/upload-intents", &intent).await?;
    let id = text(&begun, "/asset/id")?;
    let url = text(&begun, "/upload/url")?;
    let place = format!("{}/session-assets/{session}/", storage.base_url());
    ensure!(url.starts_with(&place) && url.contains("Gr-e-an-b.txt?X-Amz-Algorithm="), "{url}");

    let finalize = format!("/api/assets/{id}/finalize");
    let early = owner.send(Method::POST, &finalize, Some(&json!({}))).await?;
    ensure!(early.status == StatusCode::CONFLICT, "{early:?}");
    let forged = http::send(http::client().put(url.replace("Gr-e", "Other")).body("x")).await?;
    ensure!(forged.status == StatusCode::FORBIDDEN, "{forged:?}");
    let put = http::client().put(url).header("content-type", text(&begun, "/upload/headers/Content-Type")?);
    let put = http::send(put.body("from afar\n")).await?;
    ensure!(put.status == StatusCode::OK, "{put:?}");
    let finished = owner.post(&finalize, &json!({"sizeBytes": 10})).await?;
    // What it is was read from the storage, not believed.
    ensure!(finished["asset"]["mimeType"] == "text/plain", "{finished}");
    let direct = http::send(http::client().get(text(&finished, "/asset/directUrl")?)).await?;
    ensure!(
        direct.text == "from afar\n" && finished["asset"]["directUrlExpiresAt"].is_string(),
        "{finished}"
    );

    let saved = fetch(&owner, id, "?download=1").await?;
    let disposition = saved.header("content-disposition").unwrap_or_default();
    ensure!(saved.text == "from afar\n", "{saved:?}");
    ensure!(disposition.ends_with("filename*=UTF-8''Gr%C3%BC%C3%9Fe%20an%20b.txt"), "{disposition}");

    let message = json!({"text": "read it", "attachments": [{"assetId": id}]});
    let run = owner.say_with(&session, &message).await?.run.context("a run")?;
    let ended = owner.finished(&run).await?;
    ensure!(ended["state"] == "completed", "{ended}");
    ensure!(fs::read_to_string(world.home().join("read"))? == "from afar\n");
    let cached = world.config().join(format!("file-assets-cache/{id}.txt"));
    ensure!(fs::read_to_string(&cached)? == "from afar\n");

    let page = owner.send(Method::GET, "/", None).await?;
    let policy = page.header("content-security-policy").unwrap_or_default();
    let origin = storage.base_url().trim_end_matches("/files").to_owned();
    ensure!(policy.contains(&format!("img-src 'self' blob: data: {origin};")), "{policy}");
    Ok(())
}

#[tokio::test]
async fn received_files_go_to_the_storage_and_come_back_without_it() -> anyhow::Result<()> {
    let mut storage = ObjectStorage::start().await?;
    let world = world(&storage).await?;
    let _up = world.up().await?;
    let owner = world.owner().await?;
    let session = owner.open_session("reader").await?;
    let inline = json!({"text": "look", "attachments": [{"data": "aGVsbG8K", "originalName": "a.txt"}]});
    let run = owner.say_with(&session, &inline).await?.run.context("a run")?;
    ensure!(owner.finished(&run).await?["state"] == "completed");
    let events = owner.events(&session).await?;
    let id = text(&events[0], "/attachments/0/assetId")?;
    // A record may come into its file a little after it is known.
    let record = world.config().join(format!("file-assets/{id}.json"));
    let record: Value = eventually("the file's record", async || {
        let bytes = fs::read(&record).ok();
        Ok(bytes.map(|bytes| serde_json::from_slice(&bytes)).transpose()?)
    })
    .await?;
    ensure!(record["storage"]["provider"] == "s3-compatible", "{record}");
    ensure!(fetch(&owner, id, "").await?.text == "hello\n");

    // The copy that stayed here is enough for a run; without either the run says what is missing.
    storage.stop().await?;
    let again = json!({"text": "again", "attachments": [{"assetId": id}]});
    let run = owner.say_with(&session, &again).await?.run.context("a run")?;
    ensure!(owner.finished(&run).await?["state"] == "completed");
    ensure!(fs::read_to_string(world.home().join("read"))? == "hello\n");
    fs::remove_file(world.config().join(format!("file-assets-cache/{id}.txt")))?;
    let run = owner.say_with(&session, &again).await?.run.context("a run")?;
    let failed = owner.finished(&run).await?;
    let reason = text(&failed, "/failureReason")?;
    ensure!(reason == "The attached file a.txt could not be fetched: it cannot be reached", "{reason}");
    Ok(())
}
