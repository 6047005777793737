//! Webhooks: list, add, remove. For the owner alone.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::Response;
use http::StatusCode;
use http::header::CACHE_CONTROL;
use serde_json::{Value, json};

use super::answer::{self, NO_STORE, Refusal};
use super::body;
use crate::app::{Shared, blocking};
use crate::webhooks::{self, Hook, Wanted};

/// `GET /api/webhooks`.
pub(super) async fn list(State(app): State<Shared>) -> Response {
    let hooks: Vec<Value> = app
        .webhooks
        .list()
        .iter()
        .map(|hook| {
            let (waiting, last_error) = app.webhooks.waiting(&hook.id);
            let mut shown = shown(hook);
            shown["waiting"] = waiting.into();
            shown["lastError"] = last_error.into();
            shown
        })
        .collect();
    answer::json(StatusCode::OK, json!({"webhooks": hooks}))
}

/// `POST /api/webhooks`: the only answer that holds the secret.
pub(super) async fn create(State(app): State<Shared>, body: Body) -> Result<Response, Refusal> {
    let wanted: Wanted = body::json(body, body::SMALL, "Invalid request body").await?;
    let hook = blocking(move || app.webhooks.create(wanted)).await?;
    let mut shown = shown(&hook);
    shown["secret"] = hook.secret.reveal().into();
    let mut response = answer::json(StatusCode::CREATED, json!({"webhook": shown}));
    response.headers_mut().insert(CACHE_CONTROL, NO_STORE);
    Ok(response)
}

/// `DELETE /api/webhooks/:id`.
pub(super) async fn delete(State(app): State<Shared>, Path(id): Path<String>) -> Result<Response, Refusal> {
    let worker = Arc::clone(&app);
    let hook = blocking(move || worker.webhooks.delete(&id)).await?;
    Ok(answer::json(StatusCode::OK, json!({"ok": true, "webhook": shown(&hook)})))
}

fn shown(hook: &Hook) -> Value {
    json!({"id": hook.id, "url": hook.url, "events": hook.events, "createdAt": hook.created_at})
}

impl From<webhooks::Error> for Refusal {
    fn from(error: webhooks::Error) -> Self {
        match error {
            webhooks::Error::NotFound => Self::not_found(&error.to_string()),
            webhooks::Error::TooMany => Self::new(StatusCode::CONFLICT, error.to_string()),
            webhooks::Error::Invalid(invalid) => Self::bad_request(invalid.to_string()),
            webhooks::Error::File(error) => {
                tracing::error!(%error, "the webhooks cannot be changed");
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "The webhooks cannot be changed at the moment")
            }
        }
    }
}
