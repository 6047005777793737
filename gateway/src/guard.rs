//! Requests that a page of one tenant makes to another, on an origin that both share.

use http::header::REFERER;
use http::{HeaderMap, Method};
use serde::Deserialize;

use crate::headers::names;
use crate::host::Host;
use crate::route::Table;

/// What is refused of what would change something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RefererGuard {
    /// What comes from a page of another tenant.
    #[default]
    On,
    /// What a browser sends and does not come from a page of the same tenant.
    Strict,
    /// Nothing.
    Off,
}

/// Tells whether a request may reach the tenant whose first path segment is `own`.
///
/// A page can keep its address to itself, so this stops mistakes and simple attacks; only an origin of its
/// own keeps a tenant apart from others for certain.
#[must_use]
pub fn may_pass(
    guard: RefererGuard,
    own: &str,
    table: &Table,
    method: &Method,
    headers: &HeaderMap,
    host: Option<&Host<'_>>,
) -> bool {
    if guard == RefererGuard::Off || method.is_safe() {
        return true;
    }
    let text = |name| headers.get(name).and_then(|value: &http::HeaderValue| value.to_str().ok());
    let forwarded = text(names::X_FORWARDED_HOST).and_then(Host::parse);
    let is_here = |referer: &Host<'_>| {
        host.is_some_and(|host| host.same_as(referer))
            || forwarded.as_ref().is_some_and(|host| host.same_as(referer))
    };
    let from = text(REFERER).and_then(place).filter(|(host, _)| is_here(host)).map(|(_, segment)| segment);
    match guard {
        RefererGuard::Strict if headers.contains_key(names::SEC_FETCH_SITE) => from == Some(own),
        _ => from.is_none_or(|segment| segment == own || table.by_prefix(segment).is_none()),
    }
}

/// The host and the first path segment of an address.
fn place(address: &str) -> Option<(Host<'_>, &str)> {
    let (_, rest) = address.split_once("://")?;
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    Some((Host::parse(authority)?, path.split(['/', '?', '#']).next()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::build::{Inputs, Main, build};

    fn passes(guard: RefererGuard, method: &Method, headers: &[(&'static str, &str)]) -> bool {
        let main = |name: &str| Main {
            name: name.into(),
            port: 7690,
            hosts: vec![],
            socket: "x".into(),
            foreign: false,
            secret_file: "x".into(),
        };
        let (table, _) = build(&Inputs { main: Some(main("trial4")), ..Inputs::default() });
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        let host = Host::parse("bridge.example:8443");
        may_pass(guard, "trial40", &table, method, &map, host.as_ref())
    }

    #[test]
    fn pages_of_other_tenants_change_nothing() {
        for (referer, on, strict) in [
            ("https://bridge.example:8443/trial40/x?y", true, true),
            ("https://bridge.example:8443/trial40", true, true),
            ("https://bridge.example:8443/trial4/x", false, false),
            ("https://BRIDGE.example:8443/trial4?x", false, false),
            ("https://bridge.example:8443/trial4#x", false, false),
            ("https://bridge.example:8443/trial4x/", true, false),
            ("https://bridge.example:8443/", true, false),
            ("https://bridge.example:8443", true, false),
            ("https://other.example/trial4/", true, false),
            ("https://bridge.example/trial4/", true, false),
            ("nonsense", true, false),
        ] {
            let headers = [("referer", referer), ("sec-fetch-site", "same-origin")];
            assert_eq!(passes(RefererGuard::On, &Method::POST, &headers), on, "{referer}");
            assert_eq!(passes(RefererGuard::Strict, &Method::DELETE, &headers), strict, "{referer}");
            assert!(passes(RefererGuard::Off, &Method::POST, &headers));
            assert!(passes(RefererGuard::Strict, &Method::GET, &headers));
        }
        assert!(passes(RefererGuard::On, &Method::POST, &[("sec-fetch-site", "same-origin")]));
        assert!(!passes(RefererGuard::Strict, &Method::POST, &[("sec-fetch-site", "same-origin")]));
        // Programs send neither.
        assert!(passes(RefererGuard::Strict, &Method::POST, &[]));
        let behind_tunnel = [("referer", "https://cn.example/trial4/"), ("x-forwarded-host", "cn.example")];
        assert!(!passes(RefererGuard::On, &Method::POST, &behind_tunnel));
    }
}
