//! What can be done with a session as a whole: fork it, summarise it, make a template of it.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::Response;
use http::StatusCode;
use remotelab_store::SessionCell;
use serde::Deserialize;
use serde_json::json;

use super::answer::{self, Refusal};
use super::{body, sessions as routes};
use crate::app::{Shared, StorageRefused, blocking};
use crate::sessions::{self, Detail};
use crate::{compaction, drop_tools, fork, templates};

#[derive(Default, Deserialize)]
#[serde(default)]
struct SaveTemplate {
    name: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ApplyTemplate {
    template_id: String,
}

/// `POST /api/sessions/:id/fork`.
pub(super) async fn fork(State(app): State<Shared>, Path(id): Path<String>) -> Result<Response, Refusal> {
    let cell = routes::find(&app, &id)?;
    let child = fork::fork(&app, &cell).await?;
    Ok(answer::json(StatusCode::CREATED, told(&child)))
}

/// `POST /api/sessions/:id/compact`.
pub(super) async fn compact(State(app): State<Shared>, Path(id): Path<String>) -> Result<Response, Refusal> {
    // Scripts compare the text, also for a session that is not there.
    let unable = |_| Refusal::from(compaction::Error::Unable);
    let cell = routes::find(&app, &id).map_err(unable)?;
    compaction::start(&app, &cell, false).await?;
    Ok(done(&cell))
}

/// `POST /api/sessions/:id/drop-tools`.
pub(super) async fn drop_tools(
    State(app): State<Shared>,
    Path(id): Path<String>,
) -> Result<Response, Refusal> {
    let unable = |_| Refusal::from(drop_tools::Error::Unable);
    let cell = routes::find(&app, &id).map_err(unable)?;
    drop_tools::drop_tools(&app, &cell).await?;
    Ok(done(&cell))
}

/// `POST /api/sessions/:id/save-template`; the body may be empty.
pub(super) async fn save_template(
    State(app): State<Shared>,
    Path(id): Path<String>,
    body: Body,
) -> Result<Response, Refusal> {
    let cell = routes::find(&app, &id)?;
    let bytes = body::bytes(body, body::SESSION).await?;
    let wanted: SaveTemplate = if bytes.trim_ascii().is_empty() {
        SaveTemplate::default()
    } else {
        serde_json::from_slice(&bytes).map_err(|_| Refusal::bad_request("Invalid request body"))?
    };
    app.store.settled().await.map_err(StorageRefused)?;
    let template = blocking(move || app.save_template(&cell, wanted.name.as_deref())).await?;
    Ok(answer::json(StatusCode::CREATED, json!({"template": template})))
}

/// `POST /api/sessions/:id/apply-template`.
pub(super) async fn apply_template(
    State(app): State<Shared>,
    Path(id): Path<String>,
    body: Body,
) -> Result<Response, Refusal> {
    let cell = routes::find(&app, &id)?;
    let wanted: ApplyTemplate = body::json(body, body::SESSION, "Invalid request body").await?;
    let template = wanted.template_id.trim().to_owned();
    if template.is_empty() {
        return Err(Refusal::bad_request("templateId is required"));
    }
    let (worker, target) = (Arc::clone(&app), Arc::clone(&cell));
    let commit = blocking(move || worker.apply_template(&target, &template)).await?;
    commit.durable().await.map_err(StorageRefused)?;
    app.hub.session_changed(&cell);
    app.hub.list_changed();
    Ok(answer::json(StatusCode::OK, told(&cell)))
}

fn told(cell: &SessionCell) -> serde_json::Value {
    json!({"session": sessions::body(&cell.snapshot(), Detail::Full)})
}

fn done(cell: &SessionCell) -> Response {
    let mut body = told(cell);
    body["ok"] = true.into();
    answer::json(StatusCode::OK, body)
}

impl From<fork::Error> for Refusal {
    fn from(error: fork::Error) -> Self {
        match error {
            fork::Error::Storage(refused) => refused.into(),
            error => Self::new(StatusCode::CONFLICT, error.to_string()),
        }
    }
}

impl From<compaction::Error> for Refusal {
    fn from(error: compaction::Error) -> Self {
        match error {
            compaction::Error::Storage(refused) => refused.into(),
            compaction::Error::Unable => Self::new(StatusCode::CONFLICT, error.to_string()),
        }
    }
}

impl From<drop_tools::Error> for Refusal {
    fn from(error: drop_tools::Error) -> Self {
        match error {
            drop_tools::Error::Storage(refused) => refused.into(),
            drop_tools::Error::Unable => Self::new(StatusCode::CONFLICT, error.to_string()),
        }
    }
}

impl From<templates::Error> for Refusal {
    fn from(error: templates::Error) -> Self {
        match &error {
            templates::Error::File(cause) => {
                tracing::error!(error = %cause, "the templates cannot be read or written");
                Self::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
            }
            _ => Self::new(StatusCode::CONFLICT, error.to_string()),
        }
    }
}
