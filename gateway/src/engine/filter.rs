//! Answers whose bodies leave otherwise than they came: with other addresses in them, or packed.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::header::{AUTHORIZATION, CONTENT_ENCODING, COOKIE, HeaderMap, HeaderValue, IF_NONE_MATCH, VARY};
use http::{Method, Response, StatusCode, Uri};
use http_body::Frame;
use tokio::io::AsyncRead;
use tokio_util::io::poll_read_buf;

use super::body::{self, Answer, Source};
use super::exchange::Reply;
use super::foreign::Rewriting;
use super::pack::{self, Raw, Reader};
use crate::compression::{self, Coding, Compression};
use crate::etag::{self, Mark};
use crate::foreign::{self, Rewriter};
use crate::headers;

/// Handed on at a time.
const PIECE: usize = 16 * 1024;

/// What a request tells of how its answer may leave.
#[derive(Debug)]
pub(crate) struct Wish {
    method: Method,
    accepted: Option<Coding>,
    /// It tells who asks.
    personal: bool,
    /// What was done to the answer that the client has.
    has: Option<Mark>,
    /// The answer's addresses lack a prefix.
    foreign: bool,
    /// It asks for what stands at the prefix itself.
    root: bool,
}

impl Wish {
    /// Reads it from the head that goes to the instance, and asks the instance by the tags that it gave.
    pub(crate) fn take(headers: &mut HeaderMap, method: &Method, target: &Uri, foreign: bool) -> Self {
        let unmarked = headers.get(IF_NONE_MATCH).and_then(etag::unmark);
        let has = unmarked.map(|(tags, mark)| {
            headers.insert(IF_NONE_MATCH, tags);
            mark
        });
        Self {
            method: method.clone(),
            accepted: compression::accepted(headers),
            personal: headers.contains_key(COOKIE) || headers.contains_key(AUTHORIZATION),
            has,
            foreign,
            root: *target == "/",
        }
    }

    /// Lets an answer leave as it is to; `prefix` leads to whoever gave it.
    pub(crate) fn apply(
        self,
        response: Response<Reply>,
        compression: Compression,
        prefix: &str,
    ) -> Response<Answer> {
        let (mut head, reply) = response.into_parts();
        if head.status == StatusCode::NOT_MODIFIED
            && let Some(mark) = self.has
        {
            headers::mark_tag(&mut head.headers, mark);
        }
        let plan = if self.foreign { foreign::plan(&self.method, head.status, &head.headers) } else { None };
        let worth = self.method != Method::HEAD
            && compression::is_wanted(compression, self.personal, head.status, &head.headers);
        if worth {
            vary(&mut head.headers);
        }
        let new = self.accepted.filter(|_| worth);
        if plan.is_none() && new.is_none() {
            return Response::from_parts(head, Answer::new(Source::Instance(reply)));
        }
        if let Some(coding) = new {
            head.headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding.as_str()));
        }
        headers::change_body(&mut head.headers, plan.map_or(Mark::Packed, |_| Mark::Rewritten));
        let raw = Raw::new(reply);
        let body = match plan {
            None => pack::packed(Box::pin(raw), new),
            Some(plan) => {
                let rewriter = Rewriter::new(plan.text, prefix, self.root);
                let plain = pack::unpacked(raw, plan.coding);
                let rewriting = Rewriting::new(plain, rewriter, plan.bounded);
                pack::packed(Box::pin(rewriting), plan.coding.or(new))
            }
        };
        let filtered = Filtered { reader: body, buffer: BytesMut::new() };
        Response::from_parts(head, Answer::new(Source::Filtered(Box::new(filtered))))
    }
}

/// The same address has other bodies for other clients.
fn vary(headers: &mut HeaderMap) {
    if !compression::lists(headers, &VARY, "accept-encoding") && !compression::lists(headers, &VARY, "*") {
        headers.append(VARY, HeaderValue::from_static("Accept-Encoding"));
    }
}

/// A body on its way through.
pub(crate) struct Filtered {
    reader: Reader,
    buffer: BytesMut,
}

impl std::fmt::Debug for Filtered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Filtered").finish_non_exhaustive()
    }
}

impl Filtered {
    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, body::Error>>> {
        self.buffer.reserve(PIECE);
        let reader: Pin<&mut dyn AsyncRead> = self.reader.as_mut();
        Poll::Ready(match ready!(poll_read_buf(reader, cx, &mut self.buffer)) {
            Ok(0) => None,
            Ok(_) => Some(Ok(Frame::data(self.buffer.split().freeze()))),
            Err(error) => Some(Err(body::Error::Filter(error))),
        })
    }
}
