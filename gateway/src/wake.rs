//! What becomes of a request for an instance that sleeps. Pure: the request is looked at, and nothing else.

use http::header::{ACCEPT, AUTHORIZATION, COOKIE, UPGRADE};
use http::{HeaderMap, Method};
use remotelab_config::{api_tokens, run_tokens};

use crate::route::Route;

/// What becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wakes {
    /// It is told that the instance sleeps.
    No,
    /// It wakes the instance and waits for it.
    Waits,
    /// It wakes the instance, and a page is shown where that takes long.
    Shows,
}

/// What asks whether an instance is there, or is asked by itself by whatever opens a page.
const NO_USE: [&str; 5] = ["/api/build-info", "/api/health", "/favicon.ico", "/robots.txt", "/icon.svg"];

/// Cookies that sign somebody in.
const LOGINS: [&str; 2] = ["session_token", "visitor_session_token"];

/// What links are made of, by the path that they lead to and the hex digits that follow.
const LINKS: [(&str, &str, usize); 4] = [
    ("/share/", "snap_", 48),
    ("/share-payload/", "snap_", 48),
    ("/app/", "share_", 64),
    ("/visitor/", "visit_", 32),
];

/// Decides. `target` is what the instance would see; on a `shared` origin its cookies bear its name outside.
///
/// Only the form of a secret is looked at: nobody here knows whether it is right. Whoever has none, as a robot
/// that goes from link to link, wakes nobody.
#[must_use]
pub fn wakes(route: &Route, shared: bool, method: &Method, target: &str, headers: &HeaderMap) -> Wakes {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    if NO_USE.contains(&path) {
        return Wakes::No;
    }
    let prefix = if shared { route.cookie_prefix.as_str() } else { "" };
    if !(has_login(headers, prefix) || has_bearer(headers) || is_link(path, query)) {
        return Wakes::No;
    }
    if is_navigation(method, path, headers) { Wakes::Shows } else { Wakes::Waits }
}

fn has_login(headers: &HeaderMap, prefix: &str) -> bool {
    let values = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = values.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.any(|(name, value)| {
        let name = name.strip_prefix(prefix);
        name.is_some_and(|name| LOGINS.contains(&name)) && is_hex(value, 64)
    })
}

/// A connector's token, a run's, or the owner's own.
fn has_bearer(headers: &HeaderMap) -> bool {
    let value = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let Some((scheme, token)) = value.split_once(' ') else { return false };
    let token = token.trim();
    let is_named = [api_tokens::PREFIX, run_tokens::PREFIX]
        .iter()
        .any(|start| token.strip_prefix(start).is_some_and(is_token));
    scheme.eq_ignore_ascii_case("bearer") && (is_named || is_hex(token, 64))
}

fn is_link(path: &str, query: &str) -> bool {
    let value = |key: &str| query.split('&').find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='));
    let is_handoff = |text: &str| {
        let digits = text.strip_prefix("ih_").unwrap_or(text);
        is_hex(digits, 48) || is_hex(digits, 64)
    };
    value("token").is_some_and(|token| is_hex(token, 64))
        || (path == "/m/install" && value("h").is_some_and(is_handoff))
        || LINKS.iter().any(|(below, start, digits)| {
            let name = path.strip_prefix(below).and_then(|rest| rest.split(['/', '.']).next());
            name.and_then(|name| name.strip_prefix(start)).is_some_and(|rest| is_hex(rest, *digits))
        })
}

/// A person opens a page.
fn is_navigation(method: &Method, path: &str, headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let accepts_page = text(ACCEPT.as_str()).is_some_and(|accept| accept.contains("text/html"));
    let is_document = text("sec-fetch-dest").is_none_or(|dest| dest == "document");
    method == Method::GET
        && accepts_page
        && is_document
        && !path.starts_with("/api/")
        && !headers.contains_key(UPGRADE)
}

fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn is_token(text: &str) -> bool {
    (16..=200).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limit::tenant::Overrides;
    use crate::route::build::{Guest, Inputs, build};
    use std::sync::Arc;

    const HTML: (&str, &str) = ("accept", "text/html,*/*");

    #[test]
    fn only_who_has_a_secret_of_the_right_form_wakes() {
        let token = "0123456789abcdef".repeat(4);
        let digits = "0123456789ab".repeat(4);
        let cookie = |text: String| ("cookie", text);
        let none = ("x-any", String::new());
        for (expected, method, target, (name, value)) in [
            // Strangers, robots and probes.
            (Wakes::No, "GET", "/", none.clone()),
            (Wakes::No, "GET", "/login", none.clone()),
            (Wakes::No, "POST", "/login", none.clone()),
            (Wakes::No, "HEAD", "/", ("user-agent", "robot".to_owned())),
            (Wakes::No, "GET", "/robots.txt", cookie(format!("trial1__session_token={token}"))),
            (Wakes::No, "GET", "/favicon.ico", cookie(format!("trial1__session_token={token}"))),
            (Wakes::No, "GET", "/api/build-info", ("authorization", format!("Bearer rlt_{token}"))),
            (Wakes::No, "GET", "/api/health?token=x", cookie(format!("trial1__session_token={token}"))),
            // Secrets of another form, or of somebody else.
            (Wakes::No, "GET", "/?token=", none.clone()),
            (Wakes::No, "GET", "/?token=0123", none.clone()),
            (Wakes::No, "GET", &format!("/?token={}", token.to_uppercase()), none.clone()),
            (Wakes::No, "GET", &format!("/?xtoken={token}"), none.clone()),
            (Wakes::No, "GET", &format!("/{token}"), none.clone()),
            (Wakes::No, "GET", "/", cookie(format!("session_token={token}"))),
            (Wakes::No, "GET", "/", cookie(format!("trial2__session_token={token}"))),
            (Wakes::No, "GET", "/", cookie(format!("trial1__other={token}"))),
            (Wakes::No, "GET", "/", cookie("trial1__session_token=short".to_owned())),
            (Wakes::No, "GET", "/api/sessions", ("authorization", "Bearer x".to_owned())),
            (Wakes::No, "GET", "/api/sessions", ("authorization", format!("Basic rlt_{token}"))),
            (Wakes::No, "GET", "/share/snap_12", none.clone()),
            (Wakes::No, "GET", "/m/install", none.clone()),
            (Wakes::No, "GET", "/m/install?h=ih_12", none.clone()),
            // Who is known, or was sent by somebody who is.
            (Wakes::Shows, "GET", "/", cookie(format!("a=1; trial1__session_token={token}"))),
            (Wakes::Shows, "GET", "/s/1", cookie(format!("trial1__visitor_session_token={token}"))),
            (Wakes::Shows, "GET", &format!("/?a=1&token={token}"), none.clone()),
            (Wakes::Shows, "GET", &format!("/share/snap_{digits}"), none.clone()),
            (Wakes::Shows, "GET", &format!("/app/share_{token}"), none.clone()),
            (Wakes::Shows, "GET", &format!("/m/install?h=ih_{digits}"), none.clone()),
            (Wakes::Waits, "GET", "/api/sessions", cookie(format!("trial1__session_token={token}"))),
            (Wakes::Waits, "POST", "/", cookie(format!("trial1__session_token={token}"))),
            (Wakes::Waits, "POST", "/api/sessions", ("authorization", format!("bearer rlt_{token}"))),
            (Wakes::Waits, "GET", "/api/sessions", ("authorization", format!("Bearer {token}"))),
        ] {
            let headers = headers(&[HTML, (name, value.as_str())]);
            let method: Method = method.parse().unwrap();
            assert_eq!(
                wakes(&route(), true, &method, target, &headers),
                expected,
                "{method} {target} {value}"
            );
        }
    }

    #[test]
    fn under_a_host_name_cookies_bear_their_own_names() {
        let token = "0".repeat(64);
        let asked = |cookie: String| {
            wakes(&route(), false, &Method::GET, "/", &headers(&[HTML, ("cookie", cookie.as_str())]))
        };
        assert_eq!(asked(format!("session_token={token}")), Wakes::Shows);
        assert_eq!(asked(format!("trial1__session_token={token}")), Wakes::No);
    }

    #[test]
    fn pages_are_shown_to_people_who_open_one() {
        let target = format!("/?token={}", "0".repeat(64));
        let asked = |pairs: &[(&str, &str)]| wakes(&route(), true, &Method::GET, &target, &headers(pairs));
        assert_eq!(asked(&[HTML, ("sec-fetch-dest", "document")]), Wakes::Shows);
        assert_eq!(asked(&[HTML, ("sec-fetch-dest", "iframe")]), Wakes::Waits);
        assert_eq!(asked(&[HTML, ("upgrade", "websocket")]), Wakes::Waits);
        assert_eq!(asked(&[("accept", "*/*")]), Wakes::Waits);
        assert_eq!(asked(&[]), Wakes::Waits);
    }

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&str, &str)| {
            (name.parse::<http::HeaderName>().unwrap(), value.parse().unwrap())
        };
        pairs.iter().map(pair).collect()
    }

    fn route() -> Arc<Route> {
        let guest = Guest {
            id: "1".into(),
            name: "trial1".into(),
            hostname: String::new(),
            ports: [None, None, Some(7901)],
            secret_file: "x".into(),
            socket: "x".into(),
            foreign: false,
            limits: Some(Overrides::default()),
            logged: true,
        };
        Arc::clone(&build(&Inputs { guests: vec![guest], ..Inputs::default() }).0.routes()[0])
    }
}
