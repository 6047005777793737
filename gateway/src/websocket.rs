//! The WebSocket handshake as a gateway must check it (RFC 6455 §4).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{
    CONNECTION, ORIGIN, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderMap, Method, Version};
use sha1::{Digest, Sha1};

use crate::headers::names;
use crate::host::Host;
use crate::listener::{Listener, Scheme};

const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Returns the accept value that an instance must answer with, if this is a proper handshake.
///
/// Whatever else asks for an upgrade is an ordinary request.
#[must_use]
pub fn expected_accept(method: &Method, version: Version, headers: &HeaderMap) -> Option<String> {
    let is_handshake = *method == Method::GET
        && version == Version::HTTP_11
        && lists(headers, &CONNECTION, "upgrade")
        && only(headers, &UPGRADE)?.eq_ignore_ascii_case("websocket")
        && only(headers, &SEC_WEBSOCKET_VERSION)? == "13";
    let key = only(headers, &SEC_WEBSOCKET_KEY)?;
    let is_key = STANDARD.decode(key).is_ok_and(|nonce| nonce.len() == 16);
    (is_handshake && is_key).then(|| accept(key))
}

/// Tells whether an answer's headers switch to the WebSocket that was asked for.
#[must_use]
pub fn is_accepted(headers: &HeaderMap, expected: &str) -> bool {
    lists(headers, &CONNECTION, "upgrade")
        && only(headers, &UPGRADE).is_some_and(|upgrade| upgrade.eq_ignore_ascii_case("websocket"))
        && only(headers, &SEC_WEBSOCKET_ACCEPT) == Some(expected)
}

/// Tells whether the page that opens the socket is from the host that it asks, or from another origin that
/// the listener knows; programs send no origin.
///
/// Where the outside is https, a page of the same host that came without it may be anybody's. Where it is
/// not said to be, something before the listener may end TLS all the same.
#[must_use]
pub fn is_own_origin(headers: &HeaderMap, host: Option<&Host<'_>>, listener: &Listener) -> bool {
    if !headers.contains_key(ORIGIN) {
        return true;
    }
    let Some(text) = only(headers, &ORIGIN) else {
        return false;
    };
    if listener.origins.iter().any(|known| known.eq_ignore_ascii_case(text)) {
        return true;
    }
    let (plain, authority) = match text.split_once("://") {
        Some(("http", authority)) => (true, authority),
        Some(("https", authority)) => (false, authority),
        _ => return false,
    };
    let Some(origin) = Host::parse(authority) else {
        return false;
    };
    if plain && listener.scheme == Scheme::Https && !origin.is_loopback() {
        return false;
    }
    // Tunnels that rewrite `Host` keep the outside one there. No page can set headers of a handshake, so
    // believing it opens nothing to other origins.
    let forwarded = only(headers, &names::X_FORWARDED_HOST).and_then(Host::parse);
    host.is_some_and(|host| host.same_as(&origin))
        || forwarded.is_some_and(|host| host.same_as(&origin))
        || listener.hosts.iter().any(|host| *host == origin.name)
}

fn accept(key: &str) -> String {
    let mut hash = Sha1::new();
    hash.update(key.as_bytes());
    hash.update(GUID);
    STANDARD.encode(hash.finalize())
}

/// The value of a header that is there exactly once.
fn only<'h>(headers: &'h HeaderMap, name: &http::HeaderName) -> Option<&'h str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then(|| value.trim())
}

fn lists(headers: &HeaderMap, name: &http::HeaderName, token: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|listed| listed.trim().eq_ignore_ascii_case(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handshake() -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(CONNECTION, "keep-alive, Upgrade".parse().unwrap());
        headers.insert(UPGRADE, "WebSocket".parse().unwrap());
        headers.insert(SEC_WEBSOCKET_VERSION, "13".parse().unwrap());
        headers.insert(SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ==".parse().unwrap());
        headers
    }

    #[test]
    fn the_example_of_the_rfc() {
        let expected = expected_accept(&Method::GET, Version::HTTP_11, &handshake()).unwrap();
        assert_eq!(expected, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        let mut answer = handshake();
        assert!(!is_accepted(&answer, &expected));
        answer.insert(SEC_WEBSOCKET_ACCEPT, expected.parse().unwrap());
        assert!(is_accepted(&answer, &expected));
        assert!(!is_accepted(&answer, "another"));
    }

    #[test]
    fn anything_less_is_no_handshake() {
        let ask = |method, version, headers: &HeaderMap| expected_accept(&method, version, headers);
        assert_eq!(ask(Method::POST, Version::HTTP_11, &handshake()), None);
        assert_eq!(ask(Method::GET, Version::HTTP_10, &handshake()), None);
        for (name, value) in [
            (CONNECTION, "keep-alive"),
            (UPGRADE, "h2c"),
            (SEC_WEBSOCKET_VERSION, "8"),
            (SEC_WEBSOCKET_KEY, "short"),
            (SEC_WEBSOCKET_KEY, "AAAA"),
        ] {
            let mut headers = handshake();
            headers.insert(name, value.parse().unwrap());
            assert_eq!(ask(Method::GET, Version::HTTP_11, &headers), None);
        }
        let mut twice = handshake();
        twice.append(SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ==".parse().unwrap());
        assert_eq!(ask(Method::GET, Version::HTTP_11, &twice), None);
    }

    #[test]
    fn pages_of_other_origins_are_told_apart() {
        let plain = Listener {
            hosts: vec!["cn.example.net".into()],
            origins: vec!["https://app.example:8443".into()],
            ..Listener::plain("x", "127.0.0.1:0".parse().unwrap())
        };
        let tls = Listener { scheme: Scheme::Https, ..plain.clone() };
        let ask = |listener, origin: Option<&str>, host| {
            let mut headers = HeaderMap::new();
            if let Some(origin) = origin {
                headers.insert(ORIGIN, origin.parse().unwrap());
            }
            is_own_origin(&headers, Host::parse(host).as_ref(), listener)
        };
        let mut behind_tunnel = HeaderMap::new();
        behind_tunnel.insert(ORIGIN, "https://a.example".parse().unwrap());
        behind_tunnel.insert(names::X_FORWARDED_HOST, "a.example".parse().unwrap());
        assert!(is_own_origin(&behind_tunnel, Host::parse("127.0.0.1:7699").as_ref(), &tls));
        assert!(ask(&tls, None, "a.example"));
        for (origin, host, on_plain, on_tls) in [
            ("https://a.example", "a.example", true, true),
            ("https://A.example:443", "a.example", true, true),
            ("https://cn.example.net", "inner", true, true),
            ("https://app.example:8443", "a.example", true, true),
            ("http://a.example", "a.example", true, false),
            ("http://cn.example.net", "inner", true, false),
            ("http://127.0.0.1:7699", "127.0.0.1:7699", true, true),
            ("http://localhost:7699", "localhost:7699", true, true),
            ("https://app.example", "a.example", false, false),
            ("https://evil.example", "a.example", false, false),
            ("null", "a.example", false, false),
            ("", "a.example", false, false),
            ("https://a.example.evil", "a.example", false, false),
            ("http://a.example:81", "a.example", false, false),
            ("ws://a.example", "a.example", false, false),
        ] {
            assert_eq!(ask(&plain, Some(origin), host), on_plain, "{origin}");
            assert_eq!(ask(&tls, Some(origin), host), on_tls, "{origin}");
        }
    }
}
