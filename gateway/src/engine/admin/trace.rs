//! Requests of one tenant as they end.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response, StatusCode};
use tokio::sync::mpsc;
use tokio::time::{Sleep, sleep};

use super::{asked, refusal};
use crate::engine::Core;
use crate::engine::body::{Answer, Source};

const USUAL_SECONDS: u64 = 30;
const MOST_SECONDS: u64 = 600;

/// Lines until a time is over.
#[derive(Debug)]
pub(crate) struct Trace {
    lines: mpsc::Receiver<String>,
    until: Pin<Box<Sleep>>,
}

impl Trace {
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if let Poll::Ready(line) = self.lines.poll_recv(cx) {
            return Poll::Ready(line.map(|line| Bytes::from(line + "\n")));
        }
        self.until.as_mut().poll(cx).map(|()| None)
    }
}

pub(super) fn answer(core: &Core, query: &str) -> Response<Answer> {
    let live = core.snapshot.load();
    let tenant = asked(query, "tenant").filter(|tenant| live.table.by_prefix(tenant).is_some());
    let Some(tenant) = tenant else {
        return refusal(StatusCode::NOT_FOUND, "no_such_tenant");
    };
    let seconds = asked(query, "seconds").map_or(Some(USUAL_SECONDS), |text| text.parse().ok());
    let Some(seconds) = seconds.filter(|seconds| (1..=MOST_SECONDS).contains(seconds)) else {
        return refusal(StatusCode::BAD_REQUEST, "seconds_not_1_to_600");
    };
    let Some(lines) = core.ledger.watch(&tenant) else {
        return refusal(StatusCode::SERVICE_UNAVAILABLE, "too_many_watch");
    };
    let until = Box::pin(sleep(Duration::from_secs(seconds)));
    let mut response = Response::new(Answer::new(Source::Trace(Trace { lines, until })));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    response
}
