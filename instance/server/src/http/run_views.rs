//! What can be read of a run beside its record and its reply: its prompt; and the runs of a session.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use http::HeaderMap;
use remotelab_executor::command;
use remotelab_protocol::run::Manifest;
use remotelab_store::{requests, runs as stored};
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::Refusal;
use super::query::Query;
use super::{conditional, paging, runs, sessions as routes};
use crate::app::{Shared, StorageRefused, blocking};
use crate::attachments;
use crate::prompt::blocks;

/// How much of one text of a prompt is told, in bytes.
const TEXT_MAX: usize = 1 << 20;
/// How many runs a page has, and at most.
const PAGE: usize = 20;
const PAGE_MAX: usize = 100;

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct PageQuery {
    limit: Option<String>,
    cursor: Option<String>,
    #[serde(rename = "requestId")]
    request_id: Option<String>,
}

/// `GET /api/runs/:id/prompt`: what the executor was told, part by part. For the owner alone.
pub(super) async fn prompt(
    State(app): State<Shared>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let run = runs::find(&app, &id).await?;
    let manifest = blocking(move || {
        let mut manifest = stored::manifest(app.store.files(), &run.id).ok().flatten()?;
        // The manifest names files without their place; the executor was told it.
        let located = attachments::located(&app, &manifest.options.images).into_iter();
        manifest.options.images = located.map(|(file, _)| file).collect();
        Some(manifest)
    });
    let manifest = manifest.await.ok_or_else(|| Refusal::not_found("Prompt not found"))?;
    Ok(conditional::json(&headers, &json!({"prompt": told(&manifest)})))
}

/// `GET /api/sessions/:id/runs`: the newest first. With `requestId` the one that this request was given to, alone
/// or together with others.
pub(super) async fn of_session(
    State(app): State<Shared>,
    Path(id): Path<String>,
    Query(query): Query<PageQuery>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let limit = paging::limit(query.limit.as_deref(), PAGE_MAX)?.unwrap_or(PAGE);
    let before: Option<usize> = paging::place(query.cursor.as_deref())?;
    let cell = routes::find(&app, &id)?;
    app.store.settled().await.map_err(StorageRefused)?;
    let (worker, latest) = (Arc::clone(&app), cell.with(|state| state.meta.latest_seq));
    if let Some(request_id) = query.request_id {
        let wanted = request_id.clone();
        let run = blocking(move || {
            let requests = requests::Requests::load(worker.store.files(), cell.id(), latest);
            worker.store.run(requests.run(&wanted)?).ok().flatten()
        });
        let runs: Vec<_> = run.await.into_iter().collect();
        let answer = json!({"requestId": request_id, "runs": runs, "hasMore": false, "nextCursor": null});
        return Ok(conditional::json(&headers, &answer));
    }
    let (runs, next) = blocking(move || {
        let ids = requests::runs(worker.store.files(), cell.id(), latest);
        let end = before.map_or(ids.len(), |before| before.min(ids.len()));
        let start = end.saturating_sub(limit);
        let runs = ids[start..end].iter().rev().filter_map(|id| worker.store.run(id).ok().flatten());
        (runs.collect::<Vec<_>>(), Some(start).filter(|&start| start > 0))
    })
    .await;
    let next = next.as_ref().map(paging::cursor);
    Ok(conditional::json(&headers, &json!({"runs": runs, "hasMore": next.is_some(), "nextCursor": next})))
}

fn told(manifest: &Manifest) -> Value {
    let files = command::file_lines(manifest);
    let mut parts = blocks::of(manifest);
    if let Some(files) = &files {
        parts.insert(0, ("files".to_owned(), files));
    }
    let blocks: Vec<Value> = parts
        .iter()
        .map(|(name, text)| json!({"name": name, "text": beginning(text), "bytes": text.len()}))
        .collect();
    let text = files
        .as_ref()
        .map_or_else(|| manifest.prompt.clone(), |files| format!("{files}\n\n{}", manifest.prompt));
    json!({"runId": manifest.id, "text": beginning(&text), "bytes": text.len(), "blocks": blocks})
}

fn beginning(text: &str) -> &str {
    &text[..text.floor_char_boundary(TEXT_MAX)]
}
