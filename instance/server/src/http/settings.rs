//! Build info and the owner's choice of executor.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::header::CACHE_CONTROL;
use http::{HeaderValue, StatusCode};
use serde_json::json;

use super::answer::{self, Refusal};
use super::body;
use crate::app::{Shared, blocking};
use crate::build;
use crate::selection::{self, Selection};

/// `GET /api/build-info`.
pub(super) async fn build_info(State(app): State<Shared>) -> Response {
    let mut response = answer::json(StatusCode::OK, build::info(&app.settings.instance_id));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.headers_mut().extend(build::headers(&app.settings.instance_id));
    response
}

/// `POST /api/runtime-selection`.
pub(super) async fn select_runtime(State(app): State<Shared>, body: Body) -> Result<Response, Refusal> {
    let mut selection: Selection = body::json(body, body::SMALL, "Invalid request body").await?;
    selection.selected_tool = selection.selected_tool.trim().to_owned();
    if selection.selected_tool.is_empty() {
        return Err(Refusal::bad_request("selectedTool is required"));
    }
    let worker = Arc::clone(&app);
    let saved =
        blocking(move || selection::save(&worker.settings.paths, selection)).await.map_err(|error| {
            tracing::error!(%error, "cannot store the runtime selection");
            Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "the selection cannot be stored at the moment")
        })?;
    app.hub.list_changed();
    Ok(answer::json(StatusCode::OK, json!({"selection": saved})))
}
