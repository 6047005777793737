//! Two bare connections, joined: what comes from one goes to the other.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Moved at a time.
const PIECE: usize = 16 * 1024;

thread_local! {
    /// Where bytes are on their way from one end to the other, so that a pair at rest holds no memory for
    /// them.
    static PASSING: RefCell<Box<[u8]>> = RefCell::new(vec![0; PIECE].into());
}

/// A connection without HTTP, and what was read of it already.
pub(crate) struct End<S> {
    pub(crate) stream: S,
    pub(crate) first: Bytes,
}

/// Moves bytes both ways until both ends are done or one breaks.
pub(crate) async fn join(
    client: End<impl AsyncRead + AsyncWrite + Unpin>,
    instance: End<impl AsyncRead + AsyncWrite + Unpin>,
    traffic: &Traffic,
) -> io::Result<()> {
    let (mut there, mut back) = (Way::after(client.first), Way::after(instance.first));
    let (mut client, mut instance) = (client.stream, instance.stream);
    poll_fn(|cx| {
        let sent = there.poll(&mut client, &mut instance, &traffic.sent, cx)?;
        let received = back.poll(&mut instance, &mut client, &traffic.received, cx)?;
        if sent.is_ready() && received.is_ready() { Poll::Ready(Ok(())) } else { Poll::Pending }
    })
    .await
}

/// One direction.
struct Way {
    /// What was read and did not fit yet.
    left: Bytes,
    state: State,
}

enum State {
    Open,
    /// Its source has ended, its far end is told.
    Ending,
    Ended,
}

impl Way {
    fn after(first: Bytes) -> Self {
        Self { left: first, state: State::Open }
    }

    fn poll(
        &mut self,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
        flow: &Flow,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            match self.state {
                State::Open => ready!(self.pass(from, to, flow, cx))?,
                State::Ending => {
                    ready!(Pin::new(&mut *to).poll_shutdown(cx))?;
                    self.state = State::Ended;
                }
                State::Ended => return Poll::Ready(Ok(())),
            }
        }
    }

    /// Passes one piece on.
    fn pass(
        &mut self,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
        flow: &Flow,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while !self.left.is_empty() {
            flow.is_stuck(true);
            let written = ready!(write(to, &self.left, flow, cx))?;
            self.left.advance(written);
        }
        // The memory of what is done goes at once.
        self.left = Bytes::new();
        flow.is_stuck(false);
        PASSING.with_borrow_mut(|piece| {
            let mut read = ReadBuf::new(piece);
            if Pin::new(from).poll_read(cx, &mut read)?.is_pending() {
                // What waits in between, as TLS has it, is not to wait for more.
                let _ = Pin::new(to).poll_flush(cx)?;
                return Poll::Pending;
            }
            let read = read.filled();
            if read.is_empty() {
                self.state = State::Ending;
                return Poll::Ready(Ok(()));
            }
            flow.step();
            let written = match write(to, read, flow, cx)? {
                Poll::Ready(written) => written,
                Poll::Pending => 0,
            };
            self.left = Bytes::copy_from_slice(&read[written..]);
            Poll::Ready(Ok(()))
        })
    }
}

fn write(
    to: &mut (impl AsyncWrite + Unpin),
    bytes: &[u8],
    flow: &Flow,
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    let written = ready!(Pin::new(to).poll_write(cx, bytes))?;
    if written == 0 {
        return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
    }
    flow.bytes.fetch_add(written as u64, Ordering::Relaxed);
    Poll::Ready(Ok(written))
}

/// What moved between the two ends.
#[derive(Default)]
pub(crate) struct Traffic {
    pub(crate) sent: Flow,
    pub(crate) received: Flow,
}

/// One direction: its mark is odd while the far end takes nothing of what is there for it, and changes with
/// each piece.
#[derive(Default)]
pub(crate) struct Flow {
    mark: AtomicU32,
    bytes: AtomicU64,
}

impl Flow {
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    fn step(&self) {
        self.mark.fetch_add(2, Ordering::Relaxed);
    }

    fn is_stuck(&self, is_stuck: bool) {
        let mark = self.mark.load(Ordering::Relaxed);
        if mark.is_multiple_of(2) == is_stuck {
            self.mark.store(mark.wrapping_add(1), Ordering::Relaxed);
        }
    }
}

impl Traffic {
    /// Returns when for at least `limit` nothing moved, or one end took nothing of what was there for it.
    pub(crate) async fn silence(&self, limit: Duration) {
        let now = || [&self.sent, &self.received].map(|flow| flow.mark.load(Ordering::Relaxed));
        let mut before = now();
        loop {
            tokio::time::sleep(limit).await;
            let now = now();
            let is_stuck = |way: usize| now[way] == before[way] && now[way] % 2 == 1;
            if now == before || is_stuck(0) || is_stuck(1) {
                return;
            }
            before = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    #[tokio::test]
    async fn everything_arrives_in_order_and_the_ends_are_told() {
        let ((mut client, near), (far, mut instance)) = (duplex(7), duplex(64 * 1024));
        let traffic = Traffic::default();
        let joined = join(
            End { stream: near, first: Bytes::from_static(b"early ") },
            End { stream: far, first: Bytes::new() },
            &traffic,
        );
        let told = vec![7; 100_000];
        let talk = async {
            let (mut said, mut heard) = (Vec::new(), Vec::new());
            let speak = async {
                client.write_all(b"and late").await.unwrap();
                client.shutdown().await.unwrap();
                client.read_to_end(&mut heard).await.unwrap();
            };
            let answer = async {
                instance.read_to_end(&mut said).await.unwrap();
                instance.write_all(&told).await.unwrap();
                instance.shutdown().await.unwrap();
            };
            tokio::join!(speak, answer);
            (said, heard)
        };
        let (joined, (said, heard)) = tokio::join!(joined, talk);
        joined.unwrap();
        assert_eq!(said, b"early and late");
        assert_eq!(heard, told);
        assert_eq!((traffic.sent.bytes(), traffic.received.bytes()), (14, 100_000));
    }
}
