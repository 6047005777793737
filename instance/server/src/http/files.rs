//! Sending files of an instance: streamed from the disk, whole or in parts, and never as an active part of
//! this origin.

use std::io::SeekFrom;
use std::path::PathBuf;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::Response;
use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE,
    CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG,
};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio_util::io::ReaderStream;

use super::query::Query;
use super::range::{self, Wanted};
use super::{answer, conditional};
use crate::app::Shared;
use crate::assets::{disposition, viewable};
use crate::attachments;

/// How much of a file is in memory while it is sent.
const CHUNK: usize = 64 << 10;

/// What a page of ours may do with a file of others: nothing.
const INERT: HeaderValue = HeaderValue::from_static("default-src 'none'; sandbox");

/// A file to send.
pub(super) struct Served {
    pub(super) path: PathBuf,
    pub(super) media_type: String,
    /// The name that a saved copy gets.
    pub(super) name: String,
    /// A strong tag: the same one is the same bytes for ever.
    pub(super) tag: String,
    pub(super) cache: HeaderValue,
    /// Whether it is to be saved, though it could be shown.
    pub(super) download: bool,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct DownloadQuery {
    pub(super) download: Option<String>,
    pub(super) name: Option<String>,
}

/// `GET /api/media/:name`: a file of a message.
pub(super) async fn media(
    State(app): State<Shared>,
    Path(name): Path<String>,
    Query(query): Query<DownloadQuery>,
    headers: HeaderMap,
) -> Response {
    let Some((path, media_type)) = attachments::find(&app.settings.paths, &name) else {
        return answer::text(StatusCode::BAD_REQUEST, "Invalid filename");
    };
    let served = Served {
        path,
        media_type: media_type.to_owned(),
        tag: format!("\"{name}\""),
        name: query.name.unwrap_or(name),
        cache: HeaderValue::from_static("private, max-age=31536000, immutable"),
        download: query.download.is_some(),
    };
    match send(&headers, served).await {
        Some(response) => response,
        None => answer::text(StatusCode::NOT_FOUND, "Not found"),
    }
}

/// Sends a file, or `None` when it is not there.
pub(super) async fn send(request: &HeaderMap, served: Served) -> Option<Response> {
    let mut file = tokio::fs::File::open(&served.path).await.ok()?;
    let about = file.metadata().await.ok().filter(std::fs::Metadata::is_file)?;
    let length = about.len();
    let (status, first, count) = match range::wanted(request, &served.tag, length) {
        _ if conditional::has(request, &served.tag) => (StatusCode::NOT_MODIFIED, 0, 0),
        Wanted::Whole => (StatusCode::OK, 0, length),
        Wanted::Part { first, last } => (StatusCode::PARTIAL_CONTENT, first, last - first + 1),
        Wanted::Nothing => (StatusCode::RANGE_NOT_SATISFIABLE, 0, 0),
    };
    if first > 0 {
        file.seek(SeekFrom::Start(first)).await.ok()?;
    }
    let body = match count {
        0 => Body::empty(),
        count => Body::from_stream(ReaderStream::with_capacity(file.take(count), CHUNK)),
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let fields = response.headers_mut();
    describe(fields, &served.media_type, &served.name, served.download);
    fields.insert(CACHE_CONTROL, served.cache);
    fields.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if let Ok(tag) = HeaderValue::from_str(&served.tag) {
        fields.insert(ETAG, tag);
    }
    let range = match status {
        StatusCode::PARTIAL_CONTENT => Some(format!("bytes {first}-{}/{length}", first + count - 1)),
        StatusCode::RANGE_NOT_SATISFIABLE => Some(format!("bytes */{length}")),
        _ => None,
    };
    if let Some(range) = range.and_then(|range| HeaderValue::from_str(&range).ok()) {
        fields.insert(CONTENT_RANGE, range);
    }
    if status == StatusCode::NOT_MODIFIED {
        fields.remove(CONTENT_TYPE);
    } else {
        fields.insert(CONTENT_LENGTH, HeaderValue::from(count));
    }
    Some(response)
}

/// Says what a file is and how to take it. Pictures, sounds and films may be shown; everything else is for
/// saving, and nothing is run.
pub(super) fn describe(fields: &mut HeaderMap, media_type: &str, name: &str, download: bool) {
    let shown = viewable(media_type).filter(|_| !download);
    let is_inert = media_type.starts_with("text/plain") || media_type.starts_with("text/markdown");
    let sent_as = match media_type {
        "application/pdf" | "application/zip" | "application/json" => media_type,
        _ if is_inert || viewable(media_type).is_some() => media_type,
        _ => "application/octet-stream",
    };
    if let Ok(sent_as) = HeaderValue::from_str(sent_as) {
        fields.insert(CONTENT_TYPE, sent_as);
    }
    if let Ok(disposition) = HeaderValue::from_str(&disposition(shown.is_some(), name)) {
        fields.insert(CONTENT_DISPOSITION, disposition);
    }
    fields.insert(CONTENT_SECURITY_POLICY, INERT);
}
