//! Conditional GET: a strong tag over the exact body (RFC 9110 §13.1.2).

use axum::body::Body;
use axum::response::Response;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Serialize;
use sha2::{Digest, Sha256};

const CHECKED: HeaderValue = HeaderValue::from_static("private, no-cache");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const COOKIE: HeaderValue = HeaderValue::from_static("Cookie");

/// Sends JSON with its tag, or 304 when the caller has just that.
pub(super) fn json(request: &HeaderMap, value: &impl Serialize) -> Response {
    match serde_json::to_vec(value) {
        Ok(bytes) => tagged(request, JSON, bytes),
        Err(_) => super::answer::text(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error"),
    }
}

/// Sends any body with its tag, or 304 when the caller has just that.
pub(super) fn tagged(request: &HeaderMap, content_type: HeaderValue, bytes: Vec<u8>) -> Response {
    let tag = tag(&bytes);
    checked(request, content_type, &tag, || Body::from(bytes))
}

/// As [`json`], for JSON that is not in memory, of which the tag is known.
pub(super) fn long_json(request: &HeaderMap, tag: &str, body: impl FnOnce() -> Body) -> Response {
    checked(request, JSON, tag, body)
}

fn checked(
    request: &HeaderMap,
    content_type: HeaderValue,
    tag: &str,
    body: impl FnOnce() -> Body,
) -> Response {
    let matched = has(request, tag);
    let mut response = Response::new(if matched { Body::empty() } else { body() });
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, CHECKED);
    headers.insert(VARY, COOKIE);
    if let Ok(tag) = HeaderValue::from_str(tag) {
        headers.insert(ETAG, tag);
    }
    if matched {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    } else {
        headers.insert(CONTENT_TYPE, content_type);
    }
    response
}

/// Returns the strong tag of a body, with its quotes.
pub(super) fn tag(bytes: &[u8]) -> String {
    tag_of(Sha256::new_with_prefix(bytes))
}

/// As [`tag`], for a body that was hashed in pieces.
pub(super) fn tag_of(hash: Sha256) -> String {
    format!("\"{}\"", hex::encode(&hash.finalize()[..20]))
}

/// Tells whether a request's `If-None-Match` names a tag.
pub(super) fn has(request: &HeaderMap, tag: &str) -> bool {
    let candidates = request.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    candidates
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|candidate| candidate == "*" || candidate.strip_prefix("W/").unwrap_or(candidate) == tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_matches_alone_in_a_list_weak_or_as_a_star() {
        let tag = tag(b"x");
        let asks = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(IF_NONE_MATCH, value.parse().unwrap());
            has(&headers, &tag)
        };
        assert!(asks(&tag) && asks("*") && asks(&format!("\"a\", W/{tag}")));
        assert!(!asks("\"a\"") && !has(&HeaderMap::new(), &tag));
    }
}
