//! A client's connection whose requests have one reading only.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::activity::Activity;
use crate::framing::Framing;

/// No parser takes this for part of a head, a chunk size or a trailer, so it makes the HTTP library answer
/// 400 or break off the body, and close.
const POISON: &[u8] = &[0];

/// A TCP stream that ends where its framing becomes ambiguous.
#[derive(Debug)]
pub(crate) struct Guarded {
    tcp: TcpStream,
    framing: Framing,
    refused: bool,
    activity: Arc<Activity>,
    /// The rest of a hint that is being written.
    hint: Bytes,
}

impl Guarded {
    pub(crate) fn new(tcp: TcpStream, activity: Arc<Activity>) -> Self {
        Self { tcp, framing: Framing::default(), refused: false, activity, hint: Bytes::new() }
    }

    /// Nothing may come into the middle of a hint that has begun.
    fn finish_hint(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.hint.is_empty() {
            let written = Pin::new(&mut self.tcp).poll_write(cx, &self.hint);
            self.activity.writes(written.is_ready());
            self.hint.advance(ready!(written)?);
        }
        Poll::Ready(Ok(()))
    }

    /// Returns the bare stream.
    pub(crate) fn into_inner(self) -> TcpStream {
        self.tcp
    }
}

impl AsyncRead for Guarded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.refused {
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.tcp).poll_read(cx, buffer))?;
        let fed = self.framing.feed(&buffer.filled()[before..]);
        self.activity.reads(self.framing.is_in_head());
        let Err(violation) = fed else {
            return Poll::Ready(Ok(()));
        };
        self.refused = true;
        // The offending line was at least one byte long, so there is room.
        buffer.set_filled(before + violation.good);
        buffer.put_slice(POISON);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.finish_hint(cx))?;
        let written = Pin::new(&mut self.tcp).poll_write(cx, bytes);
        self.activity.writes(written.is_ready());
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let [only] = bytes {
            return self.poll_write(cx, only);
        }
        ready!(self.finish_hint(cx))?;
        let written = Pin::new(&mut self.tcp).poll_write_vectored(cx, bytes);
        self.activity.writes(written.is_ready());
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.finish_hint(cx))?;
        // Everything of the last answer is written, or the library would not flush, and the next one has
        // not begun, or there would be no hint.
        self.hint = self.activity.hints.take().into();
        ready!(self.finish_hint(cx))?;
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}
