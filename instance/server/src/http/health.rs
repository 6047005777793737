//! Whether everything that is stored can be used.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use http::header::CACHE_CONTROL;
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{self, NO_STORE};
use super::query::Query;
use super::room;
use crate::app::Shared;
use crate::damages;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct HealthQuery {
    scan: String,
}

/// `GET /api/health?scan=1`: what could not be read when everything was last looked at, and whether the disk takes
/// what is to be stored. With `scan`, everything is looked at now.
pub(super) async fn health(State(app): State<Shared>, Query(query): Query<HealthQuery>) -> Response {
    if query.scan == "1" {
        damages::look(&app).await;
    }
    let accepts_writes = app.store.accepts_writes() && room::is_left(&app).await;
    let config = app.settings.paths.config();
    let damaged: Vec<Value> = app
        .damages
        .list()
        .iter()
        .map(|damage| {
            // Where the folder is on the machine is nobody's business.
            let path = damage.path.strip_prefix(config).unwrap_or(&damage.path);
            json!({"path": path, "reason": damage.reason})
        })
        .collect();
    let is_well = accepts_writes && damaged.is_empty();
    let status = if is_well { "ok" } else { "degraded" };
    let body = json!({"status": status, "acceptsWrites": accepts_writes, "damaged": damaged});
    let mut response = answer::json(StatusCode::OK, body);
    response.headers_mut().insert(CACHE_CONTROL, NO_STORE);
    response
}
