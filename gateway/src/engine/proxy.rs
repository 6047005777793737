//! One request from a client, from its arrival to the head of its answer.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::header::{CONTENT_LENGTH, EXPECT, HOST, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version, request};
use hyper::body::Incoming;
use remotelab_config::vouch;
use tokio::sync::OwnedSemaphorePermit;

use super::Core;
use super::body::{Activity, Answer, Busy, Source};
use super::exchange::{self, Failure, Reply};
use super::live::Upstream;
use super::pages::{self, Form, Trouble};
use super::upload::{self, Upload};
use super::{pool, upgrade};
use crate::cookie::Scope;
use crate::decision::{Decision, Refusal, decide};
use crate::headers::{self, Forwarding, names};
use crate::host::Host;
use crate::listener::{Listener, Scheme};
use crate::location::Frame;
use crate::request_id::ulid;
use crate::settings::Root;
use crate::websocket;

/// A client connection, as its requests see it.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) core: Arc<Core>,
    /// Index of the listener in the settings.
    pub(crate) listener: usize,
    pub(crate) peer: IpAddr,
    pub(crate) activity: Arc<Activity>,
    /// Its place among the connections that are allowed.
    pub(crate) _place: OwnedSemaphorePermit,
}

/// A request that has its route.
pub(crate) struct Passage {
    pub(crate) core: Arc<Core>,
    pub(crate) upstream: Arc<Upstream>,
    pub(crate) scheme: Scheme,
    /// Reached by prefix, on an origin that others share.
    pub(crate) shared: bool,
    /// The `Host` that the client sent.
    pub(crate) host: Option<HeaderValue>,
    pub(crate) request_id: HeaderValue,
}

impl Client {
    fn listener(&self) -> &Listener {
        &self.core.settings.listeners[self.listener]
    }

    /// Answers one request.
    pub(crate) async fn serve(self: Arc<Self>, request: Request<Incoming>) -> Response<Answer> {
        let busy = Busy::begin(&self.activity);
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        // Milliseconds since 1970 fit into 64 bits for 500 million years.
        let unix_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        let request_id = ulid(unix_ms, rand::random());
        let (head, body) = request.into_parts();
        let response = match self.decide(&head) {
            (Decision::Forward { target, shared, .. }, Some(upstream)) => {
                let passage = Passage {
                    core: Arc::clone(&self.core),
                    upstream,
                    scheme: self.listener().scheme,
                    shared,
                    host: head.headers.get(HOST).cloned(),
                    request_id,
                };
                self.forward(passage, &target, head, body, now).await
            }
            (decision, _) => self.answer(&decision, &head, body, &request_id),
        };
        response.map(|answer| answer.while_busy(busy))
    }

    fn decide(&self, head: &request::Parts) -> (Decision, Option<Arc<Upstream>>) {
        let live = self.core.snapshot.load();
        let decision = decide(
            self.listener(),
            &live.table,
            &head.method,
            &head.uri,
            head.version,
            &head.headers,
        );
        let upstream = match &decision {
            Decision::Forward { route, .. } => Some(Arc::clone(&live.upstreams[*route])),
            _ => None,
        };
        (decision, upstream)
    }

    /// Answers what needs no instance.
    fn answer(
        &self,
        decision: &Decision,
        head: &request::Parts,
        body: Incoming,
        request_id: &HeaderValue,
    ) -> Response<Answer> {
        // What the client still sends is read on for a while when this is dropped.
        let _upload = Upload::new(body, u64::MAX, head.headers.contains_key(EXPECT));
        let form = Form::of(head.uri.path(), &head.headers);
        let refuse = |trouble| pages::trouble(trouble, form, request_id);
        match decision {
            Decision::Root => match self.core.settings.root {
                Root::Off => refuse(Trouble::NOT_FOUND),
                Root::Neutral => pages::root(None),
                Root::Names => pages::root(Some(&self.core.snapshot.load().table)),
            },
            Decision::Redirect(location) => pages::redirect(location),
            Decision::Options => pages::empty(StatusCode::NO_CONTENT),
            Decision::Refuse(refusal) => refuse(match refusal {
                Refusal::BadRequest => Trouble::BAD_REQUEST,
                Refusal::NotFound => Trouble::NOT_FOUND,
                Refusal::MethodNotAllowed => Trouble::METHOD,
                Refusal::TargetTooLong => Trouble::TARGET_TOO_LONG,
                Refusal::Misdirected => Trouble::MISDIRECTED,
            }),
            Decision::Forward { .. } => refuse(Trouble::NOT_FOUND),
        }
    }

    async fn forward(
        self: &Arc<Self>,
        passage: Passage,
        target: &str,
        mut head: request::Parts,
        body: Incoming,
        now: Duration,
    ) -> Response<Answer> {
        let form = Form::of(head.uri.path(), &head.headers);
        let limit = self.core.settings.limits.body;
        let upload = Upload::new(body, limit, head.headers.contains_key(EXPECT));
        let outcome = match self.prepare(&passage, target, &mut head, &upload, now) {
            Err(trouble) => Err(trouble),
            Ok(Some(handshake)) => upgrade::pass(&passage, self, head, handshake).await,
            Ok(None) => passage
                .send(Request::from_parts(head, upload))
                .await
                .map(|response| {
                    passage.map_response(response.map(|reply| Answer::new(Source::Instance(reply))))
                }),
        };
        outcome.unwrap_or_else(|trouble| pages::trouble(trouble, form, &passage.request_id))
    }

    /// Turns the client's head into the one for the instance. Returns what is needed to join a WebSocket,
    /// if one was asked for.
    fn prepare(
        &self,
        passage: &Passage,
        target: &str,
        head: &mut request::Parts,
        upload: &Upload,
        now: Duration,
    ) -> Result<Option<upgrade::Handshake>, Trouble> {
        let listener = self.listener();
        let chunked = is_chunked(&head.headers)?;
        if is_longer(&head.headers, self.core.settings.limits.body) {
            return Err(Trouble::TOO_LARGE);
        }
        let handshake = upgrade::Handshake::of(head, upload);
        let host = passage.host.as_ref().and_then(|host| host.to_str().ok());
        if handshake.is_some() && !websocket::is_same_origin(&head.headers, host, &listener.hosts) {
            return Err(Trouble::ORIGIN);
        }
        let client = listener.client(self.peer, &head.headers).to_string();
        headers::clean_request(&mut head.headers, listener);
        if passage.shared {
            let route = &passage.upstream.route;
            let legacy =
                self.core.settings.legacy_owner_cookies && route.cookie_prefix == "owner__";
            headers::map_request_cookies(&mut head.headers, &route.cookie_prefix, legacy);
        }
        let facts = passage.forwarding(&head.method, target, &client, now);
        headers::forward(&mut head.headers, facts);
        if chunked && !http_body::Body::is_end_stream(upload) {
            head.headers
                .insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        if let Some(handshake) = &handshake {
            handshake.restore(&mut head.headers);
        }
        head.uri = target.parse::<Uri>().map_err(|_| Trouble::BAD_REQUEST)?;
        head.version = Version::HTTP_11;
        Ok(handshake)
    }
}

impl Passage {
    fn forwarding(&self, method: &Method, target: &str, client: &str, now: Duration) -> Forwarding {
        let host = self
            .host
            .as_ref()
            .and_then(|host| host.to_str().ok())
            .unwrap_or_default();
        let proto = self.scheme.as_str();
        let port = Host::parse(host).and_then(|host| host.port);
        let signature = self.upstream.secret.as_ref().and_then(|secret| {
            let facts = vouch::Facts {
                method: method.as_str(),
                target,
                prefix: if self.shared {
                    &self.upstream.route.prefix
                } else {
                    ""
                },
                client,
                proto,
                host,
            };
            let seconds = i64::try_from(now.as_secs()).ok()?;
            HeaderValue::try_from(vouch::sign(secret, seconds, &facts)).ok()
        });
        Forwarding {
            client: HeaderValue::try_from(client).expect("an address is a header value"),
            proto: HeaderValue::from_static(proto),
            host: self.host.clone(),
            port: match (port, self.scheme) {
                (Some(port), _) => HeaderValue::from(port),
                (None, Scheme::Http) => HeaderValue::from_static("80"),
                (None, Scheme::Https) => HeaderValue::from_static("443"),
            },
            prefix: self.shared.then(|| self.upstream.prefix.clone()),
            request_id: self.request_id.clone(),
            signature,
        }
    }

    /// Sends a request on a kept connection or a new one; once more when a kept one turns out dead and
    /// the instance cannot have acted on the request.
    async fn send(&self, mut request: Request<Upload>) -> Result<Response<Reply>, Trouble> {
        let timeouts = &self.core.settings.timeouts;
        let pool = &self.upstream.pool;
        if let Some(link) = pool.take() {
            let copy = repeatable(&request);
            match exchange::send(link, Arc::clone(pool), request, timeouts).await {
                Ok(response) => return Ok(response),
                Err(Failure::Unsent(unsent)) => request = *unsent,
                Err(failure @ Failure::Broken(_)) => {
                    request = copy.ok_or_else(|| self.trouble(failure))?;
                }
                Err(failure) => return Err(self.trouble(failure)),
            }
        }
        let link = pool
            .connect(timeouts.connect)
            .await
            .map_err(|error| self.no_connection(&error))?;
        exchange::send(link, Arc::clone(pool), request, timeouts)
            .await
            .map_err(|failure| self.trouble(failure))
    }

    /// Maps the head of an answer to the outside.
    pub(crate) fn map_response(&self, mut response: Response<Answer>) -> Response<Answer> {
        let route = &self.upstream.route;
        let frame = Frame {
            prefix: if self.shared { &route.prefix } else { "" },
            native: false,
            upstream: &self.upstream.authority,
            outside: self.host.as_ref().and_then(|host| host.to_str().ok()),
        };
        let scope = self.shared.then_some(Scope {
            name_prefix: &route.cookie_prefix,
            path: &route.prefix,
            secure: self.scheme == Scheme::Https,
        });
        *response.version_mut() = Version::HTTP_11;
        headers::map_response(response.headers_mut(), frame, scope);
        response
            .headers_mut()
            .insert(names::X_REQUEST_ID, self.request_id.clone());
        response
    }

    pub(crate) fn no_connection(&self, error: &pool::Error) -> Trouble {
        tracing::debug!(instance = %self.upstream.route.name, error = error as &dyn std::error::Error, "no connection");
        match error {
            pool::Error::TimedOut => Trouble::TIMED_OUT,
            _ => Trouble::UNREACHABLE,
        }
    }

    fn trouble(&self, failure: Failure) -> Trouble {
        let (trouble, error) = match failure {
            Failure::InstanceTimedOut => (Trouble::TIMED_OUT, None),
            Failure::ClientTimedOut => (Trouble::CLIENT_TIMED_OUT, None),
            Failure::Unsent(_) => (Trouble::UNREACHABLE, None),
            Failure::Broken(error) => match upload_error(&error) {
                Some(upload::Error::TooLong) => (Trouble::TOO_LARGE, None),
                Some(upload::Error::Client(_)) => (Trouble::BAD_REQUEST, None),
                None => (Trouble::BROKEN, Some(error)),
            },
        };
        let error = error.as_ref().map(|error| error as &dyn std::error::Error);
        tracing::debug!(instance = %self.upstream.route.name, code = trouble.code, error, "no answer");
        trouble
    }
}

/// A copy to send again: only of a request that may be repeated and has no body (RFC 9110 §9.2.2).
fn repeatable(request: &Request<Upload>) -> Option<Request<Upload>> {
    let idempotent = request.method().is_idempotent();
    (idempotent && request.body().progress().is_none()).then(|| {
        let mut copy = Request::new(Upload::empty());
        *copy.method_mut() = request.method().clone();
        *copy.uri_mut() = request.uri().clone();
        *copy.headers_mut() = request.headers().clone();
        copy
    })
}

/// Only the plain chunked coding has a meaning that nobody can see differently.
fn is_chunked(headers: &HeaderMap) -> Result<bool, Trouble> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => Ok(false),
        (Some(coding), None) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => Ok(true),
        _ => Err(Trouble::BAD_REQUEST),
    }
}

fn is_longer(headers: &HeaderMap, limit: u64) -> bool {
    headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok())
        .is_some_and(|length| length > limit)
}

/// What the client did wrong, if it was the client.
fn upload_error(error: &hyper::Error) -> Option<&upload::Error> {
    std::error::Error::source(error)?.downcast_ref()
}
