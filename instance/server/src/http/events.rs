//! Events of a session: display view, raw view, blocks, bodies, source context.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use http::header::CACHE_CONTROL;
use http::{HeaderMap, HeaderValue, StatusCode};
use remotelab_protocol::{Event, Kind, Role, display};
use remotelab_store::SessionCell;
use remotelab_store::history::Bodies;
use serde::Deserialize;
use serde_json::json;

use super::answer::{self, Refusal};
use super::event_page::{self, Asked};
use super::event_pieces::Pieces;
use super::query::Query;
use super::{conditional, sessions as routes};
use crate::app::{Shared, StorageRefused, blocking};
use crate::sessions;

const IMMUTABLE: HeaderValue = HeaderValue::from_static("private, max-age=1296000, immutable");

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct EventsQuery {
    pub(super) filter: String,
    #[serde(alias = "after")]
    pub(super) after_seq: Option<String>,
    #[serde(alias = "beforeSeq")]
    pub(super) before: Option<String>,
    pub(super) limit: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct RequestQuery {
    request_id: String,
}

/// `GET /api/sessions/:id/events`; `filter=all` is the raw view. All events, unless a page is asked for.
pub(super) async fn list(
    State(app): State<Shared>,
    Path(id): Path<String>,
    Query(query): Query<EventsQuery>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let asked = Asked::of(&query)?;
    let cell = routes::find(&app, &id)?;
    if let Some(asked) = asked {
        let page = event_page::read(&app, &cell, asked, query.filter == "all").await?;
        return Ok(conditional::json(&headers, &page));
    }
    let (latest, running) = end(&app, &cell).await?;
    let history = cell.history();
    if query.filter == "all" {
        let frame = json!({"sessionId": cell.id(), "filter": "all"});
        let all = Pieces::new(&frame, history, 1..=latest, |event| Some(public(event)));
        return Ok(all.answer(&headers).await.0);
    }
    let events = blocking(move || history.read(1..=latest, Bodies::Messages)).await;
    let entries = display::view(&events, running);
    Ok(conditional::json(&headers, &json!({"sessionId": cell.id(), "filter": "visible", "events": entries})))
}

/// `GET /api/sessions/:id/events/blocks/:start-:end`.
pub(super) async fn block(
    State(app): State<Shared>,
    Path((id, range)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let cell = routes::find(&app, &id)?;
    let Some((start, end)) = parse_range(&range) else {
        return Ok(answer::not_found().await);
    };
    app.store.settled().await.map_err(StorageRefused)?;
    let history = cell.history();
    let (latest, running) =
        cell.with(|state| (state.meta.latest_seq, sessions::activity(state).is_running()));
    let frame = json!({"sessionId": cell.id(), "startSeq": start, "endSeq": end});
    let block = Pieces::new(&frame, history, start..=end.min(latest), |event| {
        display::block(std::slice::from_ref(&event), event.seq, event.seq).pop()
    });
    let (mut response, count) = block.answer(&headers).await;
    if count == 0 {
        return Err(Refusal::not_found("Event block not found"));
    }
    if end <= latest && !running {
        response.headers_mut().insert(CACHE_CONTROL, IMMUTABLE);
    }
    Ok(response)
}

/// `GET /api/sessions/:id/events/:seq/body`.
pub(super) async fn body(
    State(app): State<Shared>,
    Path((id, seq)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let missing = || Refusal::not_found("Event body not found");
    let cell = routes::find(&app, &id)?;
    let seq: u64 = seq.parse().map_err(|_| missing())?;
    app.store.settled().await.map_err(StorageRefused)?;
    let history = cell.history();
    let event = blocking(move || history.event(seq, Bodies::Whole)).await.ok_or_else(missing)?;
    let (field, value) = event.body_text().filter(|(_, text)| !text.is_empty()).ok_or_else(missing)?;
    let answer = json!({"body": {"seq": seq, "field": field, "value": value, "bytes": value.len()}});
    let mut response = conditional::json(&headers, &answer);
    response.headers_mut().insert(CACHE_CONTROL, IMMUTABLE);
    Ok(response)
}

/// `GET /api/sessions/:id/source-context`.
pub(super) async fn source_context(
    State(app): State<Shared>,
    Path(id): Path<String>,
    Query(query): Query<RequestQuery>,
) -> Result<Response, Refusal> {
    let cell = routes::find(&app, &id)?;
    let (latest, _) = end(&app, &cell).await?;
    let (history, wanted) = (cell.history(), query.request_id.trim().to_owned());
    let asked = wanted.clone();
    let matched = blocking(move || {
        let mut latest_first = (1..=latest).rev().filter_map(|seq| history.event(seq, Bodies::Preview));
        latest_first.find(|event| {
            let has_context = event.role == Some(Role::User)
                && event.as_message().is_some_and(|message| message.source_context.is_some());
            has_context && (asked.is_empty() || event.request_id.as_deref() == Some(&asked))
        })
    });
    let matched = matched.await;
    let message = matched.as_ref().and_then(|event| event.as_message()?.source_context.clone());
    let request_id = matched.and_then(|event| event.request_id).unwrap_or(wanted);
    let session = cell.with(|state| state.session.source_context.clone());
    let context = json!({"session": session, "message": message, "requestId": request_id});
    Ok(answer::json(StatusCode::OK, json!({"sessionId": cell.id(), "sourceContext": context})))
}

/// Brings a session's run up to date and returns where the history ends and whether it will go on.
pub(super) async fn end(app: &Shared, cell: &Arc<SessionCell>) -> Result<(u64, bool), StorageRefused> {
    if let Some(run) = cell.with(|state| state.session.active_run_id.clone()) {
        app.runs.synchronise(app, &run).await;
    }
    let end = cell.with(|state| (state.meta.latest_seq, sessions::activity(state).is_running()));
    app.store.settled().await?;
    Ok(end)
}

/// Parses `3-17`.
pub(super) fn parse_range(text: &str) -> Option<(u64, u64)> {
    let (start, end) = text.split_once('-')?;
    let (start, end) = (start.parse().ok()?, end.parse().ok()?);
    (start >= 1 && start <= end).then_some((start, end))
}

/// Takes host paths out of a stored event.
pub(super) fn public(mut event: Event) -> Event {
    if let Kind::Known(remotelab_protocol::event::Known::Message(message)) = &mut event.kind {
        for files in [&mut message.attachments, &mut message.images] {
            for file in files {
                *file = file.public();
            }
        }
    }
    event
}
