//! Whose pages a browser saw last. Apps that were installed before manifests knew their prefix start at `/`,
//! and are led on from there.

use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, COOKIE, SET_COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use crate::headers::names;
use crate::limit::login;
use crate::route::{Route, Table};

/// The cookie's name. No instance sees it: it does not begin as theirs do.
const COOKIE_NAME: &str = "bridge_last_prefix";

/// Finds the route that a browser is to be led to from the root.
#[must_use]
pub fn wanted<'t>(table: &'t Table, method: &Method, headers: &HeaderMap) -> Option<&'t Route> {
    if !matches!(*method, Method::GET | Method::HEAD) {
        return None;
    }
    let prefix = cookies(headers).find_map(|(name, value)| (name == COOKIE_NAME).then_some(value))?;
    let name = prefix.strip_prefix("%2F").or(prefix.strip_prefix('/')).unwrap_or(prefix);
    Some(&table.routes()[table.by_prefix(name)?])
}

/// Tells whether a request, as the browser sent it, opens a page of a tenant to which it is signed in, and
/// which is not noted yet.
#[must_use]
pub fn is_news(route: &Route, method: &Method, headers: &HeaderMap) -> bool {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let opens_page = *method == Method::GET
        && text(ACCEPT).is_some_and(|accept| accept.contains("text/html"))
        && text(names::SEC_FETCH_DEST).is_none_or(|dest| dest == "document");
    let is_login = |name: &str| name.strip_prefix(&route.cookie_prefix).is_some_and(login::is_cookie);
    opens_page
        && cookies(headers).any(|(name, _)| is_login(name))
        && !cookies(headers).any(|(name, value)| name == COOKIE_NAME && value == route.name)
}

/// Notes a route with an answer, if it is a page that no cache keeps for others.
pub fn note(route: &Route, secure: bool, answer: &mut HeaderMap) {
    let has = |name: HeaderName, wanted: &[&str]| {
        let value = answer.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        wanted.iter().any(|wanted| value.contains(wanted))
    };
    if !has(CONTENT_TYPE, &["text/html"]) || !has(CACHE_CONTROL, &["no-store", "private"]) {
        return;
    }
    let secure = if secure { "; Secure" } else { "" };
    let cookie =
        format!("{COOKIE_NAME}={}; Path=/; Max-Age=31536000; HttpOnly; SameSite=Lax{secure}", route.name);
    // Names are made of letters, digits and a few marks.
    if let Ok(cookie) = HeaderValue::try_from(cookie) {
        answer.append(SET_COOKIE, cookie);
    }
}

fn cookies(headers: &HeaderMap) -> impl Iterator<Item = (&str, &str)> {
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim_matches([' ', '\t']).split_once('='))
}
