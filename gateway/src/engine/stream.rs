//! A connection to an instance that keeps its ears open when nobody listens any more.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;

use super::origin::Socket;

/// A stream whose failed writes count as done.
///
/// An instance that refuses an upload answers and closes while the gateway still writes. The write's
/// error must not hide the answer that waits to be read; reading tells soon enough that the end is near.
#[derive(Debug)]
pub(crate) struct Stream {
    socket: TokioIo<Socket>,
    deaf: bool,
}

impl Stream {
    pub(crate) fn new(socket: Socket) -> Self {
        Self { socket: TokioIo::new(socket), deaf: false }
    }

    /// Returns the bare stream.
    pub(crate) fn into_inner(self) -> Socket {
        self.socket.into_inner()
    }

    fn forgive(&mut self, len: usize, outcome: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match outcome {
            Poll::Ready(Err(error)) if is_hang_up(&error) => {
                self.deaf = true;
                Poll::Ready(Ok(len))
            }
            other => other,
        }
    }
}

impl Read for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(cx, buffer)
    }
}

impl Write for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        if self.deaf {
            return Poll::Ready(Ok(buffer.len()));
        }
        let outcome = Pin::new(&mut self.socket).poll_write(cx, buffer);
        self.forgive(buffer.len(), outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let [only] = buffers {
            // The system has less to do for one than for a list of one.
            return self.poll_write(cx, only);
        }
        let len = buffers.iter().map(|buffer| buffer.len()).sum();
        if self.deaf {
            return Poll::Ready(Ok(len));
        }
        let outcome = Pin::new(&mut self.socket).poll_write_vectored(cx, buffers);
        self.forgive(len, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

fn is_hang_up(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted
    )
}
