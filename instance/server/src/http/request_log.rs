//! Notes every request to the API in the request log, when its answer has gone out or broken off.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Instant;

use axum::body::{Body, HttpBody};
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, StatusCode};
use http_body::{Frame, SizeHint};
use percent_encoding::percent_decode_str;

use crate::api_log::Record;
use crate::app::{App, Shared};
use crate::clock::now_iso;

/// Longer runs of hex digits than the ids have are secrets.
const SECRET_DIGITS: usize = 48;
/// The longest path or query that is written down, in bytes.
const TEXT_MAX: usize = 2_000;

/// Lets a request through and notes it.
pub(super) async fn note(State(app): State<Shared>, request: Request, next: Next) -> Response {
    if !request.uri().path().starts_with("/api/") {
        return next.run(request).await;
    }
    let began = Instant::now();
    let query = request.uri().query().unwrap_or_default();
    let route = request.extensions().get::<MatchedPath>().map(|path| named(path.as_str()));
    let mut record = Record {
        r#type: "api_request",
        seq: app.api_log.next(),
        pid: std::process::id(),
        port: app.listener().port(),
        ts: now_iso(),
        method: request.method().to_string(),
        pathname: cut(without_secrets(request.uri().path())),
        route: route.unwrap_or_default(),
        search: cut(search(query)),
        query_keys: keys(query),
        request_bytes: 0,
        response_bytes: 0,
        status_code: 0,
        response_start_ms: 0.0,
        duration_ms: 0.0,
        cache_hit: false,
        content_type: String::new(),
        cache_control: String::new(),
        aborted: false,
        error: String::new(),
    };
    let received = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&received);
    let request = request.map(|body| Body::new(Counted { body, counter }));
    let response = next.run(request).await;
    let header = |name: &HeaderName| text(response.headers(), name);
    record.status_code = response.status().as_u16();
    record.response_start_ms = ms_since(began);
    record.cache_hit = response.status() == StatusCode::NOT_MODIFIED;
    record.content_type = header(&CONTENT_TYPE);
    record.cache_control = header(&CACHE_CONTROL);
    response.map(|body| {
        let entry = Some(Entry { app, record, began, received });
        Body::new(Noted { body, entry, sent: 0 })
    })
}

/// A body whose bytes are counted.
struct Counted {
    body: Body,
    counter: Arc<AtomicU64>,
}

/// The body of an answer, at whose end the request is noted.
struct Noted {
    body: Body,
    entry: Option<Entry>,
    sent: u64,
}

struct Entry {
    app: Shared,
    record: Record,
    began: Instant,
    received: Arc<AtomicU64>,
}

impl Noted {
    fn end(&mut self, aborted: bool, error: String) {
        let Some(Entry { app, mut record, began, received }) = self.entry.take() else { return };
        record.request_bytes = received.load(Ordering::Relaxed);
        record.response_bytes = self.sent;
        record.duration_ms = ms_since(began);
        record.aborted = aborted;
        record.error = error;
        app.api_log.write(&record);
    }
}

impl Drop for Noted {
    fn drop(&mut self) {
        // Who reads a body of known length does not ask for its end.
        let is_whole = self.body.is_end_stream() || self.body.size_hint().exact() == Some(0);
        self.end(!is_whole, String::new());
    }
}

impl HttpBody for Noted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(context));
        match &frame {
            Some(Ok(frame)) => self.sent += frame.data_ref().map_or(0, |data| data.len() as u64),
            Some(Err(error)) => {
                let error = error.to_string();
                self.end(true, error);
            }
            None => self.end(false, String::new()),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(context));
        let length = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref().map(Bytes::len));
        self.counter.fetch_add(length.unwrap_or_default() as u64, Ordering::Relaxed);
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl App {
    /// Where this server listens; before it does, what it is set to.
    pub(crate) fn listener(&self) -> std::net::SocketAddr {
        let unset = || std::net::SocketAddr::from((std::net::Ipv4Addr::LOCALHOST, self.settings.port));
        self.address.get().copied().unwrap_or_else(unset)
    }
}

/// Writes a route as people do: `/api/runs/:id`.
fn named(route: &str) -> String {
    route.replace("{*", ":").replace('{', ":").replace('}', "")
}

/// Writes a query with its question mark and without its secrets.
fn search(query: &str) -> String {
    if query.is_empty() {
        return String::new();
    }
    let pairs = query.split('&').map(|pair| match pair.split_once('=') {
        Some((key, value)) if is_secret(&decoded(key), &decoded(value)) => format!("{key}=[redacted]"),
        _ => without_secrets(pair),
    });
    format!("?{}", pairs.collect::<Vec<_>>().join("&"))
}

fn keys(query: &str) -> Vec<String> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let mut keys: Vec<String> =
        pairs.map(|pair| without_secrets(&decoded(pair.split('=').next().unwrap_or_default()))).collect();
    keys.sort();
    keys.dedup();
    keys.truncate(50);
    keys
}

fn is_secret(key: &str, value: &str) -> bool {
    const KEYS: &[&str] = &["token", "secret", "password", "authorization"];
    let key = key.to_ascii_lowercase();
    key == "h" || KEYS.iter().any(|word| key.contains(word)) || without_secrets(value) != value
}

/// Takes out what has the form of a token.
fn without_secrets(text: &str) -> String {
    let is_hex = |c: char| c.is_ascii_hexdigit();
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(is_hex) {
        let length = rest[start..].find(|c| !is_hex(c)).unwrap_or(rest.len() - start);
        shown.push_str(&rest[..start]);
        let run = &rest[start..start + length];
        shown.push_str(if length >= SECRET_DIGITS { "[redacted]" } else { run });
        rest = &rest[start + length..];
    }
    shown + rest
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

fn cut(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(TEXT_MAX));
    text
}

fn text(headers: &HeaderMap, name: &HeaderName) -> String {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
}

/// Milliseconds to the microsecond.
fn ms_since(began: Instant) -> f64 {
    (began.elapsed().as_secs_f64() * 1e6).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_is_written_down() {
        let token = "ab".repeat(32);
        for (query, expected) in [
            (format!("token={token}"), "?token=[redacted]".to_owned()),
            ("Token=short&a=1".to_owned(), "?Token=[redacted]&a=1".to_owned()),
            ("%74oken=short".to_owned(), "?%74oken=[redacted]".to_owned()),
            (format!("x={token}&filter=all"), "?x=[redacted]&filter=all".to_owned()),
            (format!("x=%61%62{}", &token[4..]), "?x=[redacted]".to_owned()),
            (token.clone(), "?[redacted]".to_owned()),
            (format!("sessionId={}", &token[..32]), format!("?sessionId={}", &token[..32])),
            (String::new(), String::new()),
        ] {
            assert_eq!(search(&query), expected, "{query}");
        }
        assert_eq!(keys(&format!("b=1&a=2&b&{token}")), ["[redacted]", "a", "b"]);
        assert_eq!(named("/api/sessions/{id}/events/{seq}/body"), "/api/sessions/:id/events/:seq/body");
    }
}
