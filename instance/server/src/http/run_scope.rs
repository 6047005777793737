//! What a run may do with its token: work in its own session and in those that it started.

use std::sync::Arc;

use axum::extract::MatchedPath;
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{Method, StatusCode};
use remotelab_config::run_tokens::RunScope;
use remotelab_protocol::{AssetId, RunId, SessionId};
use serde_json::{Map, Value};

use super::answer::Refusal;
use super::scope;
use crate::app::{App, Shared, blocking};
use crate::auth::Owner;
use crate::auth::caller::{Caller, OfRun};

/// What concerns no session, or names its session in a body: the handlers of triggers look at that.
const ANYWHERE: &[(Method, &str)] = &[
    (Method::GET, "/api/build-info"),
    (Method::GET, "/api/models"),
    (Method::GET, "/api/openapi.json"),
    (Method::GET, "/api/tools"),
    (Method::GET, "/api/triggers"),
    (Method::POST, "/api/triggers"),
];

/// What is done to a session, a run, a trigger or a file that the path names. Paths as the router names them.
const OWN: &[(Method, &str)] = &[
    (Method::GET, "/api/assets/{id}"),
    (Method::GET, "/api/assets/{id}/download"),
    (Method::GET, "/api/runs/{id}"),
    (Method::POST, "/api/runs/{id}/cancel"),
    (Method::GET, "/api/runs/{id}/reply"),
    (Method::GET, "/api/sessions/{id}"),
    (Method::POST, "/api/sessions/{id}/assistant-messages"),
    (Method::POST, "/api/sessions/{id}/cancel"),
    (Method::POST, "/api/sessions/{id}/delegate"),
    (Method::GET, "/api/sessions/{id}/events"),
    (Method::GET, "/api/sessions/{id}/events/blocks/{range}"),
    (Method::GET, "/api/sessions/{id}/events/{seq}/body"),
    (Method::POST, "/api/sessions/{id}/messages"),
    (Method::GET, "/api/sessions/{id}/runs"),
    (Method::GET, "/api/sessions/{id}/source-context"),
    (Method::GET, "/api/sessions/{id}/stream"),
    (Method::GET, "/api/triggers/{id}"),
    (Method::PATCH, "/api/triggers/{id}"),
    (Method::DELETE, "/api/triggers/{id}"),
];

/// What one may do besides that puts the list in order. The handler looks at what is changed.
const ORGANISE: &[(Method, &str)] = &[
    (Method::GET, "/api/sessions"),
    (Method::GET, "/api/sessions/archived"),
    (Method::PATCH, "/api/sessions/{id}"),
];

/// Decides whether a request with the token of a run reaches its handler; an `Err` is its answer.
pub(super) async fn admit(app: &Shared, parts: &mut Parts, run: RunId) -> Result<(), Response> {
    let (worker, asked) = (Arc::clone(app), run.clone());
    let Some(of) = blocking(move || worker.caller_of(&asked)).await else {
        return Err(scope::not_authenticated("The run of this token is over"));
    };
    let path = parts.uri.path().to_owned();
    if of.scope == RunScope::Owner && (path.starts_with("/api/") || path == "/ws") {
        parts.extensions.insert(Owner::default());
        parts.extensions.insert(Caller::Run(of));
        return Ok(());
    }
    let route = parts.extensions.get::<MatchedPath>().map(MatchedPath::as_str);
    let may = |list| scope::allows(list, &parts.method, route);
    let is_allowed = if may(OWN) {
        let (worker, of) = (Arc::clone(app), of.clone());
        blocking(move || worker.named_in(&path).is_some_and(|session| worker.reaches(&of, &session))).await
    } else {
        may(ANYWHERE) || (of.scope == RunScope::Organise && may(ORGANISE))
    };
    if !is_allowed {
        return Err(refused(&of).into_response());
    }
    parts.extensions.insert(Caller::Run(of));
    Ok(())
}

/// The answer to a run that wants more than it may.
fn refused(of: &OfRun) -> Refusal {
    let message = format!("The token of this run has the scope {:?} and may not do that", of.scope.as_str());
    Refusal::new(StatusCode::FORBIDDEN, message)
}

/// Tells whether any run may call a route.
pub(super) fn is_open(method: &str, route: &str) -> bool {
    ANYWHERE
        .iter()
        .chain(OWN)
        .any(|(allowed, path)| allowed.as_str().eq_ignore_ascii_case(method) && *path == route)
}

/// Refuses a run that names a session which is not its own.
pub(super) fn check(app: &App, caller: &Caller, session: &str) -> Result<(), Refusal> {
    let Caller::Run(of) = caller else { return Ok(()) };
    let is_own = SessionId::parse(session).is_ok_and(|session| app.reaches(of, &session));
    if is_own { Ok(()) } else { Err(refused(of)) }
}

/// Tells whether a caller is not bound to a run's own sessions.
pub(super) fn is_free(caller: &Caller) -> bool {
    !matches!(caller, Caller::Run(of) if of.scope != RunScope::Owner)
}

/// Refuses a run that changes more of a session than its place in the list.
pub(super) fn check_change(caller: &Caller, fields: &Map<String, Value>) -> Result<(), Refusal> {
    let Caller::Run(of) = caller else { return Ok(()) };
    let orders = fields.keys().all(|key| matches!(key.as_str(), "group" | "sidebarOrder"));
    if of.scope == RunScope::Owner || orders { Ok(()) } else { Err(refused(of)) }
}

impl App {
    /// Returns the session of what a path names.
    fn named_in(&self, path: &str) -> Option<SessionId> {
        let mut parts = path.strip_prefix("/api/")?.split('/');
        let (kind, id) = (parts.next()?, parts.next()?);
        match kind {
            "sessions" => SessionId::parse(id).ok(),
            "runs" => Some(self.store.run(&RunId::parse(id).ok()?).ok()??.session_id),
            "triggers" => SessionId::parse(&self.triggers.get(id).ok()?.session_id).ok(),
            "assets" => Some(self.assets.find(&AssetId::parse(id).ok()?).ok()?.session_id),
            _ => None,
        }
    }
}
