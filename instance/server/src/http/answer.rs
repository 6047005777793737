//! Answers, and the one shape of an error: `{"error": "…"}`.

use std::any::Any;

use axum::Json;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, StatusCode};
use remotelab_protocol::ids;
use remotelab_protocol::wire::ErrorBody;
use remotelab_store::journal;
use serde_json::Value;

use crate::app::StorageRefused;
use crate::{delegate, quota, sessions, submit};

/// Cache rule of pages and everything personal that must not be kept.
pub(super) const NO_STORE: HeaderValue =
    HeaderValue::from_static("private, no-store, max-age=0, must-revalidate");

/// A request that is refused, with the sentence that people read.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    message: String,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    pub(super) fn not_found(message: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status, Json(ErrorBody { error: self.message })).into_response()
    }
}

impl From<StorageRefused> for Refusal {
    fn from(error: StorageRefused) -> Self {
        match error {
            StorageRefused(journal::Error::TooLarge) => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, "this is more than can be stored at once")
            }
            refused => Self::new(StatusCode::SERVICE_UNAVAILABLE, refused.to_string()),
        }
    }
}

impl From<quota::Exceeded> for Refusal {
    fn from(exceeded: quota::Exceeded) -> Self {
        let status = match exceeded {
            quota::Exceeded::Disk(_) => StatusCode::INSUFFICIENT_STORAGE,
            quota::Exceeded::Runs(_) => StatusCode::TOO_MANY_REQUESTS,
        };
        Self::new(status, exceeded.to_string())
    }
}

impl From<ids::Malformed> for Refusal {
    fn from(ids::Malformed(what): ids::Malformed) -> Self {
        // Whatever is not an id cannot name anything that is here.
        let mut what = what.to_owned();
        what[..1].make_ascii_uppercase();
        Self::not_found(&format!("{what} not found"))
    }
}

impl From<sessions::Error> for Refusal {
    fn from(error: sessions::Error) -> Self {
        match error {
            sessions::Error::Storage(refused) => refused.into(),
            other => Self::bad_request(other.to_string()),
        }
    }
}

impl From<submit::Error> for Refusal {
    fn from(error: submit::Error) -> Self {
        match error {
            submit::Error::Storage(refused) => refused.into(),
            submit::Error::Archived => Self::new(StatusCode::CONFLICT, error.to_string()),
            submit::Error::TooLong => Self::new(StatusCode::PAYLOAD_TOO_LARGE, error.to_string()),
            submit::Error::QueueFull => Self::new(StatusCode::TOO_MANY_REQUESTS, error.to_string()),
            submit::Error::Quota(exceeded) => exceeded.into(),
            submit::Error::NoText | submit::Error::UnknownTool { .. } => Self::bad_request(error.to_string()),
        }
    }
}

impl From<delegate::Error> for Refusal {
    fn from(error: delegate::Error) -> Self {
        match error {
            delegate::Error::Visitor => Self::new(StatusCode::CONFLICT, error.to_string()),
            delegate::Error::TooDeep => Self::new(StatusCode::FORBIDDEN, error.to_string()),
            delegate::Error::TooMany => Self::new(StatusCode::TOO_MANY_REQUESTS, error.to_string()),
            delegate::Error::NoFolder => Self::bad_request(error.to_string()),
            delegate::Error::Submit(error) => error.into(),
        }
    }
}

/// Sends JSON with a status.
pub(super) fn json(status: StatusCode, value: Value) -> Response {
    (status, Json(value)).into_response()
}

/// Sends a page; pages are never stored.
pub(super) fn html(page: String) -> Response {
    let mut response = Response::new(Body::from(page));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    response.headers_mut().insert(CACHE_CONTROL, NO_STORE);
    response
}

/// Sends plain text.
pub(super) fn text(status: StatusCode, text: &'static str) -> Response {
    (status, [(CONTENT_TYPE, "text/plain")], text).into_response()
}

/// Sends a redirect to a path of this instance.
pub(super) fn redirect(location: &str) -> Response {
    match HeaderValue::from_str(location) {
        Ok(location) => (StatusCode::FOUND, [(http::header::LOCATION, location)]).into_response(),
        Err(_) => text(StatusCode::BAD_REQUEST, "Bad Request"),
    }
}

/// Answers what no route knows.
pub(super) async fn not_found() -> Response {
    text(StatusCode::NOT_FOUND, "Not Found")
}

/// Answers a method that the route does not have; the router adds those that it has. To ask for them is
/// fine (RFC 9110 §9.3.7).
pub(super) async fn method_not_allowed(method: Method) -> Response {
    if method == Method::OPTIONS {
        return StatusCode::NO_CONTENT.into_response();
    }
    text(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed")
}

/// Answers `POST /api/sessions/:id/voice-transcriptions`.
pub(super) async fn voice_transcriptions() -> Refusal {
    Refusal::new(StatusCode::GONE, "Voice transcript cleanup has been removed. Send messages directly.")
}

/// Answers `PATCH /api/sessions/:id/…`.
pub(super) async fn invalid_session_path() -> Refusal {
    Refusal::bad_request("Invalid session path")
}

/// Answers `GET /api/runs/:id/…`.
pub(super) async fn invalid_run_path() -> Refusal {
    Refusal::bad_request("Invalid run path")
}

/// Answers for a handler that panicked; the process lives on.
pub(super) fn panicked(_: Box<dyn Any + Send + 'static>) -> Response {
    text(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error")
}
