//! Checks on the request target before anything is routed by it.

use http::{Method, Uri};

use crate::decision::Refusal;
use crate::host::Host;

/// Longest target that is routed, in bytes.
pub const MAX_LEN: usize = 8 * 1024;

/// A target in origin form that names one resource and nothing above it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target<'a> {
    path: &'a str,
    query: Option<&'a str>,
}

impl<'a> Target<'a> {
    /// Checks a target. Nothing is decoded or resolved: what is ambiguous is refused, the rest stays as
    /// it was received. The query is data of the instance and is not looked into.
    ///
    /// # Errors
    /// The [`Refusal`] to answer with.
    pub fn parse(method: &Method, uri: &'a Uri, host: Option<&Host<'_>>) -> Result<Self, Refusal> {
        if matches!(*method, Method::CONNECT | Method::TRACE) {
            return Err(Refusal::MethodNotAllowed);
        }
        if let Some(authority) = uri.authority() {
            let absolute = Host::parse(authority.as_str());
            if absolute.is_none() || absolute.as_ref() != host {
                return Err(Refusal::BadRequest);
            }
        }
        let target = Self { path: uri.path(), query: uri.query() };
        if target.path.len() + target.query.map_or(0, str::len) > MAX_LEN {
            return Err(Refusal::TargetTooLong);
        }
        if !target.path.starts_with('/') || target.path.starts_with("//") || !is_plain(target.path) {
            return Err(Refusal::BadRequest);
        }
        Ok(target)
    }

    /// The path as received.
    #[must_use]
    pub fn path(&self) -> &'a str {
        self.path
    }

    /// The first path segment as received, and whether a slash follows it.
    #[must_use]
    pub fn first_segment(&self) -> (&'a str, bool) {
        match self.path[1..].split_once('/') {
            Some((segment, _)) => (segment, true),
            None => (&self.path[1..], false),
        }
    }

    /// Path and query without the first `skip` bytes, always starting with a slash.
    #[must_use]
    pub fn without(&self, skip: usize) -> String {
        let path = &self.path[skip..];
        let mut rest = String::with_capacity(path.len() + self.query.map_or(1, |query| query.len() + 2));
        rest.push_str(if path.is_empty() { "/" } else { path });
        self.push_query(&mut rest);
        rest
    }

    /// Path and query with a slash between them.
    #[must_use]
    pub fn with_slash(&self) -> String {
        let mut target = format!("{}/", self.path);
        self.push_query(&mut target);
        target
    }

    fn push_query(&self, target: &mut String) {
        if let Some(query) = self.query {
            target.push('?');
            target.push_str(query);
        }
    }
}

/// No backslash, control character, encoded NUL, broken escape or dot segment, spelled in any way.
fn is_plain(path: &str) -> bool {
    let bytes = path.as_bytes();
    let mut segment_start = 1;
    for (at, &byte) in bytes.iter().enumerate().skip(1) {
        match byte {
            b'/' => {
                if is_dots(&bytes[segment_start..at]) {
                    return false;
                }
                segment_start = at + 1;
            }
            b'%' => match bytes.get(at + 1..at + 3) {
                Some(b"00") => return false,
                Some(digits) if digits.iter().all(u8::is_ascii_hexdigit) => {}
                _ => return false,
            },
            b'\\' | b'#' | 0..=b' ' | 0x7f => return false,
            _ => {}
        }
    }
    !is_dots(&bytes[segment_start..])
}

fn is_dots(mut segment: &[u8]) -> bool {
    let mut dots = 0;
    loop {
        segment = match segment {
            [b'.', rest @ ..] | [b'%', b'2', b'e' | b'E', rest @ ..] => rest,
            [] => return matches!(dots, 1 | 2),
            _ => return false,
        };
        dots += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Result<String, Refusal> {
        let uri: Uri = text.parse().map_err(|_| Refusal::BadRequest)?;
        let host = Host::parse("bridge.example");
        Target::parse(&Method::GET, &uri, host.as_ref()).map(|target| target.without(0))
    }

    #[test]
    fn passes_as_received_or_refuses() {
        for text in [
            "/",
            "/trial4",
            "/trial4/a%20b%2Fc?q=%E4%BD%A0",
            "/trial4/..%2fowner/z",
            "/trial4//x",
            "/a/...",
            "/a/.b",
            "/a/b..",
            "/a?q=100%&r=../..\\",
            "/a/%2e%2e%2e",
        ] {
            assert_eq!(parse(text), Ok(text.to_owned()));
        }
        assert_eq!(parse("http://bridge.example/a?b"), Ok("/a?b".to_owned()));
        for text in [
            "//",
            "//evil.example/owner/z",
            "http://other/owner/z",
            "http://[/x",
            "*",
            "/a/..",
            "/a/../b",
            "/a/%2e%2e/b",
            "/a/.%2E/b",
            "/a/%2e/b",
            "/./a",
            "/a\\..\\b",
            "/a/%zz",
            "/a/%2",
            "/a%",
            "/a/%00",
        ] {
            assert_eq!(parse(text), Err(Refusal::BadRequest), "{text}");
        }
        assert_eq!(parse(&format!("/{}", "a".repeat(MAX_LEN))), Err(Refusal::TargetTooLong));
    }

    proptest! {
        #[test]
        fn what_passes_cannot_climb(text in "/[ab./%2eE5cF\\\\?#]{0,24}") {
            if let Ok(target) = parse(&text) {
                let path = target.split('?').next().unwrap();
                let decoded = percent_encoding::percent_decode_str(path).decode_utf8_lossy();
                // An encoded slash stays encoded, so segments are those of the raw path.
                for segment in path.split('/') {
                    let segment = percent_encoding::percent_decode_str(segment).decode_utf8_lossy();
                    prop_assert!(segment != "." && segment != "..");
                }
                prop_assert!(!path.starts_with("//") && !decoded.contains('\0'));
            }
        }
    }
}
