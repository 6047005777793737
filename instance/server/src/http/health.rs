//! Whether everything that is stored can be used.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use http::header::CACHE_CONTROL;
use serde_json::{Value, json};

use super::answer::{self, NO_STORE};
use super::room;
use crate::app::Shared;

/// `GET /api/health`: records that could not be read when the server started, and whether the disk takes
/// what is to be stored. `remotelab doctor` looks at everything anew.
pub(super) async fn health(State(app): State<Shared>) -> Response {
    let accepts_writes = app.store.accepts_writes() && room::is_left(&app).await;
    let config = app.settings.paths.config();
    let damaged: Vec<Value> = app
        .store
        .damaged()
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
