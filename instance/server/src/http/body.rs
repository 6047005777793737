//! Reading request bodies, each with a limit.

use axum::body::{Body, to_bytes};
use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, StatusCode};
use serde::de::DeserializeOwned;

use tokio::sync::SemaphorePermit;

use super::answer::Refusal;
use crate::app::App;

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
    let bytes = bytes(body, limit).await?;
    // A list would be taken for the fields in their order.
    let is_object = bytes.trim_ascii_start().first() == Some(&b'{');
    let read = if is_object { serde_json::from_slice(&bytes).ok() } else { None };
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

/// Waits for room for a body that is read into memory: all of them together stay within what
/// [`App::body_memory`] holds, in MiB.
pub(super) async fn room<'a>(app: &'a App, headers: &HeaderMap, limit: usize) -> Option<SemaphorePermit<'a>> {
    let bytes = announced(headers).map_or(limit as u64, |length| length.min(limit as u64));
    let mebibytes = u32::try_from(bytes >> 20).unwrap_or(u32::MAX).saturating_add(1);
    app.body_memory.acquire_many(mebibytes).await.ok()
}

/// The answer to a body over its limit.
pub(super) fn too_large() -> Refusal {
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "Request body too large")
}
