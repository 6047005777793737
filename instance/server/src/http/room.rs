//! Refuses what would store something where the disk is nearly full.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{Method, StatusCode};

use super::answer::Refusal;
use crate::app::{Shared, blocking};

/// Lets a request through to its handler unless it needs room that is not there.
pub(super) async fn guard(State(app): State<Shared>, request: Request, next: Next) -> Response {
    if needs_room(request.method(), request.uri().path()) && !is_left(&app).await {
        let refusal = Refusal::new(StatusCode::SERVICE_UNAVAILABLE, FULL);
        return refusal.into_response();
    }
    next.run(request).await
}

/// What people are told.
const FULL: &str = "The disk of this machine is nearly full; nothing was stored. Send it again when its owner has made room.";

/// Whether there is room for what is to be stored.
pub(super) async fn is_left(app: &Shared) -> bool {
    match app.room.known() {
        Some(is_left) => is_left,
        None => {
            let app = Arc::clone(app);
            blocking(move || app.room.look()).await
        }
    }
}

/// Signing in and out, stopping and removing must always work.
fn needs_room(method: &Method, path: &str) -> bool {
    let adds = matches!(*method, Method::POST | Method::PUT | Method::PATCH);
    let is_free =
        matches!(path, "/login" | "/logout" | "/api/install/handoff/redeem") || path.ends_with("/cancel");
    adds && !is_free
}
