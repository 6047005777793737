//! Runs: read and cancel.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use remotelab_protocol::{Run, RunId, SessionId};
use serde::Deserialize;
use serde_json::json;
use tokio::time::Instant;

use super::answer::{self, Refusal};
use super::conditional;
use super::query::Query;
use crate::app::{Shared, StorageRefused, blocking};
use crate::runs;
use crate::sessions::{self, Detail};

/// How long an answer may be held back, in seconds.
pub(super) const WAIT_MAX: u64 = 60;
/// How often a run is looked at that nobody follows yet.
const UNSEEN: Duration = Duration::from_millis(50);

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct WaitQuery {
    wait: Option<String>,
}

/// `GET /api/runs/:id`. Brings an unfinished run up to date first, so that polling alone sees its end, and
/// whoever sees the end finds the answer among the events. With `wait`, a number of seconds, the answer to an
/// unfinished run comes when it has ended and its files are published, or the time is up.
pub(super) async fn get(
    State(app): State<Shared>,
    Path(id): Path<String>,
    Query(query): Query<WaitQuery>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let seconds = query.wait.and_then(|wait| wait.trim().parse().ok()).unwrap_or(0).min(WAIT_MAX);
    let deadline = Instant::now() + Duration::from_secs(seconds);
    loop {
        // Before the run is read, so that its end cannot fall between.
        let end = RunId::parse(&id).ok().and_then(|id| app.runs.end(&id));
        let run = find(&app, &id).await?;
        if run.state.is_terminal() || Instant::now() >= deadline || app.stopping.is_cancelled() {
            return told(&app, &headers, run, deadline).await;
        }
        let ended = async {
            match end {
                Some(end) => end.reached().await,
                None => {
                    tokio::time::sleep(UNSEEN).await;
                    None
                }
            }
        };
        tokio::select! {
            ended = ended => if let Some(run) = ended {
                return told(&app, &headers, run, deadline).await;
            },
            () = tokio::time::sleep_until(deadline) => {}
            () = app.stopping.cancelled() => {}
        }
    }
}

/// Tells of a run, with the files of one that has just ended if they come in time.
async fn told(app: &Shared, headers: &HeaderMap, run: Run, deadline: Instant) -> Result<Response, Refusal> {
    let awaited = tokio::select! {
        awaited = app.publishing.over(&run.id) => awaited,
        () = tokio::time::sleep_until(deadline) => false,
        () = app.stopping.cancelled() => false,
    };
    let run = if awaited { find(app, run.id.as_str()).await? } else { run };
    Ok(conditional::json(headers, &json!({"run": run})))
}

/// `POST /api/runs/:id/cancel`.
pub(super) async fn cancel(State(app): State<Shared>, Path(id): Path<String>) -> Result<Response, Refusal> {
    let run = find(&app, &id).await?;
    let Some(cell) = sessions::find(&app, &run.session_id) else {
        return Err(Refusal::not_found("Run not found"));
    };
    let cancelled =
        if run.state.is_terminal() { None } else { runs::cancel(&app, &cell, Some(&run.id)).await? };
    Ok(answer::json(StatusCode::OK, json!({"run": cancelled.unwrap_or(run)})))
}

/// `POST /api/sessions/:id/cancel`.
pub(super) async fn cancel_session(
    State(app): State<Shared>,
    Path(id): Path<String>,
) -> Result<Response, Refusal> {
    // An unknown session has no active run either; scripts compare the text.
    let unknown = || Refusal::new(StatusCode::CONFLICT, "No active run");
    let id = SessionId::parse(&id).map_err(|_| unknown())?;
    let cell = sessions::find(&app, &id).ok_or_else(unknown)?;
    Ok(match runs::cancel(&app, &cell, None).await? {
        Some(run) => answer::json(StatusCode::OK, json!({"run": run})),
        None => answer::json(
            StatusCode::OK,
            json!({"run": null, "session": sessions::body(&cell.snapshot(), Detail::Full)}),
        ),
    })
}

/// Finds a run by the text of a path segment, after it has been brought up to date.
pub(super) async fn find(app: &Shared, id: &str) -> Result<Run, Refusal> {
    let id = RunId::parse(id)?;
    if let Some(run) = app.runs.under_way(&id) {
        return Ok(run);
    }
    app.runs.synchronise(app, &id).await;
    app.store.settled().await.map_err(StorageRefused)?;
    let store = Arc::clone(&app.store);
    let found = blocking(move || store.run(&id)).await;
    match found {
        Ok(Some(run)) => Ok(run),
        Ok(None) => Err(Refusal::not_found("Run not found")),
        Err(error) => {
            tracing::warn!(%error, "a run's record is damaged");
            Err(Refusal::not_found("Run not found"))
        }
    }
}
