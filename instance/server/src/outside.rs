//! What the outside sees of a request: true client address, scheme, host and path prefix.
//!
//! Forwarding headers count only over the instance's socket, or when the gateway vouches for them with this
//! instance's key; from anybody else they are ignored. See `docs/architecture.md`, "Trust".

use std::net::{IpAddr, Ipv4Addr};

use http::HeaderMap;
use http::request::Parts;
use remotelab_config::secret::Secret;
use remotelab_config::vouch;

use crate::serve::Peer;

/// The outside view of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outside {
    /// The client's address.
    pub(crate) client: String,
    /// `/trial1`, or empty at a root of its own.
    pub(crate) prefix: String,
    /// `Host` as the client sent it.
    pub(crate) host: String,
    /// `http` or `https`.
    pub(crate) scheme: String,
    /// A program on this machine that came by itself, through nobody else.
    pub(crate) is_local: bool,
}

/// What proxies add, also those that nobody vouches for.
const FORWARDED: &[&str] = &["forwarded", "x-forwarded-for", "x-real-ip", "cf-connecting-ip"];

impl Outside {
    /// Reads a request's headers; `key` is what this instance shares with its gateway.
    pub(crate) fn of(parts: &Parts, peer: Peer, key: Option<&Secret>, unix_seconds: i64) -> Self {
        let ip = match peer {
            Peer::Port(peer) => peer.ip(),
            Peer::Socket => IpAddr::V4(Ipv4Addr::LOCALHOST),
        };
        let direct = Self {
            client: ip.to_string(),
            prefix: String::new(),
            host: header(&parts.headers, "host").to_owned(),
            scheme: "http".to_owned(),
            is_local: ip.to_canonical().is_loopback()
                && !FORWARDED.iter().any(|name| parts.headers.contains_key(*name)),
        };
        let facts = vouch::Facts {
            method: parts.method.as_str(),
            target: parts.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str),
            prefix: header(&parts.headers, "x-forwarded-prefix"),
            client: header(&parts.headers, "x-forwarded-for"),
            proto: header(&parts.headers, "x-forwarded-proto"),
            host: header(&parts.headers, "x-forwarded-host"),
        };
        let is_vouched = || {
            let signature = header(&parts.headers, vouch::HEADER);
            key.is_some_and(|key| vouch::verify(key, unix_seconds, &facts, signature))
        };
        let is_believed = match peer {
            // A gateway always says who asks; a program of this user may come by itself.
            Peer::Socket => !facts.client.is_empty(),
            Peer::Port(_) => is_vouched(),
        };
        if !is_believed {
            return direct;
        }
        let or = |text: &str, fallback: String| {
            if text.is_empty() { fallback } else { text.to_owned() }
        };
        Self {
            client: or(facts.client, direct.client),
            prefix: if is_prefix(facts.prefix) { facts.prefix.to_owned() } else { String::new() },
            host: or(facts.host, direct.host),
            scheme: if facts.proto == "https" { facts.proto.to_owned() } else { direct.scheme },
            is_local: false,
        }
    }

    /// The base address of pages: always begins and ends with a slash.
    pub(crate) fn base(&self) -> String {
        format!("{}/", self.prefix)
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// One or two segments of `[a-z0-9-]`.
fn is_prefix(text: &str) -> bool {
    let Some(rest) = text.strip_prefix('/') else {
        return false;
    };
    let segments: Vec<&str> = rest.split('/').collect();
    let fits = |segment: &&str| {
        (1..=63).contains(&segment.len())
            && segment.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    segments.len() <= 2 && segments.iter().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn parts(headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().uri("/x?y=1");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn only_a_vouched_prefix_counts() {
        let key = Secret::random();
        let peer = Peer::Port("127.0.0.1:9".parse().unwrap());
        let facts = vouch::Facts {
            method: "GET",
            target: "/x?y=1",
            prefix: "/trial1",
            client: "10.1.2.3",
            proto: "https",
            host: "h",
        };
        let signature = vouch::sign(&key, 100, &facts);
        let forged = [
            ("host", "h"),
            ("x-forwarded-prefix", "/trial1"),
            ("x-forwarded-for", "10.1.2.3"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "h"),
        ];
        let direct = Outside {
            client: "127.0.0.1".into(),
            prefix: String::new(),
            host: "h".into(),
            scheme: "http".into(),
            is_local: false,
        };
        assert_eq!(Outside::of(&parts(&forged), peer, Some(&key), 100), direct);
        let mut vouched = forged.to_vec();
        vouched.push((vouch::HEADER, &signature));
        let expected = Outside {
            client: "10.1.2.3".into(),
            prefix: "/trial1".into(),
            host: "h".into(),
            scheme: "https".into(),
            is_local: false,
        };
        assert_eq!(Outside::of(&parts(&vouched), peer, Some(&key), 100), expected);
        assert_eq!(expected.base(), "/trial1/");
        assert_eq!(Outside::of(&parts(&vouched), peer, None, 100), direct);
        assert_eq!(Outside::of(&parts(&forged), Peer::Socket, None, 100), expected);
        let alone = Outside { is_local: true, ..direct };
        assert_eq!(Outside::of(&parts(&[("host", "h")]), Peer::Socket, Some(&key), 100), alone);
    }

    #[test]
    fn prefixes_that_could_break_out_of_a_page_are_ignored() {
        for wrong in ["", "/", "trial1", "/a/b/c", "/\"><script>", "/Trial", "//x", "/a/"] {
            assert!(!is_prefix(wrong), "{wrong}");
        }
        assert!(is_prefix("/trial1") && is_prefix("/a/b"));
    }
}
