//! What a scoped token may do.

use std::sync::Arc;

use axum::extract::MatchedPath;
use axum::response::{IntoResponse, Response};
use http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderName, HeaderValue, StatusCode};
use remotelab_config::api_tokens::Scope;

use super::answer::Refusal;
use super::{access, run_scope};
use crate::app::{Shared, blocking};
use crate::auth::Owner;
use crate::auth::caller::{Caller, Presented};
use crate::outside::Outside;

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
    if !access::is_open_to_connectors(&parts.method, route) {
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
