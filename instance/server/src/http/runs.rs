//! Runs: read and cancel.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use remotelab_protocol::{Run, RunId, SessionId};
use serde_json::json;

use super::answer::{self, Refusal};
use super::conditional;
use crate::app::{Shared, StorageRefused, blocking};
use crate::runs;
use crate::sessions::{self, Detail};

/// `GET /api/runs/:id`. Brings an unfinished run up to date first, so that polling alone sees its end, and
/// whoever sees the end finds the answer among the events.
pub(super) async fn get(
    State(app): State<Shared>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let run = find(&app, &id).await?;
    Ok(conditional::json(&headers, &json!({"run": run})))
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

async fn find(app: &Shared, id: &str) -> Result<Run, Refusal> {
    let id = RunId::parse(id)?;
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
