//! Answers that wait to be carried elsewhere: who carries them asks for them here and says what became of each.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::answer::{self, Refusal};
use super::query::Query;
use super::{body, conditional, paging, runs};
use crate::app::{Shared, StorageRefused, blocking};
use crate::completions::{self, Report, State as Word};

/// How many a page has, and at most.
const PAGE: usize = 20;
const PAGE_MAX: usize = 100;
/// How often is looked of which nothing is heard: a review that goes on says nothing of answers.
const LOOK: Duration = Duration::from_secs(1);
/// The longest reason that is kept, in bytes.
const ERROR_MAX: usize = 1 << 10;

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct ListQuery {
    #[serde(rename = "type")]
    kind: Option<String>,
    again: Option<String>,
    wait: Option<String>,
    limit: Option<String>,
    cursor: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Said {
    state: String,
    #[serde(default)]
    delivery: Option<Value>,
    #[serde(default)]
    last_error: Option<String>,
}

/// `GET /api/completions`. With `wait`, a number of seconds, an answer without any comes when one waits or the time
/// is up.
pub(super) async fn list(
    State(app): State<Shared>,
    Query(query): Query<ListQuery>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let seconds = query.wait.and_then(|wait| wait.trim().parse().ok()).unwrap_or(0).min(runs::WAIT_MAX);
    let deadline = Instant::now() + Duration::from_secs(seconds);
    let wanted = completions::Query {
        kind: query.kind,
        again: query.again.as_deref() == Some("1"),
        after: paging::place(query.cursor.as_deref())?,
        limit: paging::limit(query.limit.as_deref(), PAGE_MAX)?.unwrap_or(PAGE),
    };
    loop {
        // Before they are read, so that no change can fall between.
        let mut changes = app.hub.changes();
        let changed = app.completions.changed.notified();
        let (worker, asked) = (Arc::clone(&app), wanted.clone());
        let page = blocking(move || worker.completions_of(&asked)).await;
        if !page.completions.is_empty() || Instant::now() >= deadline || app.stopping.is_cancelled() {
            // What was read may be ahead of the disk.
            app.store.settled().await.map_err(StorageRefused)?;
            let next = page.next.as_ref().map(paging::cursor);
            let told =
                json!({"completions": page.completions, "hasMore": next.is_some(), "nextCursor": next});
            return Ok(conditional::json(&headers, &told));
        }
        tokio::select! {
            () = changed => {}
            _ = changes.recv() => {}
            () = tokio::time::sleep_until(deadline.min(Instant::now() + LOOK)) => {}
            () = app.stopping.cancelled() => {}
        }
    }
}

/// `POST /api/completions/:id`. Safe to repeat.
pub(super) async fn report(
    State(app): State<Shared>,
    Path(id): Path<String>,
    body: Body,
) -> Result<Response, Refusal> {
    let said: Said = body::json(body, body::CONTROL, "Invalid request body").await?;
    let state = Word::parse(&said.state)
        .ok_or_else(|| Refusal::bad_request("state must be sending, sent or failed"))?;
    if said.delivery.as_ref().is_some_and(|delivery| !delivery.is_object()) {
        return Err(Refusal::bad_request("delivery must be an object when provided"));
    }
    let reason = said.last_error.unwrap_or_default();
    let last_error = reason[..reason.floor_char_boundary(ERROR_MAX)].to_owned();
    let report = Report { state, delivery: said.delivery, last_error };
    let stands = completions::report(&app, &id, report).await?;
    Ok(answer::json(StatusCode::OK, json!({"id": id, "completion": stands})))
}

impl From<completions::Error> for Refusal {
    fn from(error: completions::Error) -> Self {
        match error {
            completions::Error::NotFound => Self::not_found(&error.to_string()),
            completions::Error::Storage(refused) => refused.into(),
        }
    }
}
