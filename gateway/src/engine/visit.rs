//! One request, from its head to the end of its answer.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use http::{HeaderValue, Response, StatusCode, request};

use super::activity::Busy;
use super::body::Answer;
use super::ledger::{End, Entry, Facts, Told};
use super::limits::{Attempt, Socket};
use super::live::Upstream;
use super::metrics::Ended;
use super::pages::Form;
use super::proxy::Client;
use super::upload::Progress;
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
    /// The same, written out.
    pub(crate) client_text: HeaderValue,
    /// When it came, since 1970.
    pub(crate) now: Duration,
    pub(crate) began: Instant,
    /// Whom it is for, once that is known.
    pub(crate) upstream: Option<Arc<Upstream>>,
    /// Among the requests that its tenant works on.
    pub(crate) in_work: bool,
    /// It tries to sign in.
    pub(crate) attempt: Option<Attempt>,
    /// It is a WebSocket.
    pub(crate) socket: Option<Socket>,
    /// Its answer tells the browser where it was.
    pub(crate) notes_prefix: bool,
    /// Its connection is one too many.
    pub(crate) closes: bool,
    /// How far its body is, if it has one.
    pub(crate) received: Option<Arc<Progress>>,
    /// Of a socket.
    bytes_in: u64,
    pub(crate) bytes_out: u64,
    /// How long the instance took for its head.
    pub(crate) upstream_time: Option<Duration>,
    /// The connection to the instance was there already.
    pub(crate) reused: bool,
    pub(crate) end: End,
    status: Option<StatusCode>,
    until_head: Option<Duration>,
    entry: Option<Entry>,
    connection: Arc<Client>,
    _busy: Busy,
}

impl Visit {
    /// It is handed on many times, so it stays in one place.
    pub(crate) fn begin(connection: &Arc<Client>, head: &request::Parts) -> Box<Self> {
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        // Milliseconds since 1970 fit into 64 bits for 500 million years.
        let unix_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        let request_id = ulid(unix_ms, rand::random());
        let listener = connection.listener();
        let client = listener.client(connection.peer.ip, &head.headers);
        let client_text = connection.peer.text_of(client);
        let is_wanted = connection.core.ledger.is_wanted();
        let entry = is_wanted.then(|| Entry::begin(now, &request_id, &listener.name, &client_text, head));
        Box::new(Self {
            request_id,
            form: Form::of(head.uri.path(), &head.headers),
            client,
            client_text,
            now,
            began: Instant::now(),
            upstream: None,
            in_work: false,
            attempt: None,
            socket: None,
            notes_prefix: false,
            closes: false,
            received: None,
            bytes_in: 0,
            bytes_out: 0,
            upstream_time: None,
            reused: false,
            end: End::default(),
            status: None,
            until_head: None,
            entry,
            connection: Arc::clone(connection),
            _busy: Busy::begin(&connection.activity),
        })
    }

    /// Notes the head of the answer.
    pub(crate) fn answered(&mut self, status: StatusCode) {
        self.connection.activity.hints.end();
        self.status = Some(status);
        self.until_head = Some(self.began.elapsed());
    }

    /// Lets it end with its answer.
    pub(crate) fn with(mut self: Box<Self>, response: Response<Answer>) -> Response<Answer> {
        self.answered(response.status());
        response.map(|answer| answer.ending(self))
    }

    /// Notes what a socket moved.
    pub(crate) fn moved(&mut self, bytes_in: u64, bytes_out: u64) {
        self.bytes_in += bytes_in;
        self.bytes_out += bytes_out;
    }

    /// Leaves its tenant's work.
    pub(crate) fn leave(&mut self) {
        if std::mem::take(&mut self.in_work)
            && let Some(upstream) = &self.upstream
        {
            upstream.standing.requests.leave();
        }
    }

    fn count(&mut self) {
        self.bytes_in += self.received.as_ref().map_or(0, |progress| progress.bytes());
        let traffic = self.upstream.as_ref().map(|upstream| &upstream.standing.traffic);
        let ended = Ended {
            status: self.status,
            bytes_in: self.bytes_in,
            bytes_out: self.bytes_out,
            until_head: self.until_head,
            upstream: self.upstream_time,
        };
        self.connection.core.metrics.count(traffic, ended);
    }

    fn log(&mut self) {
        let Some(entry) = self.entry.take() else { return };
        let route = self.upstream.as_ref().map(|upstream| &upstream.route);
        let facts = Facts {
            tenant: route.map(|route| (route.name.as_str(), route.id.as_str())),
            status: self.status,
            bytes_in: self.bytes_in,
            bytes_out: self.bytes_out,
            until_head: self.until_head,
            total: self.began.elapsed(),
            upstream: self.upstream_time,
            reused: self.reused,
            end: self.end,
        };
        let is_fine = |status: StatusCode| !status.is_client_error() && !status.is_server_error();
        let told = Told {
            tenant: facts.tenant.map(|(name, _)| name),
            is_logged: route.is_none_or(|route| route.policy.logged),
            went_well: self.end == End::Whole && self.status.is_some_and(is_fine),
            chance: self.now.subsec_nanos(),
        };
        self.connection.core.ledger.take(&entry.finish(&facts), told);
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.end = End::Defect;
        }
        self.leave();
        self.count();
        self.log();
    }
}
