//! The body of an answer to a client.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::admin::trace::Trace;
use super::exchange::{self, Reply};
use super::filter::Filtered;
use super::ledger::End;
use super::visit::Visit;

/// A body, and the request that ends with it.
#[derive(Debug)]
pub(crate) struct Answer {
    source: Source,
    visit: Option<Box<Visit>>,
}

/// Where a body comes from.
#[derive(Debug)]
pub(crate) enum Source {
    /// Made here.
    Own(Option<Bytes>),
    /// Passed on from an instance.
    Instance(Reply),
    /// Passed on from an instance otherwise than it came.
    Filtered(Box<Filtered>),
    /// Passed on from an instance that was asked for a WebSocket and said something else.
    Refusal(Incoming),
    /// Lines for the control socket.
    Trace(Trace),
}

/// Why a body ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Instance(#[from] exchange::Error),
    #[error("the instance broke off its answer")]
    Refusal(#[source] hyper::Error),
    #[error("an answer cannot be changed on its way")]
    Filter(#[source] io::Error),
}

impl Answer {
    pub(crate) fn new(source: Source) -> Self {
        Self { source, visit: None }
    }

    /// Ends a request when the body is gone.
    pub(crate) fn ending(mut self, mut visit: Box<Visit>) -> Self {
        // Nobody reads a body that is empty, or one of our own that was not asked for.
        if matches!(self.source, Source::Own(_)) || self.is_end_stream() {
            visit.end = End::Whole;
        }
        self.visit = Some(visit);
        self
    }

    /// Counts what passes.
    fn note(&mut self, frame: Option<&Result<Frame<Bytes>, Error>>) {
        let is_last = |frame: &Result<Frame<Bytes>, _>| frame.as_ref().is_ok_and(Frame::is_trailers);
        let is_end = frame.is_none_or(is_last) || self.is_end_stream();
        let Some(visit) = &mut self.visit else { return };
        match frame {
            Some(Ok(frame)) => visit.bytes_out += frame.data_ref().map_or(0, |data| data.len() as u64),
            Some(Err(_)) => visit.end = End::Upstream,
            None => {}
        }
        if is_end {
            visit.end = End::Whole;
        }
    }
}

impl Source {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match self {
            Self::Own(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Instance(reply) => {
                Pin::new(reply).poll_frame(cx).map(|frame| frame.map(|frame| frame.map_err(Error::from)))
            }
            Self::Filtered(filtered) => filtered.poll_frame(cx),
            Self::Refusal(body) => {
                Pin::new(body).poll_frame(cx).map(|frame| frame.map(|frame| frame.map_err(Error::Refusal)))
            }
            Self::Trace(trace) => trace.poll(cx).map(|line| line.map(|line| Ok(Frame::data(line)))),
        }
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
        let frame = ready!(self.source.poll_frame(cx));
        self.note(frame.as_ref());
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Own(bytes) => bytes.is_none(),
            Source::Instance(reply) => reply.is_end_stream(),
            Source::Refusal(body) => body.is_end_stream(),
            Source::Filtered(_) | Source::Trace(_) => false,
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
            Source::Filtered(_) | Source::Trace(_) => SizeHint::default(),
        }
    }
}
