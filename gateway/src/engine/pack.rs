//! Bodies packed and unpacked in pieces. What an instance has said so far is handed on when it pauses.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use async_compression::Level;
use async_compression::brotli::EncoderParams;
use async_compression::tokio::bufread::{
    BrotliDecoder, BrotliEncoder, GzipDecoder, GzipEncoder, ZstdDecoder, ZstdEncoder,
};
use async_compression::zstd::{CParameter, DParameter};
use bytes::{Buf, Bytes};
use http_body::Body;
use tokio::io::{AsyncBufRead, AsyncRead, BufReader, ReadBuf};

use super::exchange::Reply;
use crate::compression::Coding;

/// How far back a packed body may refer, as a power of two: what it costs in memory.
const WINDOW: u32 = 17;
/// The same for what others packed; browsers take no more.
const MAX_WINDOW: u32 = 23;

pub(crate) type Reader = Pin<Box<dyn AsyncRead + Send>>;
pub(crate) type BufferedReader = Pin<Box<dyn AsyncBufRead + Send>>;

pub(crate) fn unpacked(raw: Raw, coding: Option<Coding>) -> BufferedReader {
    match coding {
        None => Box::pin(raw),
        Some(Coding::Gzip) => {
            let mut decoder = GzipDecoder::new(raw);
            decoder.multiple_members(true);
            Box::pin(BufReader::new(decoder))
        }
        Some(Coding::Brotli) => Box::pin(BufReader::new(BrotliDecoder::new(raw))),
        Some(Coding::Zstd) => {
            let mut decoder = ZstdDecoder::with_params(raw, &[DParameter::window_log_max(MAX_WINDOW)]);
            decoder.multiple_members(true);
            Box::pin(BufReader::new(decoder))
        }
    }
}

/// Packs fast rather than well.
pub(crate) fn packed(plain: BufferedReader, coding: Option<Coding>) -> Reader {
    match coding {
        None => Box::pin(plain),
        Some(Coding::Gzip) => Box::pin(GzipEncoder::with_quality(plain, Level::Precise(5))),
        Some(Coding::Brotli) => {
            let window = i32::try_from(WINDOW).expect("a small number");
            let params = EncoderParams::default().quality(Level::Precise(4)).window_size(window);
            Box::pin(BrotliEncoder::with_params(plain, params))
        }
        Some(Coding::Zstd) => {
            let params = [CParameter::window_log(WINDOW)];
            Box::pin(ZstdEncoder::with_quality_and_params(plain, Level::Precise(3), &params))
        }
    }
}

/// The bytes of an answer.
pub(crate) struct Raw {
    reply: Reply,
    piece: Bytes,
}

impl Raw {
    pub(crate) fn new(reply: Reply) -> Self {
        Self { reply, piece: Bytes::new() }
    }
}

impl AsyncBufRead for Raw {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        while this.piece.is_empty() {
            match ready!(Pin::new(&mut this.reply).poll_frame(cx)) {
                None => break,
                // What comes after the body is of no use to a changed one.
                Some(Ok(frame)) => this.piece = frame.into_data().unwrap_or_default(),
                Some(Err(error)) => return Poll::Ready(Err(io::Error::other(error))),
            }
        }
        Poll::Ready(Ok(&this.piece))
    }

    fn consume(self: Pin<&mut Self>, amount: usize) {
        self.get_mut().piece.advance(amount);
    }
}

impl AsyncRead for Raw {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        copy(self.as_mut(), cx, buf)
    }
}

/// Reads from what is buffered.
pub(crate) fn copy<R: AsyncBufRead>(
    mut reader: Pin<&mut R>,
    cx: &mut Context<'_>,
    buf: &mut ReadBuf<'_>,
) -> Poll<io::Result<()>> {
    let piece = ready!(reader.as_mut().poll_fill_buf(cx))?;
    let amount = piece.len().min(buf.remaining());
    buf.put_slice(&piece[..amount]);
    reader.consume(amount);
    Poll::Ready(Ok(()))
}
