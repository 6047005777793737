//! Sessions: list, read, create, change.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use remotelab_protocol::SessionId;
use remotelab_protocol::session::ListKey;
use remotelab_protocol::wire::CreateSession;
use remotelab_store::session::State as SessionState;
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{self, Refusal};
use super::query::Query;
use super::{body, conditional, pages, paging, run_scope};
use crate::app::{Shared, blocking, change};
use crate::auth::caller::Caller;
use crate::patch;
use crate::sessions::{self, Detail, Filter, Page};
use crate::{starters, submit};

/// How many sessions a page has when only a cursor is given, and at most.
const PAGE: usize = 50;
const PAGE_MAX: usize = 200;

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct ListQuery {
    view: String,
    include_visitor: String,
    template_id: Option<String>,
    app_id: Option<String>,
    source_id: Option<String>,
    folder: Option<String>,
    limit: Option<String>,
    cursor: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct ViewQuery {
    view: String,
}

/// `GET /api/sessions`. The first time the owner asks there is something to see.
pub(super) async fn list(
    State(app): State<Shared>,
    Extension(caller): Extension<Caller>,
    Query(query): Query<ListQuery>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    starters::make(&app, &caller, pages::language(&headers)).await;
    listed(&app, query, false, &headers).await
}

/// `GET /api/sessions/archived`.
pub(super) async fn list_archived(
    State(app): State<Shared>,
    Query(query): Query<ListQuery>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    listed(&app, query, true, &headers).await
}

/// `POST /api/sessions`: 201 also when a session with the same `externalTriggerId` is returned.
pub(super) async fn create(State(app): State<Shared>, body: Body) -> Result<Response, Refusal> {
    let request: CreateSession = body::json(body, body::SESSION, "Invalid request body").await?;
    let dropped = sessions::source_context(request.source_context.as_ref()).1;
    let cell = sessions::create(&app, request).await?;
    let mut answer = json!({"session": sessions::body(&cell.snapshot(), Detail::Full)});
    warn_of_dropped_context(&mut answer, dropped);
    Ok(answer::json(StatusCode::CREATED, answer))
}

/// `GET /api/sessions/:id`.
pub(super) async fn get(
    State(app): State<Shared>,
    Path(id): Path<String>,
    Query(query): Query<ViewQuery>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let cell = find(&app, &id)?;
    let detail =
        if matches!(query.view.as_str(), "sidebar" | "summary") { Detail::Summary } else { Detail::Full };
    Ok(conditional::json(&headers, &json!({"session": sessions::body(&cell.snapshot(), detail)})))
}

/// `PATCH /api/sessions/:id`.
pub(super) async fn patch(
    State(app): State<Shared>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    body: Body,
) -> Result<Response, Refusal> {
    let cell = find(&app, &id)?;
    let Value::Object(fields) = body::json(body, body::SESSION, "Invalid request body").await? else {
        return Err(Refusal::bad_request("Invalid request body"));
    };
    run_scope::check_change(&caller, &fields)?;
    let tool = fields.get("tool").and_then(Value::as_str).filter(|tool| !tool.trim().is_empty());
    if let Some(tool) = tool.map(str::to_owned) {
        let worker = Arc::clone(&app);
        blocking(move || worker.known_tool(Some(&tool), "")).await?;
    }
    let outcome = change(&cell, move |draft| {
        let changed = patch::apply(draft.session(), &fields)?;
        if changed != *draft.session() {
            *draft.session_mut() = changed;
        }
        Ok::<(), patch::Invalid>(())
    });
    outcome.await?.map_err(|invalid| Refusal::bad_request(invalid.to_string()))?;
    app.hub.session_changed(&cell);
    app.hub.list_changed();
    // A session that was archived with messages waiting goes on with them.
    submit::schedule_flush(&app, &cell);
    Ok(answer::json(StatusCode::OK, json!({"session": sessions::body(&cell.snapshot(), Detail::Full)})))
}

/// Finds a session by the text of a path segment.
pub(super) fn find(app: &Shared, id: &str) -> Result<Arc<remotelab_store::SessionCell>, Refusal> {
    let id = SessionId::parse(id)?;
    sessions::find(app, &id).ok_or_else(|| Refusal::not_found("Session not found"))
}

/// Tells the caller that its `sourceContext` was over the limit and not kept.
pub(super) fn warn_of_dropped_context(answer: &mut Value, dropped: bool) {
    if dropped {
        answer["warnings"] = json!(["sourceContext is larger than 16384 bytes and was not kept"]);
    }
}

async fn listed(
    app: &Shared,
    query: ListQuery,
    archived: bool,
    headers: &HeaderMap,
) -> Result<Response, Refusal> {
    let limit = paging::limit(query.limit.as_deref(), PAGE_MAX)?;
    let after: Option<ListKey> = paging::place(query.cursor.as_deref())?;
    let filter = Filter {
        archived,
        include_visitors: matches!(query.include_visitor.as_str(), "1" | "true" | "yes"),
        template_id: query.template_id.or(query.app_id),
        source_id: query.source_id,
        folder: query.folder,
    };
    let paged = limit.is_some() || after.is_some();
    let app = Arc::clone(app);
    let (mut answer, next) = blocking(move || {
        if paged {
            let Page { states, archived, next } =
                sessions::page(&app, &filter, after.as_ref(), limit.unwrap_or(PAGE));
            (rows(&query.view, &states, archived, true), next)
        } else {
            let (states, archived) = sessions::list(&app, &filter);
            (rows(&query.view, &states, archived, false), None)
        }
    })
    .await;
    if paged {
        answer["hasMore"] = next.is_some().into();
        answer["nextCursor"] = next.as_ref().map(paging::cursor).into();
    }
    Ok(conditional::json(headers, &answer))
}

/// Writes the rows of a list. Those of a page are light: instructions can be long and are the same each
/// time.
fn rows(view: &str, states: &[SessionState], archived: usize, light: bool) -> Value {
    if view == "refs" {
        let refs: Vec<Value> = states.iter().map(reference).collect();
        return json!({"sessionRefs": refs, "archivedCount": archived});
    }
    let row = |state| {
        let mut row = sessions::body(state, Detail::Summary);
        if let Some(fields) = row.as_object_mut().filter(|_| light) {
            fields.shift_remove("systemPrompt");
        }
        row
    };
    json!({"sessions": states.iter().map(row).collect::<Vec<_>>(), "archivedCount": archived})
}

/// The tag equals that of the `view=sidebar` answer, so that a client reads only the rows that changed.
fn reference(state: &SessionState) -> Value {
    let summary = json!({"session": sessions::body(state, Detail::Summary)});
    let bytes = serde_json::to_vec(&summary).unwrap_or_default();
    json!({"id": state.session.id, "summaryEtag": conditional::tag(&bytes)})
}
