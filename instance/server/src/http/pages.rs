//! Pages and the files that belong to them.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::Response;
use http::header::{
    ACCEPT_ENCODING, ACCEPT_LANGUAGE, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_TYPE,
    ETAG, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use remotelab_protocol::SessionId;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use tokio_util::io::ReaderStream;

use super::gate::{self, Nonce};
use super::query::Query;
use super::{answer, conditional};
use crate::app::{Shared, StorageRefused, blocking};
use crate::attachments;
use crate::outside::Outside;
use crate::sessions;
use crate::web::pages::{ErrorKind, ErrorPage, Main, ShellPage};
use crate::web::view::Viewer;
use crate::web::{Language, assets, pages};

/// What a page is drawn for.
pub(super) struct Visit {
    pub(super) outside: Outside,
    pub(super) nonce: String,
    pub(super) viewer: Viewer,
    pub(super) form_token: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct HomeQuery {
    session: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct SessionQuery {
    pub(super) before: Option<u64>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct DownloadQuery {
    download: Option<String>,
    name: Option<String>,
}

/// `GET /`: the list and the field for a new task.
pub(super) async fn home(
    State(app): State<Shared>,
    Extension(outside): Extension<Outside>,
    Extension(Nonce(nonce)): Extension<Nonce>,
    Query(query): Query<HomeQuery>,
    headers: HeaderMap,
) -> Response {
    // The address of older links.
    if let Some(id) = query.session.as_deref().and_then(|id| SessionId::parse(id).ok()) {
        return answer::redirect(&format!("/s/{id}"));
    }
    let visit = Visit::of(outside, nonce, &headers);
    let worker = Arc::clone(&app);
    let page = blocking(move || {
        let main = Main::New(Box::new(worker.first_composer(&visit.form_token, &visit.viewer)));
        worker.shell(&visit, None, main)
    });
    answer::html(page.await)
}

/// `GET /s/:id`: a session beside the list.
pub(super) async fn session(
    State(app): State<Shared>,
    Extension(outside): Extension<Outside>,
    Extension(Nonce(nonce)): Extension<Nonce>,
    Path(id): Path<String>,
    Query(query): Query<SessionQuery>,
    headers: HeaderMap,
) -> Response {
    let visit = Visit::of(outside, nonce, &headers);
    let Some(cell) = SessionId::parse(&id).ok().and_then(|id| sessions::find(&app, &id)) else {
        return visit.failure(ErrorKind::NotFound, StatusCode::NOT_FOUND);
    };
    if app.store.settled().await.map_err(StorageRefused).is_err() {
        return visit.failure(ErrorKind::Broken, StatusCode::SERVICE_UNAVAILABLE);
    }
    let worker = Arc::clone(&app);
    let page = blocking(move || {
        let page = worker.session_page(&cell, query.before, &visit.form_token, &visit.viewer);
        worker.shell(&visit, Some(cell.id().as_str()), Main::Session(Box::new(page)))
    });
    answer::html(page.await)
}

/// Files of the page itself.
pub(super) async fn asset(uri: Uri, headers: HeaderMap) -> Response {
    let accepted = headers.get(ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let Some(asset) = assets::find(uri.path().trim_start_matches('/'), accepted) else {
        return answer::not_found().await;
    };
    let matched = conditional::has(&headers, &asset.etag);
    let mut response = Response::new(if matched { Body::empty() } else { Body::from(asset.bytes) });
    let fields = response.headers_mut();
    fields.insert(CACHE_CONTROL, HeaderValue::from_static(asset.cache_control));
    fields.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    if let Ok(tag) = HeaderValue::from_str(&asset.etag) {
        fields.insert(ETAG, tag);
    }
    if matched {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return response;
    }
    fields.insert(CONTENT_TYPE, HeaderValue::from_static(asset.content_type));
    if let Some(encoding) = asset.content_encoding {
        fields.insert(CONTENT_ENCODING, HeaderValue::from_static(encoding));
    }
    response
}

/// `GET /api/media/:name`: a file of a message, never as an active part of this origin.
pub(super) async fn media(
    State(app): State<Shared>,
    Path(name): Path<String>,
    Query(query): Query<DownloadQuery>,
) -> Response {
    let Some((path, media_type)) = attachments::find(&app.settings.paths, &name) else {
        return answer::text(StatusCode::BAD_REQUEST, "Invalid filename");
    };
    let Ok(file) = tokio::fs::File::open(path).await else {
        return answer::text(StatusCode::NOT_FOUND, "Not found");
    };
    let length = file.metadata().await.map(|metadata| metadata.len()).ok();
    let mut response = Response::new(Body::from_stream(ReaderStream::new(file)));
    let fields = response.headers_mut();
    fields.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    fields.insert(CACHE_CONTROL, HeaderValue::from_static("private, max-age=31536000, immutable"));
    fields.insert(
        http::header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; sandbox"),
    );
    if let Some(length) = length {
        fields.insert(http::header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    let viewable = ["image/", "video/", "audio/"].iter().any(|kind| media_type.starts_with(kind));
    let kind = if viewable && query.download.is_none() { "inline" } else { "attachment" };
    if let Ok(disposition) = HeaderValue::from_str(&disposition(kind, query.name.as_deref().unwrap_or(&name)))
    {
        fields.insert(CONTENT_DISPOSITION, disposition);
    }
    response
}

impl Visit {
    /// Reads what a page needs to know of its request.
    pub(super) fn of(outside: Outside, nonce: String, headers: &HeaderMap) -> Self {
        let accepted = headers.get(ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let viewer = Viewer {
            language: Language::from_accept(accepted),
            now: Timestamp::now(),
            zone: TimeZone::system(),
        };
        Self { outside, nonce, viewer, form_token: form_token(headers) }
    }

    /// Draws the page of an error.
    pub(super) fn failure(&self, kind: ErrorKind, status: StatusCode) -> Response {
        let page = ErrorPage { base: self.outside.base(), language: self.viewer.language, kind };
        let mut response = answer::html(pages::error(&page));
        *response.status_mut() = status;
        response
    }
}

impl crate::app::App {
    fn shell(self: &Arc<Self>, visit: &Visit, selected: Option<&str>, main: Main) -> String {
        pages::shell(&ShellPage {
            base: visit.outside.base(),
            nonce: visit.nonce.clone(),
            instance: self.settings.instance_name.clone(),
            viewer: visit.viewer.clone(),
            list: self.session_list(selected, &visit.viewer),
            main,
            form_token: visit.form_token.clone(),
        })
    }
}

/// What proves that a form without script came from a page of this login: a hash of the login's cookie.
pub(super) fn form_token(headers: &HeaderMap) -> String {
    let cookies = gate::cookies(headers);
    let login = crate::auth::cookie::find(&cookies, crate::auth::cookie::OWNER).unwrap_or_default();
    let mut hash = Sha256::new();
    hash.update(b"remotelab form\n");
    hash.update(login.as_bytes());
    hex::encode(hash.finalize())
}

/// The header by which our scripts show that a request is theirs: other sites cannot set it.
pub(super) const CLIENT: HeaderName = HeaderName::from_static("x-remotelab-client");

/// Writes a `Content-Disposition` (RFC 6266) with a fallback for old readers.
fn disposition(kind: &str, name: &str) -> String {
    let fallback: String =
        name.chars().map(|c| if c.is_ascii_graphic() && !"\"\\%;".contains(c) { c } else { '_' }).collect();
    format!(
        "{kind}; filename=\"{fallback}\"; filename*=UTF-8''{}",
        utf8_percent_encode(name, NON_ALPHANUMERIC)
    )
}

#[cfg(test)]
mod tests {
    use super::disposition;

    #[test]
    fn file_names_cannot_break_out_of_their_header() {
        assert_eq!(
            disposition("inline", "Rep\"ort é\r\n.pdf"),
            "inline; filename=\"Rep_ort____.pdf\"; filename*=UTF-8''Rep%22ort%20%C3%A9%0D%0A%2Epdf"
        );
    }
}
