//! `GET /api/tools`.

use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;
use serde_json::json;

use super::conditional;
use crate::app::Shared;

/// Lists the executors.
pub(super) async fn list(State(app): State<Shared>, headers: HeaderMap) -> Response {
    conditional::json(&headers, &json!({"tools": app.catalogue.list()}))
}
