//! The page's own routes: fragments for its scripts, and forms that work without any.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::Response;
use http::{HeaderMap, HeaderValue, StatusCode};
use remotelab_protocol::ids;
use remotelab_protocol::wire::CreateSession;
use remotelab_store::SessionCell;
use serde::Deserialize;
use subtle::ConstantTimeEq;

use super::answer::{self, Refusal};
use super::gate::Nonce;
use super::pages::{self, SessionQuery, Visit};
use super::query::Query;
use super::{body, conditional, events, sessions as routes};
use crate::app::{Shared, StorageRefused, blocking};
use crate::auth::caller::Caller;
use crate::clock::now_ms;
use crate::outside::Outside;
use crate::submit::{self, Submission};
use crate::web::fragments;
use crate::{runs, sessions, starters};

const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
/// A message typed into a form without script, in bytes.
const FORM: usize = 1 << 20;

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct ListQuery {
    selected: Option<String>,
    /// `archived` for what was put away.
    view: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Form {
    form_token: String,
    text: String,
    request_id: String,
    folder: String,
    tool: String,
}

/// `GET ui/new`.
pub(super) async fn new_task(
    State(app): State<Shared>,
    outside: Extension<Outside>,
    nonce: Extension<Nonce>,
    headers: HeaderMap,
) -> Response {
    let visit = Visit::of(outside.0, nonce.0.0, &headers);
    let html =
        blocking(move || fragments::new_task(&app.first_composer(&visit.form_token, &visit.viewer))).await;
    conditional::tagged(&headers, HTML, html.into_bytes())
}

/// `GET ui/sessions?view=`.
pub(super) async fn list(
    State(app): State<Shared>,
    outside: Extension<Outside>,
    nonce: Extension<Nonce>,
    Extension(caller): Extension<Caller>,
    Query(query): Query<ListQuery>,
    headers: HeaderMap,
) -> Response {
    let visit = Visit::of(outside.0, nonce.0.0, &headers);
    starters::make(&app, &caller, visit.viewer.language).await;
    let html = blocking(move || {
        let list = match query.view.as_deref() {
            Some("archived") => app.archived_list(&visit.viewer),
            _ => app.session_list(query.selected.as_deref(), &visit.viewer),
        };
        fragments::session_list(&list)
    })
    .await;
    conditional::tagged(&headers, HTML, html.into_bytes())
}

/// `GET ui/sessions/:id`.
pub(super) async fn session(
    State(app): State<Shared>,
    outside: Extension<Outside>,
    nonce: Extension<Nonce>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let cell = fresh(&app, &id).await?;
    let visit = Visit::of(outside.0, nonce.0.0, &headers);
    let html = blocking(move || {
        fragments::session_view(&app.session_page(&cell, None, &visit.form_token, &visit.viewer))
    })
    .await;
    Ok(conditional::tagged(&headers, HTML, html.into_bytes()))
}

/// `GET ui/sessions/:id/timeline?before=`.
pub(super) async fn timeline(
    State(app): State<Shared>,
    outside: Extension<Outside>,
    nonce: Extension<Nonce>,
    Path(id): Path<String>,
    Query(query): Query<SessionQuery>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let cell = fresh(&app, &id).await?;
    let visit = Visit::of(outside.0, nonce.0.0, &headers);
    let html = blocking(move || {
        let state = cell.snapshot();
        fragments::timeline(&app.timeline(&cell, &state, query.before, &visit.viewer))
    });
    Ok(conditional::tagged(&headers, HTML, html.await.into_bytes()))
}

/// `GET ui/sessions/:id/writing`: the text that is being written; empty when none is.
pub(super) async fn writing(
    State(app): State<Shared>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let cell = routes::find(&app, &id)?;
    let html = blocking(move || fragments::writing(app.writing(&cell).as_deref())).await;
    Ok(conditional::tagged(&headers, HTML, html.into_bytes()))
}

/// `GET ui/sessions/:id/blocks/:start-:end`.
pub(super) async fn block(
    State(app): State<Shared>,
    outside: Extension<Outside>,
    nonce: Extension<Nonce>,
    Path((id, range)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let cell = fresh(&app, &id).await?;
    let Some((start, end)) = events::parse_range(&range) else {
        return Ok(answer::not_found().await);
    };
    let visit = Visit::of(outside.0, nonce.0.0, &headers);
    let end = end.min(cell.with(|state| state.meta.latest_seq));
    let html = blocking(move || fragments::block(&app.steps(&cell, start, end, &visit.viewer))).await;
    Ok(conditional::tagged(&headers, HTML, html.into_bytes()))
}

/// `POST ui/sessions`: a new session with its first message.
pub(super) async fn create(
    State(app): State<Shared>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let form = read(&headers, body).await?;
    if form.text.trim().is_empty() {
        return Err(submit::Error::NoText.into());
    }
    let or = |text: &str, fallback: String| {
        if text.trim().is_empty() { fallback } else { text.to_owned() }
    };
    let worker = Arc::clone(&app);
    let default_tool = blocking(move || worker.default_tool()).await;
    app.known_tool(Some(&form.tool), &default_tool)?;
    let request = CreateSession {
        folder: or(&form.folder, "~".to_owned()),
        tool: or(&form.tool, default_tool),
        ..CreateSession::default()
    };
    let cell = sessions::create(&app, request).await?;
    submit(&app, &cell, form).await?;
    Ok(see(&cell))
}

/// `POST ui/sessions/:id/messages`.
pub(super) async fn send(
    State(app): State<Shared>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let cell = routes::find(&app, &id)?;
    let form = read(&headers, body).await?;
    submit(&app, &cell, form).await?;
    Ok(see(&cell))
}

/// `POST ui/sessions/:id/cancel`.
pub(super) async fn cancel(
    State(app): State<Shared>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let cell = routes::find(&app, &id)?;
    read(&headers, body).await?;
    runs::cancel(&app, &cell, None).await?;
    Ok(see(&cell))
}

async fn submit(app: &Shared, cell: &Arc<SessionCell>, form: Form) -> Result<(), Refusal> {
    let given = Some(form.request_id).filter(|id| !id.trim().is_empty());
    let submission = Submission {
        request_id: given.unwrap_or_else(|| ids::request_id("page", now_ms())),
        text: form.text,
        tool: Some(form.tool).filter(|tool| !tool.trim().is_empty()),
        ..Submission::default()
    };
    submit::submit(app, cell, submission).await?;
    Ok(())
}

/// Reads a form and checks that one of our own pages sent it.
async fn read(headers: &HeaderMap, body: Body) -> Result<Form, Refusal> {
    let bytes = body::bytes(body, FORM).await?;
    let form: Form =
        serde_urlencoded::from_bytes(&bytes).map_err(|_| Refusal::bad_request("Invalid request body"))?;
    let expected = pages::form_token(headers);
    let ours = headers.contains_key(pages::CLIENT)
        || bool::from(expected.as_bytes().ct_eq(form.form_token.as_bytes()));
    if ours {
        Ok(form)
    } else {
        Err(Refusal::new(StatusCode::FORBIDDEN, "The page is too old; reload it and send again"))
    }
}

async fn fresh(app: &Shared, id: &str) -> Result<Arc<SessionCell>, Refusal> {
    let cell = routes::find(app, id)?;
    app.store.settled().await.map_err(StorageRefused)?;
    Ok(cell)
}

/// After a form: look at the session (RFC 9110 §15.4.4).
fn see(cell: &SessionCell) -> Response {
    let mut response = answer::redirect(&format!("/s/{}", cell.id()));
    *response.status_mut() = StatusCode::SEE_OTHER;
    response
}
