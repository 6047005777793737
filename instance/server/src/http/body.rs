//! Reading request bodies, each with a limit.

use axum::body::{Body, to_bytes};
use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, StatusCode};
use serde::de::DeserializeOwned;

use super::answer::Refusal;

/// Sign-in, runtime selection: bytes.
pub(super) const SMALL: usize = 4_096;
/// Session bodies: bytes.
pub(super) const SESSION: usize = 10_240;
/// Delegated tasks: bytes.
pub(super) const TASK: usize = 32_768;
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
    let bytes = bytes(body, limit).await?;
    // A list would be taken for the fields in their order.
    let is_object = bytes.trim_ascii_start().first() == Some(&b'{');
    let read = if is_object { serde_json::from_slice(&bytes).ok() } else { None };
    read.ok_or_else(|| Refusal::bad_request(invalid))
}

/// Refuses a body that is announced as too long before any of it is read.
pub(super) fn check_announced(headers: &HeaderMap, limit: usize) -> Result<(), Refusal> {
    let announced = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > limit as u64) { Err(too_large()) } else { Ok(()) }
}

/// The answer to a body over its limit.
pub(super) fn too_large() -> Refusal {
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "Request body too large")
}
