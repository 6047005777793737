//! Which headers cross the gateway, and what it says about itself in them.

pub mod names;

use http::header::{
    ACCEPT_RANGES, CONNECTION, CONTENT_LENGTH, CONTENT_LOCATION, CONTENT_SECURITY_POLICY, CONTENT_TYPE,
    COOKIE, ETAG, HOST, HeaderValue, LINK, LOCATION, REFRESH, SET_COOKIE, TE, TRAILER,
};
use http::{HeaderMap, HeaderName};

use crate::cookie::{self, Scope};
use crate::etag::{self, Mark};
use crate::listener::Listener;
use crate::location::{self, Frame};

/// How many fields the gateway adds to a request at most.
const MADE: usize = 7;

/// Tell of a body as it came.
const OF_BODY: [HeaderName; 6] = [
    CONTENT_LENGTH,
    ACCEPT_RANGES,
    names::CONTENT_MD5,
    names::DIGEST,
    names::CONTENT_DIGEST,
    names::REPR_DIGEST,
];

/// What is added to answers on an origin that tenants share, when it is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Isolation {
    /// What instances show without a policy of their own, which are files of people, runs no script.
    pub sandbox: bool,
    /// Pages of other origins show nothing of what is here.
    pub same_origin_resources: bool,
}

/// What the gateway tells an instance about how a request came in.
#[derive(Clone, Debug)]
pub struct Forwarding {
    /// The client's address.
    pub client: HeaderValue,
    /// The outside scheme.
    pub proto: HeaderValue,
    /// The outside host, as the client sent it.
    pub host: Option<HeaderValue>,
    /// The outside port.
    pub port: HeaderValue,
    /// The prefix that was taken off the path.
    pub prefix: Option<HeaderValue>,
    /// The request's id.
    pub request_id: HeaderValue,
    /// The signature that vouches for the above.
    pub signature: Option<HeaderValue>,
}

/// Removes from a request what belongs to the client's hop and what only a gateway may say.
pub fn clean_request(headers: &mut HeaderMap, listener: &Listener) {
    remove(headers, |name| is_gateway_word(name.as_str()) && !listener.trusts(name));
}

/// Replaces a request's cookies by those of the instance. Tells whether that took the `legacy` rule.
pub fn map_request_cookies(headers: &mut HeaderMap, name_prefix: &str, legacy: bool) -> bool {
    if !headers.contains_key(COOKIE) {
        return false;
    }
    let own = cookie::to_instance(headers, name_prefix, false);
    let is_legacy = own.is_none() && legacy;
    let own = if is_legacy { cookie::to_instance(headers, name_prefix, true) } else { own };
    let is_legacy = is_legacy && own.is_some();
    match own {
        Some(own) => headers.insert(COOKIE, own),
        None => headers.remove(COOKIE),
    };
    is_legacy
}

/// Says what the instance may know of the way outside.
pub fn forward(headers: &mut HeaderMap, facts: Forwarding) {
    headers.reserve(MADE);
    headers.insert(names::X_FORWARDED_FOR, facts.client);
    headers.insert(names::X_FORWARDED_PROTO, facts.proto);
    headers.insert(names::X_FORWARDED_PORT, facts.port);
    headers.insert(names::X_REQUEST_ID, facts.request_id);
    if let Some(host) = facts.host {
        headers.insert(names::X_FORWARDED_HOST, host);
    }
    if let Some(prefix) = facts.prefix {
        headers.insert(names::X_FORWARDED_PREFIX, prefix);
    }
    if let Some(signature) = facts.signature {
        headers.insert(names::X_REMOTELAB_GATEWAY, signature);
    }
}

/// What a message says about its trailers. It belongs to the hop, and the next one is told the same: each
/// passes them on to whoever takes them (RFC 9110 §6.6.2, §10.1.4).
#[derive(Debug)]
pub struct Trailers {
    taken: bool,
    announced: Option<HeaderValue>,
}

impl Trailers {
    /// Reads a head before it is cleaned.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        let tokens = |name| headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        let is_token = |token: &str| token.trim().eq_ignore_ascii_case("trailers");
        let announced: Vec<&str> = tokens(TRAILER)
            .flat_map(|value| value.split(',').map(str::trim))
            .filter(|name| name.parse().is_ok_and(|name| is_trailer(&name)))
            .collect();
        Self {
            taken: tokens(TE).any(|value| value.split(',').any(is_token)),
            announced: (!announced.is_empty())
                .then(|| HeaderValue::try_from(announced.join(", ")).ok())
                .flatten(),
        }
    }

    /// Says it again in a request.
    pub fn ask(self, headers: &mut HeaderMap) {
        if self.taken {
            headers.insert(TE, HeaderValue::from_static("trailers"));
            headers.insert(CONNECTION, HeaderValue::from_static("te"));
        }
        self.announce(headers);
    }

    /// Says again which ones come.
    pub fn announce(self, headers: &mut HeaderMap) {
        if let Some(announced) = self.announced {
            headers.insert(TRAILER, announced);
        }
    }
}

/// Removes from trailers what only a head may say.
pub fn clean_trailers<D>(frame: http_body::Frame<D>) -> http_body::Frame<D> {
    match frame.into_trailers() {
        Ok(trailers) => http_body::Frame::trailers(
            trailers
                .iter()
                .filter(|(name, _)| is_trailer(name))
                .map(|(n, v)| (n.clone(), v.clone()))
                .collect(),
        ),
        Err(frame) => frame,
    }
}

/// Neither frames nor routes a message, nor signs anybody in, nor speaks for the gateway.
fn is_trailer(name: &HeaderName) -> bool {
    let name = name.as_str();
    !(is_hop_by_hop(name)
        || is_gateway_word(name)
        || is_whole_origin(name)
        || name.starts_with("content-")
        || matches!(
            name,
            "host"
                | "cookie"
                | "set-cookie"
                | "authorization"
                | "www-authenticate"
                | "location"
                | "link"
                | "refresh"
                | "cache-control"
                | "vary"
                | "age"
                | "expires"
                | "server"
                | "x-powered-by"
        ))
}

/// Maps an answer's headers to the outside; `scope` is given on shared origins.
pub fn map_response(headers: &mut HeaderMap, frame: Frame<'_>, scope: Option<Scope<'_>>) {
    let shared = scope.is_some();
    let trailers = headers.contains_key(TRAILER).then(|| Trailers::of(headers));
    remove(headers, |name| {
        matches!(name.as_str(), "server" | "x-powered-by") || (shared && is_whole_origin(name.as_str()))
    });
    if let Some(trailers) = trailers {
        trailers.announce(headers);
    }
    let native = headers.remove(names::X_REMOTELAB_BASE).is_some_and(|value| value == "native");
    let frame = Frame { native, ..frame };
    map_each(headers, &LOCATION, |value| location::map(value, frame).into_owned());
    map_each(headers, &CONTENT_LOCATION, |value| location::map(value, frame).into_owned());
    map_each(headers, &REFRESH, |value| location::map_refresh(value, frame).into_owned());
    map_each(headers, &LINK, |value| location::map_link(value, frame).into_owned());
    if let Some(scope) = scope {
        replace(headers, &SET_COOKIE, |value| cookie::from_instance(value, scope));
    }
}

/// Adds to an answer what keeps it apart from others of its origin; what the instance says itself holds.
pub fn isolate(headers: &mut HeaderMap, isolation: Isolation) {
    if isolation.same_origin_resources {
        headers.entry(names::CROSS_ORIGIN_RESOURCE_POLICY).or_insert(HeaderValue::from_static("same-origin"));
    }
    if isolation.sandbox && is_active(headers) {
        headers.entry(CONTENT_SECURITY_POLICY).or_insert(HeaderValue::from_static("sandbox allow-downloads"));
    }
}

/// Tells whether a browser would run what an answer says.
fn is_active(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let essence = kind.and_then(|kind| kind.split(';').next()).map(|kind| kind.trim().to_ascii_lowercase());
    // Browsers guess where nothing is said.
    essence.is_none_or(|essence| essence == "text/html" || essence.ends_with("xml"))
}

/// Takes from an answer's head what is not true of its body any more once that is changed.
pub fn change_body(headers: &mut HeaderMap, mark: Mark) {
    for name in &OF_BODY {
        headers.remove(name);
    }
    mark_tag(headers, mark);
}

/// Marks the tag of an answer, if it has one.
pub fn mark_tag(headers: &mut HeaderMap, mark: Mark) {
    replace(headers, &ETAG, |tag| etag::mark(tag, mark));
}

/// Removes what belongs to one hop, and what is unwanted besides.
fn remove(headers: &mut HeaderMap, is_unwanted: impl Fn(&HeaderName) -> bool) {
    let listed: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|token| !is_usual(token))
        .filter_map(|token| token.parse().ok())
        // Without these two the message would be another one.
        .filter(|name| name != HOST && name != CONTENT_LENGTH)
        .collect();
    // One look at each name, and no memory where there is nothing to remove.
    let is_removed =
        |name: &&HeaderName| is_hop_by_hop(name.as_str()) || listed.contains(name) || is_unwanted(name);
    let removed: Vec<HeaderName> = headers.keys().filter(is_removed).cloned().collect();
    for name in removed {
        headers.remove(name);
    }
}

fn is_usual(token: &str) -> bool {
    ["keep-alive", "close", "upgrade"].iter().any(|usual| token.eq_ignore_ascii_case(usual))
}

/// Belong to one hop (RFC 9110 §7.6.1) and are made anew for the next.
fn is_hop_by_hop(name: &str) -> bool {
    matches!(
        name,
        "connection" | "keep-alive" | "te" | "trailer" | "transfer-encoding" | "upgrade" | "expect"
    ) || name.starts_with("proxy-")
}

/// Act on the whole origin, which is not one instance's to decide about when it is shared.
fn is_whole_origin(name: &str) -> bool {
    matches!(
        name,
        "clear-site-data"
            | "service-worker-allowed"
            | "strict-transport-security"
            | "public-key-pins"
            | "nel"
            | "report-to"
            | "alt-svc"
    )
}

/// Names by which gateways and edges speak to instances.
fn is_gateway_word(name: &str) -> bool {
    match name.as_bytes()[0] {
        b'x' => {
            name.starts_with("x-forwarded-")
                || name.starts_with("x-remotelab-gateway")
                || matches!(name, "x-real-ip" | "x-request-id" | "x-client-ip" | "x-cluster-client-ip")
        }
        b'c' => name.starts_with("cf-"),
        b'f' => name == "forwarded",
        b't' => name == "true-client-ip",
        _ => false,
    }
}

fn map_each(headers: &mut HeaderMap, name: &HeaderName, map: impl Fn(&str) -> String) {
    replace(headers, name, |value| {
        let text = std::str::from_utf8(value.as_bytes()).ok()?;
        HeaderValue::try_from(map(text)).ok()
    });
}

/// Maps each value of a header in place; values that cannot be mapped go.
fn replace(headers: &mut HeaderMap, name: &HeaderName, map: impl Fn(&HeaderValue) -> Option<HeaderValue>) {
    if !headers.contains_key(name) {
        return;
    }
    let mapped: Vec<HeaderValue> = headers.get_all(name).iter().filter_map(map).collect();
    headers.remove(name);
    for value in mapped {
        headers.append(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listener::ClientIp;
    use http::header::STRICT_TRANSPORT_SECURITY;

    #[test]
    fn nothing_of_the_hop_and_nothing_forged_reaches_the_instance() {
        let mut headers = map(&[
            ("connection", "keep-alive, X-Secret, host, content-length"),
            ("x-secret", "1"),
            ("keep-alive", "timeout=5"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("expect", "100-continue"),
            ("proxy-authorization", "Basic x"),
            ("proxy-connection", "close"),
            ("proxy-anything", "1"),
            ("host", "h"),
            ("content-length", "0"),
            ("x-forwarded-for", "6.6.6.6"),
            ("x-forwarded-prefix", "/\"><script>"),
            ("x-forwarded-anything", "1"),
            ("x-remotelab-gateway", "v1"),
            ("x-real-ip", "1"),
            ("true-client-ip", "1"),
            ("forwarded", "for=1"),
            ("cf-connecting-ip", "1"),
            ("cf-ray", "1"),
            ("x-request-id", "mine"),
            ("origin", "http://h"),
            ("accept-encoding", "gzip"),
        ]);
        let plain = Listener::plain("x", "127.0.0.1:0".parse().unwrap());
        let mut behind_cloudflare = headers.clone();
        clean_request(&mut headers, &plain);
        assert_eq!(names_of(&headers), ["accept-encoding", "content-length", "host", "origin"]);
        let edge = Listener { client_ip: ClientIp::CfConnectingIp, ..plain };
        clean_request(&mut behind_cloudflare, &edge);
        assert_eq!(
            names_of(&behind_cloudflare),
            ["accept-encoding", "cf-connecting-ip", "cf-ray", "content-length", "host", "origin"]
        );
    }

    #[test]
    fn answers_are_mapped_for_a_shared_origin() {
        let answer = map(&[
            ("connection", "close, x-hop"),
            ("x-hop", "1"),
            ("server", "node"),
            ("x-powered-by", "x"),
            ("proxy-authenticate", "Basic"),
            ("proxy-status", "x"),
            ("clear-site-data", "*"),
            ("service-worker-allowed", "/"),
            ("strict-transport-security", "max-age=1"),
            ("alt-svc", "h3"),
            ("location", "/login"),
            ("set-cookie", "a=1"),
            ("set-cookie", "malformed"),
            ("set-cookie", "b=2"),
            ("etag", "\"x\""),
            ("content-length", "5"),
        ]);
        let frame = Frame { prefix: "/t", native: false, upstream: "127.0.0.1:1", outside: None };
        let scope = Scope { name_prefix: "t__", path: "/t", secure: false };
        let mut shared = answer.clone();
        map_response(&mut shared, frame, Some(scope));
        assert_eq!(names_of(&shared), ["content-length", "etag", "location", "set-cookie", "set-cookie"]);
        assert_eq!(shared[LOCATION], "/t/login");
        let cookies: Vec<_> = shared.get_all(SET_COOKIE).iter().collect();
        assert_eq!(cookies, ["t__a=1; Path=/t; SameSite=Lax", "t__b=2; Path=/t; SameSite=Lax"]);

        let mut own = answer;
        map_response(&mut own, Frame { prefix: "", ..frame }, None);
        assert_eq!(own[LOCATION], "/login");
        assert_eq!(own[SET_COOKIE], "a=1");
        assert!(own.contains_key(STRICT_TRANSPORT_SECURITY));
    }

    #[test]
    fn what_has_no_policy_of_its_own_gets_one_when_that_is_wanted() {
        let all = Isolation { sandbox: true, same_origin_resources: true };
        for (kind, sandboxed) in [
            (Some("text/html; charset=utf-8"), true),
            (Some("image/svg+XML"), true),
            (Some("application/xml"), true),
            (None, true),
            (Some("text/plain"), false),
            (Some("application/json"), false),
        ] {
            let mut headers = map(&kind.map(|kind| ("content-type", kind)).into_iter().collect::<Vec<_>>());
            let before = headers.clone();
            isolate(&mut headers, Isolation::default());
            assert_eq!(headers, before);
            isolate(&mut headers, all);
            assert_eq!(headers["cross-origin-resource-policy"], "same-origin");
            let policy =
                headers.get(CONTENT_SECURITY_POLICY).map(|policy| policy == "sandbox allow-downloads");
            assert_eq!(policy, sandboxed.then_some(true), "{kind:?}");
        }
        let own = map(&[("content-security-policy", "x"), ("cross-origin-resource-policy", "cross-origin")]);
        let mut headers = own.clone();
        isolate(&mut headers, all);
        assert_eq!(headers, own);
    }

    #[test]
    fn the_native_flag_is_used_and_not_shown() {
        let mut headers = map(&[("location", "/m/install"), ("x-remotelab-base", "native")]);
        let frame = Frame { prefix: "/m", native: false, upstream: "127.0.0.1:1", outside: None };
        map_response(&mut headers, frame, None);
        assert_eq!(headers[LOCATION], "/m/m/install");
        assert_eq!(names_of(&headers), ["location"]);
    }

    fn map(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    fn names_of(headers: &HeaderMap) -> Vec<&str> {
        let mut names: Vec<&str> = headers.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        names
    }
}
