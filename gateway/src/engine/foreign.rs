//! A text that gets prefixes while it is read.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncBufRead, AsyncRead, ReadBuf};

use super::pack::{self, BufferedReader};
use crate::foreign::{MAX_LEN, Rewriter};

/// Read at a time: prefixes may make several times as much of it.
const PIECE: usize = 4 * 1024;

pub(crate) struct Rewriting {
    text: BufferedReader,
    /// `None` after the end.
    rewriter: Option<Rewriter>,
    /// How much more is changed; `None` has no bound.
    left: Option<usize>,
    out: Vec<u8>,
    taken: usize,
}

impl Rewriting {
    /// `bounded` tells that the text has an end that is known.
    pub(crate) fn new(text: BufferedReader, rewriter: Rewriter, bounded: bool) -> Self {
        let left = (!bounded).then_some(MAX_LEN);
        Self { text, rewriter: Some(rewriter), left, out: Vec::new(), taken: 0 }
    }

    fn take(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(rewriter) = &mut self.rewriter else { return Poll::Ready(Ok(())) };
        let piece = ready!(self.text.as_mut().poll_fill_buf(cx))?;
        let piece = &piece[..piece.len().min(PIECE)];
        let amount = piece.len();
        rewriter.write(piece, &mut self.out);
        self.text.as_mut().consume(amount);
        if amount == 0
            && let Some(rewriter) = self.rewriter.take()
        {
            rewriter.end(&mut self.out);
        } else if let Some(left) = &mut self.left {
            *left = left.saturating_sub(amount);
            if *left == 0 {
                self.left = None;
                self.rewriter.iter_mut().for_each(|rewriter| rewriter.stop(&mut self.out));
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncBufRead for Rewriting {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        while this.taken == this.out.len() && this.rewriter.is_some() {
            this.out.clear();
            this.taken = 0;
            ready!(this.take(cx))?;
        }
        Poll::Ready(Ok(&this.out[this.taken..]))
    }

    fn consume(self: Pin<&mut Self>, amount: usize) {
        self.get_mut().taken += amount;
    }
}

impl AsyncRead for Rewriting {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        pack::copy(self.as_mut(), cx, buf)
    }
}
