//! Signing in and out, and who is signed in.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::header::{CACHE_CONTROL, RETRY_AFTER, SET_COOKIE};
use http::{HeaderMap, HeaderValue, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::json;

use super::answer::{self, Refusal};
use super::query::Query;
use super::{body, conditional, gate};
use crate::app::{Shared, blocking};
use crate::auth::{Credentials, Owner, SignIn, cookie};
use crate::outside::Outside;
use crate::web::Language;
use crate::web::pages::{self, LoginMode, LoginPage};

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct FormQuery {
    error: String,
    mode: String,
    next: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Form {
    r#type: String,
    token: String,
    username: String,
    password: String,
    next: String,
}

/// `GET /login`.
pub(super) async fn form(
    State(app): State<Shared>,
    Extension(outside): Extension<Outside>,
    Query(query): Query<FormQuery>,
    headers: HeaderMap,
) -> Response {
    let accepted = headers.get(http::header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
    answer::html(pages::login(&LoginPage {
        base: outside.base(),
        language: Language::from_accept(accepted.unwrap_or_default()),
        instance: app.settings.instance_name.clone(),
        mode: if query.mode == "pw" { LoginMode::Password } else { LoginMode::Token },
        failed: query.error == "1",
        locked: false,
        next: safe_next(&query.next).to_owned(),
    }))
}

/// `POST /login`.
pub(super) async fn submit(
    State(app): State<Shared>,
    Extension(outside): Extension<Outside>,
    body: Body,
) -> Result<Response, Refusal> {
    let bytes = body::bytes(body, body::SMALL).await?;
    let form: Form =
        serde_urlencoded::from_bytes(&bytes).map_err(|_| Refusal::bad_request("Invalid request body"))?;
    let mode = if form.r#type == "token" { "token" } else { "pw" };
    let credentials = match mode {
        "token" => Credentials::Token(form.token.trim().to_owned()),
        _ => Credentials::Password { username: form.username, password: form.password },
    };
    let next = safe_next(&form.next);
    Ok(match attempt(&app, credentials, &outside).await {
        SignIn::Granted(cookie) => {
            let mut response = answer::redirect(&format!("/{next}"));
            if let Ok(cookie) = HeaderValue::from_str(&cookie) {
                response.headers_mut().append(SET_COOKIE, cookie);
            }
            response
        }
        SignIn::Refused if next.is_empty() => answer::redirect(&format!("/login?error=1&mode={mode}")),
        SignIn::Refused => {
            let next = utf8_percent_encode(next, NON_ALPHANUMERIC);
            answer::redirect(&format!("/login?error=1&mode={mode}&next={next}"))
        }
        SignIn::LockedOut => locked_out(),
        SignIn::Failed(_) => answer::text(StatusCode::SERVICE_UNAVAILABLE, "The login could not be stored"),
    })
}

/// `GET /logout`, for a person who goes there; a page of another site or a browser that looks ahead signs
/// nobody out.
pub(super) async fn sign_out_by_link(state: State<Shared>, headers: HeaderMap) -> Response {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let is_foreign = matches!(header("sec-fetch-site"), "cross-site" | "same-site");
    let is_embedded = !matches!(header("sec-fetch-dest"), "" | "document");
    let looks_ahead = !header("sec-purpose").is_empty() || !header("purpose").is_empty();
    if is_foreign || is_embedded || looks_ahead {
        return answer::redirect("/");
    }
    sign_out(state, headers).await
}

/// `POST /logout`.
pub(super) async fn sign_out(State(app): State<Shared>, headers: HeaderMap) -> Response {
    let (worker, cookies) = (Arc::clone(&app), gate::cookies(&headers));
    blocking(move || worker.auth.sign_out(&cookies)).await;
    let mut response = answer::redirect("/login");
    for name in [cookie::OWNER, cookie::VISITOR] {
        if let Ok(cleared) = HeaderValue::from_str(&cookie::clear(name, app.settings.secure_cookies)) {
            response.headers_mut().append(SET_COOKIE, cleared);
        }
    }
    response
}

/// `GET /api/auth/me`.
pub(super) async fn me(Extension(owner): Extension<Owner>, headers: HeaderMap) -> Response {
    let mut identity = json!({"role": "owner"});
    if !owner.preferred_language.is_empty() {
        identity["preferredLanguage"] = owner.preferred_language.into();
    }
    conditional::json(&headers, &identity)
}

/// Renews a login that is past half of its life and adds its cookie to an answer. Whoever uses it keeps it,
/// a connector too, whatever it asks for.
pub(super) async fn renew(app: &Shared, cookies: String, response: &mut Response) {
    // What a cache keeps for long is no place for a cookie.
    let caching = response.headers().get(CACHE_CONTROL).and_then(|value| value.to_str().ok());
    if caching.is_some_and(|caching| caching.contains("immutable")) {
        return;
    }
    let app = Arc::clone(app);
    let renewed = blocking(move || app.auth.renew(&cookies)).await;
    if let Some(cookie) = renewed.and_then(|cookie| HeaderValue::from_str(&cookie).ok()) {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
}

/// Checks credentials off the async threads.
pub(super) async fn attempt(app: &Shared, credentials: Credentials, outside: &Outside) -> SignIn {
    // A password costs 16 MiB and 50 ms to check, and guesses must be counted one after the other.
    let _turn = match credentials {
        Credentials::Password { .. } => app.auth.password_turn().await,
        Credentials::Token(_) => None,
    };
    let (app, outside) = (Arc::clone(app), outside.clone());
    let outcome = blocking(move || app.auth.sign_in(&credentials, &outside)).await;
    if let SignIn::Failed(error) = &outcome {
        tracing::error!(%error, "cannot store a login");
    }
    outcome
}

/// The answer to a client that guessed too often.
pub(super) fn locked_out() -> Response {
    let mut response =
        answer::text(StatusCode::TOO_MANY_REQUESTS, "Too many failed attempts. Please try again later.");
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("60"));
    response
}

/// Keeps a path of this instance only: nothing that a browser could take for another site.
fn safe_next(next: &str) -> &str {
    // Browsers drop tabs and line ends from an address before they read it.
    let foreign = next.starts_with('/')
        || next.contains('\\')
        || next.chars().any(char::is_control)
        || next.split('?').next().is_some_and(|path| path.contains(':'));
    if foreign { "" } else { next }
}

#[cfg(test)]
mod tests {
    use super::safe_next;

    #[test]
    fn the_wanted_page_is_always_ours() {
        for foreign in [
            "//evil.example",
            "/\\evil",
            "https://evil.example",
            "javascript:alert(1)",
            "\\\\evil",
            "a\r\nb",
            "\t/evil.example",
        ] {
            assert_eq!(safe_next(foreign), "");
        }
        assert_eq!(safe_next("s/0123?before=4"), "s/0123?before=4");
    }
}
