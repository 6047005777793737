//! One line of the log: begun with a request's head, finished with its end.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use http::header::USER_AGENT;
use http::{HeaderValue, StatusCode, Version, request};
use jiff::Timestamp;

use crate::redact::{cut, push_json, push_target};

/// Longest part of a client's name for itself that is kept.
const MAX_AGENT: usize = 200;
/// A usual line is shorter.
const USUAL: usize = 640;

/// A line that waits for its end. The only memory that logging a request takes.
#[derive(Debug)]
pub(crate) struct Entry(String);

/// How a request ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum End {
    /// The client went before its answer was whole.
    #[default]
    Client,
    /// The instance broke off.
    Upstream,
    /// A defect.
    Defect,
    /// Whole.
    Whole,
}

/// What is told at the end of a request.
#[derive(Debug, Default)]
pub(crate) struct Facts<'a> {
    pub(crate) tenant: Option<(&'a str, &'a str)>,
    pub(crate) status: Option<StatusCode>,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    pub(crate) until_head: Option<Duration>,
    pub(crate) total: Duration,
    pub(crate) upstream: Option<Duration>,
    pub(crate) reused: bool,
    pub(crate) end: End,
}

/// Whom a line concerns.
#[derive(Debug)]
pub(crate) struct Told<'a> {
    pub(crate) tenant: Option<&'a str>,
    /// Its tenant did not opt out.
    pub(crate) is_logged: bool,
    pub(crate) went_well: bool,
    /// Decides what a sample takes.
    pub(crate) chance: u32,
}

impl Entry {
    pub(crate) fn begin(
        now: Duration,
        request_id: &HeaderValue,
        listener: &str,
        client: &HeaderValue,
        head: &request::Parts,
    ) -> Self {
        let mut line = String::with_capacity(USUAL);
        push_start(&mut line, now, listener, client.to_str().unwrap_or_default());
        line.push_str(r#","requestId":""#);
        line.push_str(request_id.to_str().unwrap_or_default());
        line.push_str(r#"","method":""#);
        push_json(&mut line, head.method.as_str());
        line.push_str(r#"","path":""#);
        push_target(&mut line, head.uri.path(), head.uri.query());
        line.push_str(r#"","protocol":""#);
        line.push_str(if head.version == Version::HTTP_10 { "HTTP/1.0" } else { "HTTP/1.1" });
        if let Some(agent) = head.headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok()) {
            line.push_str(r#"","ua":""#);
            push_json(&mut line, cut(agent, MAX_AGENT));
        }
        line.push('"');
        Self(line)
    }

    /// Returns the whole line.
    pub(crate) fn finish(self, facts: &Facts<'_>) -> String {
        let mut line = self.0;
        if let Some((tenant, id)) = facts.tenant {
            line.push_str(r#","tenant":""#);
            push_json(&mut line, tenant);
            line.push_str(r#"","instanceId":""#);
            push_json(&mut line, id);
            line.push('"');
        }
        if let Some(status) = facts.status {
            let _ = write!(line, r#","status":{}"#, status.as_u16());
        }
        let _ = write!(line, r#","bytesIn":{},"bytesOut":{}"#, facts.bytes_in, facts.bytes_out);
        for (key, time) in
            [("ttfbMs", facts.until_head), ("upstreamMs", facts.upstream), ("totalMs", Some(facts.total))]
        {
            if let Some(time) = time {
                let us = time.as_micros();
                let _ = write!(line, r#","{key}":{}.{:03}"#, us / 1000, us % 1000);
            }
        }
        if facts.upstream.is_some() {
            let _ = write!(line, r#","connReused":{}"#, facts.reused);
        }
        let abort = match facts.end {
            End::Whole => None,
            End::Client => Some("client_aborted"),
            End::Upstream => Some("upstream_aborted"),
            End::Defect => Some("defect"),
        };
        if let Some(abort) = abort {
            let _ = write!(line, r#","abort":"{abort}""#);
        }
        line.push('}');
        line
    }
}

/// The line of bytes that are no request.
pub(crate) fn malformed(now: Duration, listener: &str, client: IpAddr) -> String {
    let mut line = String::new();
    push_start(&mut line, now, listener, &client.to_string());
    line.push_str(r#","abort":"malformed"}"#);
    line
}

fn push_start(line: &mut String, now: Duration, listener: &str, client: &str) {
    line.push_str(r#"{"ts":""#);
    push_time(line, now);
    line.push_str(r#"","listener":""#);
    push_json(line, listener);
    line.push_str(r#"","client":""#);
    line.push_str(client);
    line.push('"');
}

thread_local! {
    /// The second that this thread wrote last, and how: a date is much to work out for each request.
    static SECOND: RefCell<(u64, String)> = RefCell::default();
}

fn push_time(line: &mut String, now: Duration) {
    SECOND.with_borrow_mut(|(second, text)| {
        if text.is_empty() || *second != now.as_secs() {
            *second = now.as_secs();
            let seconds = i64::try_from(*second).unwrap_or(i64::MAX);
            *text = Timestamp::from_second(seconds).unwrap_or_default().to_string();
        }
        line.push_str(text.trim_end_matches('Z'));
    });
    let _ = write!(line, ".{:03}Z", now.subsec_millis());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_whole_in_any_order() {
        let at = |ms| {
            let mut line = String::new();
            push_time(&mut line, Duration::from_millis(ms));
            line
        };
        let written = [0, 1_800_000_000_007, 1_800_000_000_999, 1_800_000_001_000, 0].map(at);
        let expected = [
            "1970-01-01T00:00:00.000Z",
            "2027-01-15T08:00:00.007Z",
            "2027-01-15T08:00:00.999Z",
            "2027-01-15T08:00:01.000Z",
            "1970-01-01T00:00:00.000Z",
        ];
        assert_eq!(written, expected);
    }
}
