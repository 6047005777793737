//! What every request passes: the outside view, sign-in by link, authentication, origin, headers.

use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::header::{COOKIE, HOST, ORIGIN, SET_COOKIE};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::answer::{self, Refusal};
use super::{scope, sign_in};
use crate::app::{Shared, detached};
use crate::auth::caller::Caller;
use crate::auth::{Credentials, Owner, SignIn, bearer};
use crate::outside::Outside;
use crate::serve::Peer;
use crate::web;

/// The nonce of this answer's Content Security Policy.
#[derive(Clone, Debug)]
pub(super) struct Nonce(pub(super) String);

/// Whether a path may be read without signing in.
fn is_public(path: &str) -> bool {
    const PUBLIC: &[&str] = &[
        "/login",
        "/logout",
        "/m/install",
        "/m/continue",
        "/manifest.json",
        "/manifest.install.json",
        "/icon.svg",
        "/favicon.ico",
        "/api/build-info",
        "/api/install/handoff/redeem",
    ];
    PUBLIC.contains(&path) || path.starts_with("/assets/")
}

/// Lets a request through to its handler, or answers it.
pub(super) async fn pass(
    State(app): State<Shared>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    request: Request,
    next: Next,
) -> Response {
    let (mut parts, body) = request.into_parts();
    let seconds = jiff::Timestamp::now().as_second();
    let outside = Outside::of(&parts, peer, app.gateway_key.as_ref(), seconds);
    let nonce = Nonce(BASE64_STANDARD.encode(rand::random::<[u8; 16]>()));
    let policy = web::csp(&nonce.0, &socket_origin(&outside), &app.assets.origins());
    let is_asset = parts.uri.path().starts_with("/assets/");
    parts.extensions.insert(outside.clone());
    parts.extensions.insert(nonce);
    let admitted = admit(&app, &mut parts, &outside).await;
    let due = parts.extensions.get::<Owner>().is_some_and(|owner| owner.is_due);
    let due = (due && parts.uri.path() != "/logout").then(|| cookies(&parts.headers));
    let mut response = match admitted {
        Ok(()) if is_reading(&parts.method) => next.run(Request::from_parts(parts, body)).await,
        Ok(()) => detached(next.run(Request::from_parts(parts, body))).await,
        Err(answer) => *answer,
    };
    if let Some(cookies) = due {
        sign_in::renew(&app, cookies, &mut response).await;
    }
    set_security_headers(response.headers_mut(), &policy, is_asset);
    response
}

/// Decides whether a request reaches its handler; an `Err` is its answer.
async fn admit(app: &Shared, parts: &mut Parts, outside: &Outside) -> Result<(), Box<Response>> {
    let path = parts.uri.path();
    let is_text = percent_decode_str(path).decode_utf8().is_ok();
    if !path.starts_with('/') || path.starts_with("//") || !is_text {
        return Err(Box::new(answer::text(StatusCode::BAD_REQUEST, "Bad Request")));
    }
    // A page of another site cannot make a browser send one: no further checks, and no cookie either.
    if let Some(presented) = bearer::presented(&parts.headers) {
        return scope::admit(app, parts, outside, presented).await.map_err(Box::new);
    }
    if let Some(token) = query_token(parts.uri.query()) {
        return Err(Box::new(by_link(app, parts, outside, token).await));
    }
    if is_cross_site(parts, outside) {
        let refusal = Refusal::new(StatusCode::FORBIDDEN, "Requests from other sites are not accepted");
        return Err(Box::new(refusal.into_response()));
    }
    let cookies = cookies(&parts.headers);
    if let Some(owner) = app.auth.owner(&cookies) {
        parts.extensions.insert(owner);
        parts.extensions.insert(Caller::Login { cookies });
        return Ok(());
    }
    if is_public(path) {
        return Ok(());
    }
    Err(Box::new(if path.starts_with("/api/") || path == "/ws" || path.starts_with("/ui/") {
        Refusal::new(StatusCode::UNAUTHORIZED, "Not authenticated").into_response()
    } else {
        answer::redirect(&login_address(parts))
    }))
}

/// Exchanges `?token=` for a cookie at once, so that the token is in no further address.
async fn by_link(app: &Shared, parts: &Parts, outside: &Outside, token: String) -> Response {
    match sign_in::attempt(app, Credentials::Token(token), outside).await {
        SignIn::Granted(cookie) => {
            let mut response = answer::redirect(&wanted(parts));
            if let Ok(cookie) = HeaderValue::from_str(&cookie) {
                response.headers_mut().append(SET_COOKIE, cookie);
            }
            response
        }
        SignIn::Refused => answer::redirect("/login"),
        SignIn::LockedOut => sign_in::locked_out(),
        SignIn::Failed(_) => answer::text(StatusCode::SERVICE_UNAVAILABLE, "The login could not be stored"),
    }
}

/// The page that a link with a token opens: its own path for reading, the start page otherwise.
fn wanted(parts: &Parts) -> String {
    let path = parts.uri.path();
    let is_page = parts.method == Method::GET
        && !path.starts_with("/api/")
        && !path.starts_with("/login")
        && !path.starts_with("/logout");
    if !is_page || path.contains('\\') {
        return "/".to_owned();
    }
    let rest: Vec<&str> = parts
        .uri
        .query()
        .unwrap_or_default()
        .split('&')
        .filter(|pair| !pair.is_empty() && *pair != "token" && !pair.starts_with("token="))
        .collect();
    if rest.is_empty() { path.to_owned() } else { format!("{path}?{}", rest.join("&")) }
}

/// The sign-in page, which remembers a deep link.
fn login_address(parts: &Parts) -> String {
    let wanted = wanted(parts);
    if wanted == "/" {
        return "/login".to_owned();
    }
    format!("/login?next={}", utf8_percent_encode(wanted.trim_start_matches('/'), NON_ALPHANUMERIC))
}

fn query_token(query: Option<&str>) -> Option<String> {
    let value = query?.split('&').find_map(|pair| pair.strip_prefix("token="))?;
    Some(percent_decode_str(value).decode_utf8_lossy().into_owned())
}

/// Tells whether another site makes a browser change something, sign out or open a socket here.
fn is_cross_site(parts: &Parts, outside: &Outside) -> bool {
    let is_harmless = is_reading(&parts.method) && !matches!(parts.uri.path(), "/ws" | "/logout");
    if is_harmless {
        return false;
    }
    let header = |name: &HeaderName| parts.headers.get(name).and_then(|value| value.to_str().ok());
    if header(&HeaderName::from_static("sec-fetch-site")) == Some("cross-site") {
        return true;
    }
    let Some(origin) = header(&ORIGIN) else {
        return false;
    };
    let Some((_, authority)) = origin.split_once("://") else {
        return true;
    };
    let own = [Some(outside.host.as_str()), header(&HOST)];
    !own.into_iter().flatten().any(|host| host.eq_ignore_ascii_case(authority))
}

fn is_reading(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// Returns the cookies of all `Cookie` headers. Cookies of other programs on this host come along and may
/// hold any bytes.
pub(super) fn cookies(headers: &HeaderMap) -> String {
    let values = headers.get_all(COOKIE).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
    values.collect::<Vec<_>>().join("; ")
}

fn socket_origin(outside: &Outside) -> String {
    let scheme = if outside.scheme == "https" { "wss" } else { "ws" };
    let plain = outside.host.bytes().all(|b| b.is_ascii_alphanumeric() || b".-:[]".contains(&b));
    if plain && !outside.host.is_empty() { format!("{scheme}://{}", outside.host) } else { String::new() }
}

fn set_security_headers(headers: &mut HeaderMap, policy: &str, is_asset: bool) {
    let fixed = [
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "SAMEORIGIN"),
        ("permissions-policy", "camera=(), microphone=(self), geolocation=()"),
        ("cross-origin-resource-policy", "same-origin"),
        ("x-ua-compatible", "IE=edge"),
    ];
    for (name, value) in fixed {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    // A page may have a stricter one.
    let referrer = HeaderValue::from_static("strict-origin-when-cross-origin");
    headers.entry(http::header::REFERRER_POLICY).or_insert(referrer);
    if !is_asset && let Ok(policy) = HeaderValue::from_str(policy) {
        headers.entry(http::header::CONTENT_SECURITY_POLICY).or_insert(policy);
        headers.insert(
            HeaderName::from_static("cross-origin-opener-policy"),
            HeaderValue::from_static("same-origin"),
        );
    }
    if let Ok(build) = HeaderValue::from_str(&crate::build::title()) {
        headers.insert(HeaderName::from_static("x-remotelab-build"), build);
    }
    headers.insert(HeaderName::from_static("x-remotelab-base"), HeaderValue::from_static("native"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request as HttpRequest;

    fn parts(method: &str, uri: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = HttpRequest::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn a_link_leads_to_its_page_without_its_token() {
        for (uri, expected) in [
            ("/?token=ab", "/"),
            ("/s/1?token=ab&before=3", "/s/1?before=3"),
            ("/api/sessions?token=ab", "/"),
            ("/login?token=ab", "/"),
        ] {
            assert_eq!(wanted(&parts("GET", uri, &[])), expected);
        }
        assert_eq!(wanted(&parts("POST", "/s/1?token=ab", &[])), "/");
        assert_eq!(login_address(&parts("GET", "/", &[])), "/login");
        assert_eq!(login_address(&parts("GET", "/s/1?x=2", &[])), "/login?next=s%2F1%3Fx%3D2");
        assert_eq!(query_token(Some("a=1&token=x%20y")), Some("x y".to_owned()));
        assert_eq!(query_token(Some("tokens=1")), None);
    }

    #[test]
    fn other_sites_may_not_change_anything() {
        let outside = Outside {
            client: String::new(),
            prefix: String::new(),
            host: "a.example".into(),
            scheme: "https".into(),
            is_local: false,
        };
        let crosses =
            |method, uri, headers: &[(&str, &str)]| is_cross_site(&parts(method, uri, headers), &outside);
        assert!(!crosses("POST", "/x", &[]));
        assert!(!crosses(
            "POST",
            "/x",
            &[("origin", "https://a.example"), ("sec-fetch-site", "same-origin")]
        ));
        assert!(crosses("POST", "/x", &[("origin", "https://b.example")]));
        assert!(crosses("POST", "/x", &[("origin", "null")]));
        assert!(crosses("PATCH", "/x", &[("sec-fetch-site", "cross-site")]));
        assert!(crosses("GET", "/ws", &[("origin", "https://b.example")]));
        assert!(crosses("GET", "/logout", &[("sec-fetch-site", "cross-site")]));
        assert!(!crosses("GET", "/logout", &[("sec-fetch-site", "none")]));
        assert!(!crosses("GET", "/x", &[("origin", "https://b.example")]));
    }
}
