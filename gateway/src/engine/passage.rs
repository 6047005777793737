//! One request on its way to an instance, and its answer on the way back.

use std::sync::Arc;
use std::time::Instant;

use http::header::{ACCEPT, CONTENT_LENGTH, EXPECT, TE, TRAILER, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version, request};
use hyper::body::Incoming;
use remotelab_config::vouch;

use super::body::Answer;
use super::exchange::{self, Failure, Reply};
use super::filter::Wish;
use super::interim::Wanted;
use super::live::Upstream;
use super::pages::{self, Trouble};
use super::proxy::Client;
use super::upgrade::{Handshake, Passed};
use super::upload::{self, Upload};
use super::visit::Visit;
use super::{pool, upgrade};
use crate::cookie::Scope;
use crate::headers::{self, Forwarding, Trailers, names};
use crate::host::Host;
use crate::last_prefix;
use crate::limit::login;
use crate::listener::Scheme;
use crate::location::Frame;
use crate::settings::Settings;

/// A request that has its route.
pub(crate) struct Passage {
    pub(crate) client: Arc<Client>,
    pub(crate) upstream: Arc<Upstream>,
    /// Reached by prefix, on an origin that others share.
    pub(crate) shared: bool,
    /// The `Host` that the client sent.
    pub(crate) host: Option<HeaderValue>,
    pub(crate) visit: Box<Visit>,
}

impl Passage {
    /// Passes a request on and its answer back.
    pub(crate) async fn forward(
        mut self,
        target: String,
        mut head: request::Parts,
        body: Incoming,
    ) -> Response<Answer> {
        let limit = self.upstream.route.policy.limits.body;
        let upload = Upload::new(body, limit, head.headers.contains_key(EXPECT));
        self.visit.received = upload.progress();
        let wanted = upload.wanted();
        let takes_hints = takes_hints(&head);
        let outcome = match self.prepare(target, &mut head, &upload) {
            Err(trouble) => Err(trouble),
            Ok(Some(handshake)) => match Box::pin(self.switch(head, handshake)).await {
                Ok(Passed::Joined(response, ends)) => {
                    upgrade::join(self.client, self.upstream, self.visit, ends);
                    return response;
                }
                Ok(Passed::Refused(response)) => Ok(response),
                Err(trouble) => Err(trouble),
            },
            Ok(None) => {
                let began = Instant::now();
                let foreign = self.shared && self.upstream.route.policy.foreign;
                let wish = Wish::take(&mut head.headers, &head.method, &head.uri, foreign);
                let mut request = Request::from_parts(head, upload);
                if wanted.is_some() || takes_hints {
                    self.listen(&mut request, wanted, takes_hints);
                }
                let sent = self.send(request).await;
                self.visit.upstream_time = Some(began.elapsed());
                self.settle(sent.as_ref().ok());
                sent.map(|response| {
                    let compression = self.settings().compression;
                    self.map_response(wish.apply(response, compression, self.prefix()))
                })
            }
        };
        let response = outcome
            .unwrap_or_else(|trouble| pages::trouble(trouble, self.visit.form, &self.visit.request_id));
        self.visit.with(response)
    }

    async fn switch(&mut self, head: request::Parts, handshake: Handshake) -> Result<Passed, Trouble> {
        let core = &self.client.core;
        self.visit.socket = Some(core.limits.socket(&self.visit, &self.upstream, &core.settings.limits)?);
        upgrade::pass(self, head, handshake).await
    }

    /// Notes what the head of an answer, if there is one, tells about the request.
    fn settle(&mut self, response: Option<&Response<Reply>>) {
        let core = &self.client.core;
        if let Some(attempt) = self.visit.attempt.take() {
            let has_failed =
                response.is_some_and(|answer| login::has_failed(answer.status(), answer.headers()));
            let logins = core.settings.limits.logins;
            core.limits.settle(&self.visit, attempt, &self.upstream, has_failed, logins);
        }
        if response.is_some_and(|answer| exchange::is_event_stream(answer.headers())) {
            // It may last for hours, and works on nothing.
            self.visit.leave();
        }
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.client.core.settings
    }

    fn scheme(&self) -> Scheme {
        self.client.listener().scheme
    }

    /// The prefix that was taken off, or nothing.
    fn prefix(&self) -> &str {
        if self.shared { &self.upstream.route.prefix } else { "" }
    }

    fn host(&self) -> Option<&str> {
        self.host.as_ref()?.to_str().ok()
    }

    /// Turns the client's head into the one for the instance. Returns what is needed to join a WebSocket,
    /// if one was asked for.
    fn prepare(
        &mut self,
        target: String,
        head: &mut request::Parts,
        upload: &Upload,
    ) -> Result<Option<Handshake>, Trouble> {
        let listener = self.client.listener();
        let chunked = is_chunked(&head.headers)?;
        if is_longer(&head.headers, self.upstream.route.policy.limits.body) {
            return Err(Trouble::TOO_LARGE);
        }
        let handshake = Handshake::of(head, upload)?;
        let has_trailers = head.headers.contains_key(TE) || head.headers.contains_key(TRAILER);
        let trailers = has_trailers.then(|| Trailers::of(&head.headers));
        headers::clean_request(&mut head.headers, listener);
        if self.shared {
            let route = &self.upstream.route;
            let legacy = self.settings().legacy_owner_cookies && route.cookie_prefix == "owner__";
            self.visit.notes_prefix =
                listener.last_prefix_redirect && last_prefix::is_news(route, &head.method, &head.headers);
            if headers::map_request_cookies(&mut head.headers, &route.cookie_prefix, legacy) {
                tracing::info!(instance = %route.name, "a login from before prefixes is used");
            }
        }
        let facts = self.forwarding(&head.method, &target);
        headers::forward(&mut head.headers, facts);
        if chunked && !http_body::Body::is_end_stream(upload) {
            head.headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        if upload.wanted().is_some() {
            head.headers.insert(EXPECT, HeaderValue::from_static("100-continue"));
        }
        if let Some(trailers) = trailers.filter(|_| head.version == Version::HTTP_11) {
            trailers.ask(&mut head.headers);
        }
        if let Some(handshake) = &handshake {
            handshake.restore(&mut head.headers);
        }
        head.uri = Uri::try_from(target).map_err(|_| Trouble::BAD_REQUEST)?;
        head.version = Version::HTTP_11;
        Ok(handshake)
    }

    fn forwarding(&self, method: &Method, target: &str) -> Forwarding {
        let client = &self.visit.client_text;
        let host = self.host().unwrap_or_default();
        let proto = self.scheme().as_str();
        let port = Host::parse(host).and_then(|host| host.port);
        // Whoever is told over its own socket knows who tells.
        let signer = self.upstream.signer.as_ref().filter(|_| !self.upstream.pool.origin().is_private());
        let signature = signer.and_then(|signer| {
            let (method, client) = (method.as_str(), client.to_str().ok()?);
            let facts = vouch::Facts { method, target, prefix: self.prefix(), client, proto, host };
            let seconds = i64::try_from(self.visit.now.as_secs()).ok()?;
            HeaderValue::try_from(signer.sign(seconds, &facts)).ok()
        });
        Forwarding {
            client: client.clone(),
            proto: HeaderValue::from_static(proto),
            host: self.host.clone(),
            port: match (port, self.scheme()) {
                (Some(port), _) => HeaderValue::from(port),
                (None, Scheme::Http) => HeaderValue::from_static("80"),
                (None, Scheme::Https) => HeaderValue::from_static("443"),
            },
            prefix: self.shared.then(|| self.upstream.prefix.clone()),
            request_id: self.visit.request_id.clone(),
            signature,
        }
    }

    /// Sends a request on a kept connection or a new one; once more when a kept one turns out dead and
    /// the instance cannot have acted on the request.
    async fn send(&mut self, mut request: Request<Upload>) -> Result<Response<Reply>, Trouble> {
        let timeouts = &self.client.core.settings.timeouts;
        let pool = &self.upstream.pool;
        if let Some(link) = pool.take() {
            let copy = repeatable(&request);
            match exchange::send(link, Arc::clone(pool), request, timeouts).await {
                Ok(response) => {
                    self.visit.reused = true;
                    return Ok(response);
                }
                Err(Failure::Unsent(unsent)) => request = *unsent,
                Err(failure @ Failure::Broken(_)) => {
                    request = copy.ok_or_else(|| self.trouble(failure))?;
                }
                Err(failure) => return Err(self.trouble(failure)),
            }
        }
        let link = pool.connect(timeouts.connect).await.map_err(|error| self.no_connection(&error))?;
        exchange::send(link, Arc::clone(pool), request, timeouts)
            .await
            .map_err(|failure| self.trouble(failure))
    }

    /// Hears what the instance says before its answer: that it wants the body, and early hints.
    fn listen(&self, request: &mut Request<Upload>, wanted: Option<Arc<Wanted>>, takes_hints: bool) {
        let activity = Arc::clone(&self.client.activity);
        let (upstream, host, shared) = (Arc::clone(&self.upstream), self.host.clone(), self.shared);
        hyper::ext::on_informational(request, move |interim| match interim.status() {
            StatusCode::CONTINUE => {
                if let Some(wanted) = &wanted {
                    wanted.say();
                }
            }
            StatusCode::EARLY_HINTS if takes_hints => {
                let mut links = interim.headers().clone();
                headers::map_response(&mut links, frame(&upstream, shared, host.as_ref()), None);
                activity.hints.add(&links);
            }
            _ => {}
        });
    }

    /// Maps the head of an answer to the outside.
    pub(crate) fn map_response(&self, mut response: Response<Answer>) -> Response<Answer> {
        let route = &self.upstream.route;
        let frame = frame(&self.upstream, self.shared, self.host.as_ref());
        let scope = self.shared.then_some(Scope {
            name_prefix: &route.cookie_prefix,
            path: &route.prefix,
            secure: self.scheme() == Scheme::Https,
        });
        *response.version_mut() = Version::HTTP_11;
        if route.policy.foreign {
            response.headers_mut().remove(names::X_REMOTELAB_BASE);
        }
        headers::map_response(response.headers_mut(), frame, scope);
        if self.shared && !route.policy.foreign {
            headers::isolate(response.headers_mut(), self.settings().isolation);
        }
        if self.visit.notes_prefix {
            last_prefix::note(route, self.scheme() == Scheme::Https, response.headers_mut());
        }
        response.headers_mut().insert(names::X_REQUEST_ID, self.visit.request_id.clone());
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

/// Pages have use for early hints, and only HTTP/1.1 knows them among what comes over a plain connection.
fn takes_hints(head: &request::Parts) -> bool {
    let accepts = |value: &HeaderValue| value.to_str().is_ok_and(|accept| accept.contains("text/html"));
    head.version == Version::HTTP_11 && head.headers.get(ACCEPT).is_some_and(accepts)
}

fn frame<'a>(upstream: &'a Upstream, shared: bool, host: Option<&'a HeaderValue>) -> Frame<'a> {
    Frame {
        prefix: if shared { &upstream.route.prefix } else { "" },
        native: false,
        upstream: &upstream.authority,
        outside: host.and_then(|host| host.to_str().ok()),
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
