//! What a scoped token may do.

use std::sync::Arc;

use axum::extract::MatchedPath;
use axum::response::{IntoResponse, Response};
use http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, StatusCode};
use remotelab_config::api_tokens::Scope;

use super::answer::Refusal;
use super::run_scope;
use crate::app::{Shared, blocking};
use crate::auth::Owner;
use crate::auth::caller::{Caller, Presented};
use crate::outside::Outside;

/// Creating sessions, posting messages and their files, reading what became of them. Paths as the router
/// names them.
const CONNECTOR: &[(Method, &str)] = &[
    (Method::GET, "/api/assets/{id}"),
    (Method::GET, "/api/assets/{id}/download"),
    (Method::GET, "/api/media/{name}"),
    (Method::PUT, "/api/assets/{id}/content"),
    (Method::POST, "/api/assets/{id}/finalize"),
    (Method::POST, "/api/assets/upload-intents"),
    (Method::GET, "/api/build-info"),
    (Method::GET, "/api/completions"),
    (Method::POST, "/api/completions/{id}"),
    (Method::GET, "/api/openapi.json"),
    (Method::GET, "/api/runs/{id}"),
    (Method::GET, "/api/runs/{id}/reply"),
    (Method::GET, "/api/sessions"),
    (Method::POST, "/api/sessions"),
    (Method::GET, "/api/sessions/archived"),
    (Method::GET, "/api/sessions/{id}"),
    (Method::GET, "/api/sessions/{id}/events"),
    (Method::GET, "/api/sessions/{id}/events/blocks/{range}"),
    (Method::GET, "/api/sessions/{id}/events/{seq}/body"),
    (Method::POST, "/api/sessions/{id}/messages"),
    (Method::GET, "/api/sessions/{id}/runs"),
    (Method::GET, "/api/sessions/{id}/source-context"),
    (Method::GET, "/api/sessions/{id}/stream"),
    (Method::GET, "/api/tools"),
    (Method::GET, "/ws"),
];

/// Decides whether a request with a token reaches its handler; an `Err` is its answer.
pub(super) async fn admit(
    app: &Shared,
    parts: &mut Parts,
    outside: &Outside,
    presented: String,
) -> Result<(), Response> {
    let (worker, outside) = (Arc::clone(app), outside.clone());
    let token = match blocking(move || worker.auth.bearer(&presented, &outside)).await {
        Presented::Known(token) => token,
        Presented::Owner(token) => {
            parts.extensions.insert(Owner::default());
            parts.extensions.insert(Caller::Owner { token });
            return Ok(());
        }
        Presented::Run(run) => return run_scope::admit(app, parts, run).await,
        Presented::Unknown => return Err(not_authenticated("Not authenticated")),
        Presented::LockedOut => {
            let later = (RETRY_AFTER, HeaderValue::from_static("60"));
            let message = "Too many failed attempts. Please try again later.";
            return Err(refusal(StatusCode::TOO_MANY_REQUESTS, message, Some(later)));
        }
    };
    let route = parts.extensions.get::<MatchedPath>().map(MatchedPath::as_str);
    let Scope::Connector = token.scope;
    if !allows(CONNECTOR, &parts.method, route) {
        return Err(refusal(StatusCode::FORBIDDEN, "This token may not do that", None));
    }
    parts.extensions.insert(Caller::Token { id: token.id });
    Ok(())
}

/// The answer to a token that is no good (RFC 6750 §3).
pub(super) fn not_authenticated(message: &str) -> Response {
    let challenge = (WWW_AUTHENTICATE, HeaderValue::from_static("Bearer error=\"invalid_token\""));
    refusal(StatusCode::UNAUTHORIZED, message, Some(challenge))
}

fn refusal(status: StatusCode, message: &str, header: Option<(HeaderName, HeaderValue)>) -> Response {
    let mut response = Refusal::new(status, message).into_response();
    response.headers_mut().extend(header);
    response
}

/// Tells whether a route is on a list; `route` is `None` where the router knows none.
pub(super) fn allows(list: &[(Method, &str)], method: &Method, route: Option<&str>) -> bool {
    let method = if *method == Method::HEAD { &Method::GET } else { method };
    route.is_some_and(|route| list.iter().any(|(allowed, path)| allowed == method && *path == route))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_named_is_not_allowed() {
        let may = |method, route| allows(CONNECTOR, &method, route);
        assert!(may(Method::HEAD, Some("/api/sessions")) && may(Method::POST, Some("/api/sessions")));
        assert!(!may(Method::DELETE, Some("/api/sessions")) && !may(Method::OPTIONS, Some("/api/sessions")));
        assert!(!may(Method::GET, Some("/api/tokens")) && !may(Method::GET, None));
    }
}
