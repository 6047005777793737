//! The body of an answer to a client.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::exchange::{self, Reply};
use super::visit::Visit;

/// A body, and the request that ends with it.
#[derive(Debug)]
pub(crate) struct Answer {
    source: Source,
    _visit: Option<Visit>,
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
        Self { source, _visit: None }
    }

    /// Ends a request when the body is gone.
    pub(crate) fn ending(self, visit: Visit) -> Self {
        Self { _visit: Some(visit), ..self }
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
