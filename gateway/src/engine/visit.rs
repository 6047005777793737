//! One request, from its head to the end of its answer.

use std::net::IpAddr;
use std::time::{Duration, Instant, SystemTime};

use http::{HeaderValue, request};

use super::activity::Busy;
use super::limits::{Attempt, Socket};
use super::pages::Form;
use super::proxy::Client;
use super::standing::Place;
use crate::request_id::ulid;

/// What is known of a request beside its head, computed once. It ends when it is dropped: with the body of
/// its answer, or with the socket that it became.
#[derive(Debug)]
pub(crate) struct Visit {
    pub(crate) request_id: HeaderValue,
    /// How errors are written to whoever asks.
    pub(crate) form: Form,
    /// Who asks, as far as the listener can tell.
    pub(crate) client: IpAddr,
    /// When it came, since 1970.
    pub(crate) now: Duration,
    pub(crate) began: Instant,
    /// Among the requests that its tenant works on.
    pub(crate) place: Option<Place>,
    /// It tries to sign in.
    pub(crate) attempt: Option<Attempt>,
    /// It is a WebSocket.
    pub(crate) socket: Option<Socket>,
    /// Its answer tells the browser where it was.
    pub(crate) notes_prefix: bool,
    /// Its connection is one too many.
    pub(crate) closes: bool,
    _busy: Busy,
}

impl Visit {
    pub(crate) fn begin(client: &Client, head: &request::Parts) -> Self {
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        // Milliseconds since 1970 fit into 64 bits for 500 million years.
        let unix_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        Self {
            request_id: ulid(unix_ms, rand::random()),
            client: client.listener().client(client.peer, &head.headers),
            form: Form::of(head.uri.path(), &head.headers),
            now,
            began: Instant::now(),
            place: None,
            attempt: None,
            socket: None,
            notes_prefix: false,
            closes: false,
            _busy: Busy::begin(&client.activity),
        }
    }
}
