//! Whether this server has anything to do: its supervisor puts it to sleep when not.
//!
//! Asking changes nothing but the time of the last use: who is asked twice may be used in between.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Instant;

use axum::body::{Body, HttpBody};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use jiff::{SignedDuration, Timestamp};
use remotelab_protocol::Session;
use remotelab_protocol::rest::{Because, Rest};

use crate::app::{App, Shared};

/// A trigger that is due within this time is waited for.
const SOON: SignedDuration = SignedDuration::from_mins(5);
/// How long before a trigger is due the server is to be awake.
const EARLY: SignedDuration = SignedDuration::from_mins(1);

/// Who uses the server.
#[derive(Debug)]
pub(crate) struct Activity {
    started: Instant,
    /// Requests, streams and sockets.
    open: AtomicU32,
    /// When it was used last, in milliseconds since the start.
    last: AtomicU64,
}

/// One use of the server.
#[derive(Debug)]
pub(crate) struct Stay(Arc<Activity>);

/// Tells whether a server has anything to do, also after it has stopped.
#[derive(Clone, Debug)]
pub struct Idle(Shared);

impl Idle {
    pub(crate) fn of(app: Shared) -> Self {
        Self(app)
    }

    /// Tells what there is to do. Blocks.
    #[must_use]
    pub fn ask(&self) -> Rest {
        self.0.rest(Timestamp::now())
    }
}

impl Activity {
    pub(crate) fn begin() -> Arc<Self> {
        Arc::new(Self { started: Instant::now(), open: AtomicU32::new(0), last: AtomicU64::new(0) })
    }

    /// Counts a use until what is returned is dropped.
    pub(crate) fn enter(self: &Arc<Self>) -> Stay {
        self.open.fetch_add(1, Ordering::SeqCst);
        Stay(Arc::clone(self))
    }

    fn touch(&self) {
        self.last.fetch_max(self.now(), Ordering::Relaxed);
    }

    fn idle_ms(&self) -> u64 {
        self.now().saturating_sub(self.last.load(Ordering::Relaxed))
    }

    fn now(&self) -> u64 {
        // Milliseconds fit for 500 million years.
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        self.0.touch();
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Counts a request until its answer has gone out. Questions of probes are no use.
pub(crate) async fn count(State(app): State<Shared>, request: Request, next: Next) -> Response {
    if matches!(request.uri().path(), "/api/build-info" | "/api/health" | "/favicon.ico") {
        return next.run(request).await;
    }
    let stay = app.activity.enter();
    next.run(request).await.map(|body| Body::new(Counted { body, _stay: stay }))
}

/// The body of an answer to somebody who uses the server.
struct Counted {
    body: Body,
    _stay: Stay,
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl App {
    /// What there is to do. Blocks.
    fn rest(&self, now: Timestamp) -> Rest {
        let due = self.triggers.next_due();
        let because = self.because().or_else(|| {
            let is_soon = due.is_some_and(|at| at.duration_since(now) <= SOON);
            is_soon.then_some(Because::Trigger)
        });
        if because.is_some() {
            self.activity.touch();
        }
        let wake_at = due.and_then(|at| at.checked_sub(EARLY).ok()).map(Timestamp::as_millisecond);
        Rest { because, idle_ms: self.activity.idle_ms(), wake_at }
    }

    fn because(&self) -> Option<Because> {
        if self.activity.open.load(Ordering::SeqCst) > 0 {
            return Some(Because::Request);
        }
        if self.runs.any() {
            return Some(Because::Run);
        }
        let unfinished = self.store.unfinished();
        let open = unfinished.iter().find_map(|cell| cell.with(|state| open(&state.session)));
        open.or_else(|| self.webhooks.waits().then_some(Because::Webhook))
    }
}

/// What is left to do in a session.
fn open(session: &Session) -> Option<Because> {
    if session.active_run_id.is_some() {
        Some(Because::Run)
    } else if !session.follow_up_queue.is_empty() {
        Some(Because::Queue)
    } else {
        session.is_unfinished().then_some(Because::AfterTurn)
    }
}
