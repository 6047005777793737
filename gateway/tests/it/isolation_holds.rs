//! Whatever tenants are called and whatever they answer, a browser never carries anything of one to another.

use http::header::{COOKIE, HOST, LOCATION, SET_COOKIE};
use http::{HeaderMap, HeaderValue, Method, Uri, Version};
use proptest::prelude::*;
use remotelab_config::registry::Record;
use remotelab_gateway::cookie::Scope;
use remotelab_gateway::decision::{Decision, Own, decide};
use remotelab_gateway::headers;
use remotelab_gateway::listener::Listener;
use remotelab_gateway::location::Frame;
use remotelab_gateway::route::build::{Guest, Inputs, build};
use remotelab_gateway::route::{Route, Table};
use serde_json::json;

/// Names that begin like each other, and like each other's cookies.
const NAMES: [&str; 8] = ["a", "aa", "a-", "a-a", "b", "b-a", "session", "a--b"];

/// A cookie as a browser keeps it, all for one host.
#[derive(Clone, Debug)]
struct Kept {
    pair: String,
    path: String,
}

proptest! {
    #[test]
    fn isolation_holds(
        names in prop::sample::subsequence(NAMES.to_vec(), 1..=NAMES.len()),
        cookies in prop::collection::vec(("[ab_-]{1,9}", "(; [Pp]ath=(/[ab-]{0,3}){0,2}/?|; Domain=h|; path=[ab]|){0,2}"), 1..8),
        places in prop::collection::vec("(http://(h|127[.]0[.]0[.]1:70[01][0-7])|)(/[ab.-]{0,4}|//){1,3}[?#]?", 1..8),
        paths in prop::collection::vec("(/[ab-]{1,4}|/session|/){1,3}", 1..12),
    ) {
        let table = table(&names);
        let mut jar = Vec::new();
        for route in table.routes() {
            let answer = answer(route, &cookies, &places);
            jar.extend(answer.get_all(SET_COOKIE).iter().filter_map(kept));
            for place in answer.get_all(LOCATION).iter().filter_map(|place| place.to_str().ok()) {
                prop_assert!(stays(&table, place, route), "{place} leaves {}", route.name);
            }
        }
        for path in &paths {
            let sent: Vec<&str> = jar.iter().filter(|kept| is_sent(kept, path)).map(|kept| kept.pair.as_str()).collect();
            let Some((route, got)) = arrived(&table, "h", path, &sent.join("; ")) else { continue };
            for pair in got.iter().flat_map(|got| got.split("; ")) {
                prop_assert!(pair.ends_with(&format!("=of {}", route.name)), "{} got {pair}", route.name);
            }
        }
        // By host names nobody else is reached, whatever the path names.
        for route in table.routes() {
            for path in &paths {
                let host = format!("{}.example", route.name);
                let (reached, _) = arrived(&table, &host, path, "x=y").unwrap_or((route, None));
                prop_assert_eq!(&reached.name, &route.name);
            }
        }
    }
}

fn table(names: &[&str]) -> Table {
    let guest = |(at, name): (usize, &&str)| {
        let record = json!({ "name": name, "port": 7000 + at, "hostname": format!("{name}.example") });
        let mut guest = Guest::new(&serde_json::from_value::<Record>(record).unwrap(), None);
        // A name that the registry would spell otherwise.
        guest.name = (*name).to_owned();
        guest
    };
    let guests = names.iter().enumerate().map(guest).collect();
    let (table, problems) = build(&Inputs { guests, ..Inputs::default() });
    assert_eq!(table.routes().len(), names.len(), "{problems:?}");
    table
}

/// What the browser gets of a tenant's answer.
fn answer(route: &Route, cookies: &[(String, String)], places: &[String]) -> HeaderMap {
    let mut answer = HeaderMap::new();
    for (name, attributes) in cookies {
        answer.append(SET_COOKIE, value(&format!("{name}=of {}{attributes}", route.name)));
    }
    for place in places {
        answer.append(LOCATION, value(place));
    }
    let upstream = route.upstream.to_string();
    let frame = Frame { prefix: &route.prefix, native: false, upstream: &upstream, outside: Some("h") };
    let scope = Scope { name_prefix: &route.cookie_prefix, path: &route.prefix, secure: false };
    headers::map_response(&mut answer, frame, Some(scope));
    answer
}

/// Reads a cookie as a browser does.
fn kept(set: &HeaderValue) -> Option<Kept> {
    let mut parts = set.to_str().ok()?.split(';').map(str::trim);
    let pair = parts.next()?.to_owned();
    let mut path = "/".to_owned();
    for attribute in parts {
        assert!(!attribute.to_ascii_lowercase().starts_with("domain"), "{set:?}");
        if let Some(("path", given)) = attribute
            .split_once('=')
            .map(|(key, value)| (if key.eq_ignore_ascii_case("path") { "path" } else { key }, value))
        {
            path = given.to_owned();
        }
    }
    Some(Kept { pair, path })
}

/// RFC 6265 §5.1.4.
fn is_sent(kept: &Kept, path: &str) -> bool {
    path.strip_prefix(kept.path.as_str())
        .is_some_and(|rest| rest.is_empty() || kept.path.ends_with('/') || rest.starts_with('/'))
}

/// Tells whether a place is below the prefix that it came from, or not here at all.
fn stays(table: &Table, place: &str, from: &Route) -> bool {
    let path = match place.split_once("://") {
        Some((_, rest)) if rest.split(['/', '?', '#']).next() == Some("h") => &rest["h".len()..],
        Some(_) => return true,
        None => place,
    };
    if !path.starts_with('/') {
        return true;
    }
    let path = path.split('#').next().unwrap_or_default();
    // A browser resolves dots before it asks, and no further up than the tenant may lead it anyway.
    path.contains("/.") || arrived(table, "h", path, "").is_none_or(|(route, _)| route.name == from.name)
}

/// Whom a request reaches, and the cookies that arrive.
fn arrived<'t>(
    table: &'t Table,
    host: &str,
    path: &str,
    cookies: &str,
) -> Option<(&'t Route, Option<String>)> {
    let listener = Listener::plain("x", ([127, 0, 0, 1], 0).into());
    let mut headers = HeaderMap::new();
    headers.insert(HOST, value(host));
    headers.insert(COOKIE, value(cookies));
    let uri: Uri = path.parse().ok()?;
    match decide(&listener, table, &Method::GET, &uri, Version::HTTP_11, &headers) {
        Decision::Forward { route, shared, .. } => {
            let route = &table.routes()[route];
            if shared {
                headers::map_request_cookies(&mut headers, &route.cookie_prefix, false);
            }
            Some((route, headers.get(COOKIE).map(|got| got.to_str().unwrap().to_owned())))
        }
        Decision::Answer(Own::Redirect(to)) if !to.starts_with("//") => arrived(table, host, &to, cookies),
        Decision::Answer(_) => None,
    }
}

fn value(text: &str) -> HeaderValue {
    text.parse().unwrap()
}
