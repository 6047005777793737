//! Scoped tokens: list, make, revoke. For the owner alone.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::Response;
use http::StatusCode;
use http::header::CACHE_CONTROL;
use jiff::Timestamp;
use remotelab_config::api_tokens::{self, Scope};
use serde::Deserialize;
use serde_json::json;

use super::answer::{self, NO_STORE, Refusal};
use super::body;
use crate::app::{Shared, blocking};

#[derive(Deserialize)]
struct Wanted {
    #[serde(default)]
    name: String,
    scope: Option<Scope>,
    expires: Option<Timestamp>,
}

/// `GET /api/tokens`.
pub(super) async fn list(State(app): State<Shared>) -> Result<Response, Refusal> {
    let all = blocking(move || app.auth.bearers().file().load()).await.map_err(api_tokens::Error::from)?;
    let tokens: Vec<_> = all.list().collect();
    Ok(answer::json(StatusCode::OK, json!({"tokens": tokens})))
}

/// `POST /api/tokens`: the only answer that holds the token itself.
pub(super) async fn create(State(app): State<Shared>, body: Body) -> Result<Response, Refusal> {
    let wanted: Wanted = body::json(body, body::SMALL, "Invalid request body").await?;
    let now = Timestamp::now();
    if wanted.expires.is_some_and(|end| end <= now) {
        return Err(Refusal::bad_request("expires must be in the future"));
    }
    let scope = wanted.scope.unwrap_or(Scope::Connector);
    let create = move || app.auth.bearers().file().create(&wanted.name, scope, wanted.expires, now);
    let (token, text) = blocking(create).await?;
    let mut answer = json!(token);
    answer["token"] = text.into();
    let mut response = answer::json(StatusCode::CREATED, json!({"token": answer}));
    response.headers_mut().insert(CACHE_CONTROL, NO_STORE);
    Ok(response)
}

/// `DELETE /api/tokens/:id`.
pub(super) async fn revoke(State(app): State<Shared>, Path(id): Path<String>) -> Result<Response, Refusal> {
    let worker = Arc::clone(&app);
    let revoked = blocking(move || worker.auth.bearers().file().revoke(&id)).await?;
    app.hub.callers_changed();
    match revoked {
        Some(token) => Ok(answer::json(StatusCode::OK, json!({"ok": true, "token": token}))),
        None => Err(Refusal::not_found("Token not found")),
    }
}

impl From<api_tokens::Error> for Refusal {
    fn from(error: api_tokens::Error) -> Self {
        match error {
            api_tokens::Error::Name => Self::bad_request(error.to_string()),
            api_tokens::Error::TooMany => Self::new(StatusCode::CONFLICT, error.to_string()),
            api_tokens::Error::File(_) | api_tokens::Error::Lock(_) => {
                tracing::error!(%error, "the tokens cannot be read or changed");
                Self::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "The tokens cannot be read or changed at the moment",
                )
            }
        }
    }
}
