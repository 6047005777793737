//! Executors: list, add or change, and what each offers.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use remotelab_executor::command;
use serde::Deserialize;
use serde_json::json;

use super::answer::{self, Refusal};
use super::query::Query;
use super::{body, conditional};
use crate::app::{Shared, blocking};
use crate::custom_tool::{self, Wanted};
use crate::models;

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct ModelsQuery {
    tool: String,
}

/// `GET /api/tools`.
pub(super) async fn list(State(app): State<Shared>, headers: HeaderMap) -> Response {
    let tools = blocking(move || app.catalogue.list()).await;
    conditional::json(&headers, &json!({"tools": tools}))
}

/// `POST /api/tools`.
pub(super) async fn save(State(app): State<Shared>, body: Body) -> Result<Response, Refusal> {
    let wanted: Wanted = body::json(body, body::TOOL, "Invalid request body").await?;
    let worker = Arc::clone(&app);
    let saved = blocking(move || {
        let id = custom_tool::save(&worker.settings.paths, &worker.catalogue.list(), &wanted)?;
        worker.catalogue.refresh();
        Ok::<_, custom_tool::Error>(worker.catalogue.find(&id))
    });
    let tool = saved.await?;
    app.hub.list_changed();
    Ok(answer::json(StatusCode::CREATED, json!({"tool": tool})))
}

/// `GET /api/models`.
pub(super) async fn models(
    State(app): State<Shared>,
    Query(query): Query<ModelsQuery>,
    headers: HeaderMap,
) -> Response {
    let offer = blocking(move || {
        let codex_home = command::personal_codex_home(&app.env, &app.settings.home);
        models::of(app.catalogue.find(query.tool.trim()).as_ref(), &codex_home)
    });
    conditional::json(&headers, &offer.await)
}

impl From<custom_tool::Error> for Refusal {
    fn from(error: custom_tool::Error) -> Self {
        match &error {
            custom_tool::Error::File(cause) => {
                tracing::error!(error = %cause, "cannot store an executor");
                Self::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
            }
            custom_tool::Error::Damaged => Self::new(StatusCode::CONFLICT, error.to_string()),
            _ => Self::bad_request(error.to_string()),
        }
    }
}
