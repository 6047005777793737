//! Events in one JSON answer, of which only a piece is in memory at a time: a session's history may be longer
//! than that. They never change, so that they can be read twice: for the answer's tag, then for its body.

use std::ops::RangeInclusive;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use remotelab_protocol::Event;
use remotelab_store::history::{Bodies, History};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::conditional;
use crate::app::blocking;

/// How long a piece is, in bytes. One event more than that is the most.
const PIECE: usize = 64 << 10;

/// The pieces of an answer: an object with the list `events` behind its other fields.
#[derive(Clone, Debug)]
pub(super) struct Pieces {
    /// What stands in front of the first event, then nothing.
    head: Vec<u8>,
    history: History,
    range: RangeInclusive<u64>,
    shown: fn(Event) -> Option<Event>,
    count: usize,
    ended: bool,
}

impl Pieces {
    /// `frame` is the object without its list; `shown` makes of an event what is told of it, if anything.
    pub(super) fn new(
        frame: &Value,
        history: History,
        range: RangeInclusive<u64>,
        shown: fn(Event) -> Option<Event>,
    ) -> Self {
        let frame = frame.to_string();
        let head = format!("{},\"events\":[", frame.strip_suffix('}').unwrap_or(&frame)).into_bytes();
        Self { head, history, range, shown, count: 0, ended: false }
    }

    /// Answers with them, or with 304 when the caller has just them; tells how many events there are.
    pub(super) async fn answer(self, request: &HeaderMap) -> (Response, usize) {
        let mut first = self.clone();
        let (hash, length, count) = blocking(move || {
            let (mut hash, mut length) = (Sha256::new(), 0_u64);
            for piece in &mut first {
                hash.update(&piece);
                length += piece.len() as u64;
            }
            (hash, length, first.count)
        })
        .await;
        let tag = conditional::tag_of(hash);
        let mut response = conditional::long_json(request, &tag, || self.body());
        if response.status().is_success() {
            response.headers_mut().insert(CONTENT_LENGTH, length.into());
        }
        (response, count)
    }

    fn body(self) -> Body {
        Body::from_stream(stream::unfold(self, |mut pieces| async {
            let (piece, rest) = blocking(move || (pieces.next(), pieces)).await;
            Some((Ok::<_, std::convert::Infallible>(Bytes::from(piece?)), rest))
        }))
    }
}

impl Iterator for Pieces {
    type Item = Vec<u8>;

    /// Reads the next piece. Blocks.
    fn next(&mut self) -> Option<Vec<u8>> {
        if self.ended {
            return None;
        }
        let mut bytes = std::mem::take(&mut self.head);
        while bytes.len() < PIECE {
            let event = self.range.next().and_then(|seq| self.history.read(seq..=seq, Bodies::Whole).pop());
            let Some(event) = event else {
                self.ended = true;
                bytes.extend_from_slice(b"]}");
                break;
            };
            let Some(event) = (self.shown)(event) else {
                continue;
            };
            if self.count > 0 {
                bytes.push(b',');
            }
            self.count += 1;
            serde_json::to_writer(&mut bytes, &event).expect("events have string keys and finite numbers");
        }
        Some(bytes)
    }
}
