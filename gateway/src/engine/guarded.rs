//! A client's connection whose requests have one reading only.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

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
}

impl Guarded {
    pub(crate) fn new(tcp: TcpStream, activity: Arc<Activity>) -> Self {
        Self { tcp, framing: Framing::default(), refused: false, activity }
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
        let written = Pin::new(&mut self.tcp).poll_write_vectored(cx, bytes);
        self.activity.writes(written.is_ready());
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}
