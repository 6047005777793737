//! Pages and the files that belong to them.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::Response;
use http::header::{
    ACCEPT_ENCODING, ACCEPT_LANGUAGE, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use remotelab_protocol::SessionId;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::gate::{self, Nonce};
use super::query::Query;
use super::{answer, conditional};
use crate::app::{Shared, StorageRefused, blocking};
use crate::auth::caller::Caller;
use crate::outside::Outside;
use crate::web::pages::{ErrorKind, ErrorPage, Main, ShellPage};
use crate::web::view::Viewer;
use crate::web::{Language, assets, pages};
use crate::{sessions, starters};

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

/// `GET /`: the list and the field for a new task.
pub(super) async fn home(
    State(app): State<Shared>,
    Extension(outside): Extension<Outside>,
    Extension(Nonce(nonce)): Extension<Nonce>,
    Extension(caller): Extension<Caller>,
    Query(query): Query<HomeQuery>,
    headers: HeaderMap,
) -> Response {
    // The address of older links.
    if let Some(id) = query.session.as_deref().and_then(|id| SessionId::parse(id).ok()) {
        return answer::redirect(&format!("/s/{id}"));
    }
    let visit = Visit::of(outside, nonce, &headers);
    starters::make(&app, &caller, visit.viewer.language).await;
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

impl Visit {
    /// Reads what a page needs to know of its request.
    pub(super) fn of(outside: Outside, nonce: String, headers: &HeaderMap) -> Self {
        let viewer = Viewer { language: language(headers), now: Timestamp::now(), zone: TimeZone::system() };
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

/// The language that a request asks for.
pub(super) fn language(headers: &HeaderMap) -> Language {
    let accepted = headers.get(ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    Language::from_accept(accepted)
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
