//! Server-sent events, with the places at which a test may hold them.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use serde_json::Value;

use super::gates::Gates;

/// One thing to do while a turn is streamed.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Frame {
    /// Send an event; its name is the `type` of its data in the APIs that name events.
    Event(Value),
    /// Wait at a gate.
    Hold(String),
}

impl Frame {
    fn bytes(data: &Value) -> Bytes {
        match data["type"].as_str() {
            Some(name) => Bytes::from(format!("event: {name}\ndata: {data}\n\n")),
            None => Bytes::from(format!("data: {data}\n\n")),
        }
    }
}

/// Streams the frames, each as soon as the gates before it let it pass.
pub(super) fn respond(frames: Vec<Frame>, gates: Arc<Gates>) -> Response {
    let body = stream::unfold((frames.into_iter(), gates), |(mut frames, gates)| async move {
        loop {
            match frames.next()? {
                Frame::Event(data) => {
                    let bytes = Ok::<_, std::convert::Infallible>(Frame::bytes(&data));
                    return Some((bytes, (frames, gates)));
                }
                Frame::Hold(gate) => gates.pass(&gate).await,
            }
        }
    });
    let headers = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-cache")];
    (headers, Body::from_stream(body)).into_response()
}
