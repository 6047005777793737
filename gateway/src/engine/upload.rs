//! A request body on its way to an instance.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::interim::{HeldBack, Wanted};
use crate::headers;

/// What is still read of an upload that nobody wants any more, so that the client gets to the answer.
const MAX_DRAIN: usize = 1 << 20;
const MAX_DRAIN_TIME: Duration = Duration::from_secs(5);
/// A client that says nothing for this long has nothing to lose.
const MAX_DRAIN_PAUSE: Duration = Duration::from_secs(1);

/// The body of one request.
#[derive(Debug)]
pub(crate) struct Upload {
    body: Option<Incoming>,
    progress: Option<Arc<Progress>>,
    /// The client waits for `100 Continue`, which it gets when the body is asked for.
    held_back: Option<HeldBack>,
    received: u64,
    limit: u64,
}

/// How far an upload is, for whoever times it.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    mark: AtomicU32,
    bytes: AtomicU64,
}

const ENDED: u32 = u32::MAX;

impl Progress {
    /// A value that changes with each piece.
    pub(crate) fn mark(&self) -> u32 {
        self.mark.load(Ordering::Relaxed)
    }

    /// What came so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Tells whether a mark says that everything was read.
    pub(crate) fn is_end(mark: u32) -> bool {
        mark == ENDED
    }
}

/// Why an upload ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("client stopped sending")]
    Client(#[source] hyper::Error),
    #[error("request body is longer than allowed")]
    TooLong,
}

impl Upload {
    /// Takes a body of at most `limit` bytes.
    pub(crate) fn new(body: Incoming, limit: u64, expects_continue: bool) -> Self {
        let body = Some(body).filter(|body| !body.is_end_stream());
        Self {
            progress: body.is_some().then(Arc::default),
            held_back: (expects_continue && body.is_some()).then(HeldBack::new),
            received: 0,
            body,
            limit,
        }
    }

    /// No body.
    pub(crate) fn empty() -> Self {
        Self { body: None, progress: None, held_back: None, received: 0, limit: 0 }
    }

    /// Watches the upload; `None` when there is no body.
    pub(crate) fn progress(&self) -> Option<Arc<Progress>> {
        self.progress.clone()
    }

    /// Whom to tell that the body is wanted; `None` when it comes unasked.
    pub(crate) fn wanted(&self) -> Option<Arc<Wanted>> {
        self.held_back.as_ref().map(HeldBack::wanted)
    }

    fn end(&mut self) {
        self.body = None;
        if let Some(progress) = &self.progress {
            progress.mark.store(ENDED, Ordering::Relaxed);
        }
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if let Some(held_back) = &mut self.held_back {
            ready!(held_back.poll(cx));
            self.held_back = None;
        }
        let Some(body) = &mut self.body else {
            return Poll::Ready(None);
        };
        let frame = ready!(Pin::new(&mut *body).poll_frame(cx));
        let frame = frame.map(|frame| frame.map(headers::clean_trailers));
        let is_last = |frame: &Result<Frame<Bytes>, _>| frame.as_ref().is_ok_and(Frame::is_trailers);
        let ended = frame.as_ref().is_none_or(is_last) || body.is_end_stream();
        if let Some(Ok(frame)) = &frame {
            let len = frame.data_ref().map_or(0, Bytes::len);
            self.received += u64::try_from(len).expect("a piece is shorter than u64::MAX");
            if self.received > self.limit {
                return Poll::Ready(Some(Err(Error::TooLong)));
            }
            if let Some(progress) = &self.progress {
                progress.bytes.store(self.received, Ordering::Relaxed);
                let next = progress.mark().wrapping_add(1);
                progress.mark.store(if next == ENDED { 0 } else { next }, Ordering::Relaxed);
            }
        }
        if ended {
            self.end();
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Error::Client)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl Drop for Upload {
    /// Reads on for a while: closing on a client that still sends would reset the connection and take the
    /// answer with it.
    fn drop(&mut self) {
        let Some(body) = self.body.take().filter(|_| self.held_back.is_none()) else {
            return;
        };
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(tokio::time::timeout(MAX_DRAIN_TIME, drain(body)));
        }
    }
}

async fn drain(mut body: Incoming) {
    let mut drained = 0;
    while drained < MAX_DRAIN {
        let next = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx));
        let Ok(Some(Ok(frame))) = tokio::time::timeout(MAX_DRAIN_PAUSE, next).await else {
            return;
        };
        drained += frame.data_ref().map_or(0, Bytes::len);
    }
}
