//! The body of an answer to a client.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::exchange::{self, Reply};

/// A body, with a note that its connection is busy for as long as it lasts.
#[derive(Debug)]
pub(crate) struct Answer {
    source: Source,
    _busy: Option<Busy>,
}

/// Where a body comes from.
#[derive(Debug)]
pub(crate) enum Source {
    /// Made here.
    Own(Option<Bytes>),
    /// Passed on from an instance.
    Instance(Reply),
    /// Passed on from an instance that was asked for a WebSocket and said something else.
    Refusal(Incoming),
}

/// Why a body ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Instance(#[from] exchange::Error),
    #[error("the instance broke off its answer")]
    Refusal(#[source] hyper::Error),
}

impl Answer {
    pub(crate) fn new(source: Source) -> Self {
        Self { source, _busy: None }
    }

    /// Keeps the connection busy until the body is gone.
    pub(crate) fn while_busy(self, busy: Busy) -> Self {
        Self { _busy: Some(busy), ..self }
    }
}

impl From<Bytes> for Answer {
    fn from(bytes: Bytes) -> Self {
        Self::new(Source::Own(Some(bytes)))
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match &mut self.source {
            Source::Own(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Source::Instance(reply) => {
                Pin::new(reply).poll_frame(cx).map(|frame| frame.map(|frame| frame.map_err(Error::from)))
            }
            Source::Refusal(body) => {
                Pin::new(body).poll_frame(cx).map(|frame| frame.map(|frame| frame.map_err(Error::Refusal)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Own(bytes) => bytes.is_none(),
            Source::Instance(reply) => reply.is_end_stream(),
            Source::Refusal(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Own(bytes) => {
                let len = bytes.as_ref().map_or(0, Bytes::len);
                SizeHint::with_exact(u64::try_from(len).expect("a page is shorter than u64::MAX"))
            }
            Source::Instance(reply) => reply.size_hint(),
            Source::Refusal(body) => body.size_hint(),
        }
    }
}

/// Counts the requests that a connection is busy with.
#[derive(Debug, Default)]
pub(crate) struct Activity {
    busy: AtomicU32,
    begun: AtomicU32,
}

impl Activity {
    /// How many requests are in work, and how many there ever were.
    pub(crate) fn read(&self) -> (u32, u32) {
        (self.busy.load(Ordering::Relaxed), self.begun.load(Ordering::Relaxed))
    }
}

/// One request in work.
#[derive(Debug)]
pub(crate) struct Busy(Arc<Activity>);

impl Busy {
    pub(crate) fn begin(activity: &Arc<Activity>) -> Self {
        activity.busy.fetch_add(1, Ordering::Relaxed);
        activity.begun.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(activity))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::Relaxed);
    }
}
