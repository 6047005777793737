//! What a run may do with its token: work in its own session and in those that it started.

use std::sync::Arc;

use axum::extract::MatchedPath;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::request::Parts;
use remotelab_config::run_tokens::RunScope;
use remotelab_protocol::{AssetId, RunId, SessionId};
use serde_json::{Map, Value};

use super::access::{self, Reach};
use super::answer::Refusal;
use super::scope;
use crate::app::{App, Shared, blocking};
use crate::auth::Owner;
use crate::auth::caller::{Caller, OfRun};

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
    let is_allowed = match access::reach_of_runs(&parts.method, route) {
        Some(Reach::Anywhere) => true,
        Some(Reach::Organise) => of.scope == RunScope::Organise,
        Some(Reach::Own) => {
            let (worker, of) = (Arc::clone(app), of.clone());
            blocking(move || worker.named_in(&path).is_some_and(|session| worker.reaches(&of, &session)))
                .await
        }
        None => false,
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
