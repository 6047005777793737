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

/// Tells whether the page that opens the socket is from the host it asks; programs send no origin.
#[must_use]
pub fn is_same_origin(headers: &HeaderMap, host: Option<&str>, also: &[String]) -> bool {
    if !headers.contains_key(ORIGIN) {
        return true;
    }
    let Some(origin) = only(headers, &ORIGIN) else {
        return false;
    };
    let authority = ["http://", "https://"].iter().find_map(|scheme| origin.strip_prefix(scheme));
    let Some(origin) = authority.and_then(Host::parse) else {
        return false;
    };
    // Tunnels that rewrite `Host` keep the outside one there. No page can set headers of a handshake, so
    // believing it opens nothing to other origins.
    let forwarded = only(headers, &names::X_FORWARDED_HOST);
    let is_origin = |text| Host::parse(text).is_some_and(|host| host.same_as(&origin));
    host.is_some_and(is_origin)
        || forwarded.is_some_and(is_origin)
        || also.iter().any(|host| *host == origin.name)
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
        let ask = |origin: Option<&str>, host| {
            let mut headers = HeaderMap::new();
            if let Some(origin) = origin {
                headers.insert(ORIGIN, origin.parse().unwrap());
            }
            is_same_origin(&headers, Some(host), &["cn.example.net".to_owned()])
        };
        let mut behind_tunnel = HeaderMap::new();
        behind_tunnel.insert(ORIGIN, "https://a.example".parse().unwrap());
        behind_tunnel.insert(names::X_FORWARDED_HOST, "a.example".parse().unwrap());
        assert!(is_same_origin(&behind_tunnel, Some("127.0.0.1:7699"), &[]));
        assert!(ask(None, "a.example"));
        assert!(ask(Some("https://a.example"), "a.example"));
        assert!(ask(Some("https://A.example:443"), "a.example"));
        assert!(ask(Some("https://cn.example.net"), "inner"));
        assert!(ask(Some("http://127.0.0.1:7699"), "127.0.0.1:7699"));
        for wrong in ["https://evil.example", "null", "", "https://a.example.evil", "http://a.example:81"] {
            assert!(!ask(Some(wrong), "a.example"), "{wrong}");
        }
    }
}
