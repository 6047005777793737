//! Reading request bodies, each with a limit.

use axum::body::{Body, to_bytes};
use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, StatusCode};
use serde::de::DeserializeOwned;

use futures_util::StreamExt;

use super::answer::Refusal;
use crate::app::App;
use crate::body_memory;

/// A name or id within a body: bytes.
const NAME: usize = 1_024;
/// Sign-in, runtime selection: bytes.
pub(super) const SMALL: usize = 4_096;
/// Session bodies: bytes.
pub(super) const SESSION: usize = 10_240;
/// Triggers, announcements of uploads: bytes.
pub(super) const CONTROL: usize = 32_768;
/// Delegated tasks: bytes. The longest one fits however it is escaped.
pub(super) const TASK: usize = 2 << 20;
/// Executors: bytes.
pub(super) const TOOL: usize = 65_536;
/// Messages with their files: bytes.
pub(super) const MESSAGE: usize = 268_435_456;

/// Reads a whole body.
pub(super) async fn bytes(body: Body, limit: usize) -> Result<Bytes, Refusal> {
    to_bytes(body, limit).await.map_err(|error| {
        // The limit is told from a broken connection by its error type, which is not public.
        if std::error::Error::source(&error)
            .is_some_and(|source| source.is::<http_body_util::LengthLimitError>())
        {
            too_large()
        } else {
            Refusal::bad_request("Invalid request body")
        }
    })
}

/// Reads a JSON object; `invalid` is what anything else is answered with.
pub(super) async fn json<T: DeserializeOwned>(
    body: Body,
    limit: usize,
    invalid: &'static str,
) -> Result<T, Refusal> {
    object(&bytes(body, limit).await?, invalid)
}

/// As [`json`], for a body that may be long: it takes its share of [`App::body_memory`].
pub(super) async fn long_json<T: DeserializeOwned>(
    app: &App,
    headers: &HeaderMap,
    body: Body,
    limit: usize,
    invalid: &'static str,
) -> Result<T, Refusal> {
    check_announced(headers, limit)?;
    let most = announced(headers).unwrap_or(limit as u64);
    let mut share = app.body_memory.share();
    // At once for all of it, when it tells its length.
    share.cover(announced(headers).unwrap_or(0), most).await?;
    let mut pieces = body.into_data_stream();
    let mut bytes = Vec::new();
    while let Some(piece) = share.within(pieces.next()).await? {
        let piece = piece.map_err(|_| Refusal::bad_request(invalid))?;
        let length = bytes.len() + piece.len();
        if length > limit {
            return Err(too_large());
        }
        share.cover(length as u64, most).await?;
        bytes.extend_from_slice(&piece);
    }
    object(&bytes, invalid)
}

fn object<T: DeserializeOwned>(bytes: &[u8], invalid: &'static str) -> Result<T, Refusal> {
    // A list would be taken for the fields in their order.
    let is_object = bytes.trim_ascii_start().first() == Some(&b'{');
    let read = if is_object { serde_json::from_slice(bytes).ok() } else { None };
    read.ok_or_else(|| Refusal::bad_request(invalid))
}

/// Refuses a body that is announced as too long before any of it is read.
pub(super) fn check_announced(headers: &HeaderMap, limit: usize) -> Result<(), Refusal> {
    if announced(headers).is_some_and(|length| length > limit as u64) { Err(too_large()) } else { Ok(()) }
}

/// How long a body says it is.
pub(super) fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The answer to a body over its limit.
pub(super) fn too_large() -> Refusal {
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "Request body too large")
}

impl From<body_memory::Error> for Refusal {
    fn from(error: body_memory::Error) -> Self {
        let status = match error {
            body_memory::Error::Busy => StatusCode::SERVICE_UNAVAILABLE,
            body_memory::Error::Slow => StatusCode::REQUEST_TIMEOUT,
        };
        Self::new(status, error.to_string())
    }
}

/// Refuses a name or id that no honest client sends: it would be read again with every later decision.
pub(super) fn check_length(field: &str, value: Option<&str>) -> Result<(), Refusal> {
    match value {
        Some(value) if value.len() > NAME => {
            Err(Refusal::bad_request(format!("{field} must be at most {NAME} bytes long")))
        }
        _ => Ok(()),
    }
}
