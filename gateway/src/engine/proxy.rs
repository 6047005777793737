//! One request from a client: who answers it, and how.

use std::net::IpAddr;
use std::pin::pin;
use std::sync::{Arc, OnceLock};

use http::header::{CONNECTION, EXPECT, HOST};
use http::{HeaderValue, Method, Request, Response, StatusCode, request};
use hyper::body::Incoming;
use tokio::sync::OwnedSemaphorePermit;

use super::Core;
use super::activity::Activity;
use super::body::Answer;
use super::counts::Counted;
use super::live::Upstream;
use super::metrics::Metrics;
use super::pages::{self, Form, Trouble};
use super::passage::Passage;
use super::standing::Seat;
use super::survive::survive;
use super::upload::Upload;
use super::visit::Visit;
use crate::decision::{Decision, Own, decide};
use crate::listener::Listener;
use crate::settings::Root;

/// A client connection, as its requests see it.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) core: Arc<Core>,
    /// Index of the listener in the settings.
    pub(crate) listener: usize,
    pub(crate) peer: Peer,
    pub(crate) activity: Arc<Activity>,
    /// Its place among the connections that are allowed.
    pub(crate) _place: OwnedSemaphorePermit,
    /// Its place among those of the client.
    pub(crate) _counted: Option<Counted>,
    /// Its place among those of the tenant that it asked first.
    pub(crate) seat: OnceLock<Seat>,
}

/// The other end of a connection.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) ip: IpAddr,
    text: HeaderValue,
}

/// Where a request goes.
enum Way {
    Instance { upstream: Arc<Upstream>, target: String, shared: bool },
    Nowhere(Own),
}

impl Peer {
    pub(crate) fn new(ip: IpAddr) -> Self {
        Self { ip, text: text_of(ip) }
    }

    /// Writes out a client's address, which mostly is the peer's.
    pub(crate) fn text_of(&self, client: IpAddr) -> HeaderValue {
        if client == self.ip { self.text.clone() } else { text_of(client) }
    }
}

fn text_of(ip: IpAddr) -> HeaderValue {
    HeaderValue::try_from(ip.to_string()).expect("an address is a header value")
}

impl Client {
    pub(crate) fn listener(&self) -> &Listener {
        &self.core.settings.listeners[self.listener]
    }

    /// Answers one request, whatever happens.
    pub(crate) async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Response<Answer> {
        let (head, body) = request.into_parts();
        let visit = Visit::begin(&self, &head);
        let (form, request_id) = (visit.form, visit.request_id.clone());
        let core = Arc::clone(&self.core);
        let mut serving = pin!(self.serve(visit, head, body));
        let served = survive(serving.as_mut()).await;
        served.unwrap_or_else(|| defect(&core.metrics, form, &request_id))
    }

    async fn serve(
        self: Arc<Self>,
        mut visit: Box<Visit>,
        head: request::Parts,
        body: Incoming,
    ) -> Response<Answer> {
        if let Err(trouble) = self.core.limits.ask(&visit, &self.core.settings.limits) {
            return refuse(trouble, &head, body, visit);
        }
        match self.way(&head) {
            Way::Instance { upstream, target, shared } => {
                if let Err(trouble) = self.admit(&mut visit, &upstream, &head.method, &target).await {
                    return refuse(trouble, &head, body, visit);
                }
                let host = head.headers.get(HOST).cloned();
                let passage = Passage { client: self, upstream, shared, host, visit };
                passage.forward(target, head, body).await
            }
            Way::Nowhere(own) => {
                let response = self.own(&own, &head, body, &visit);
                visit.with(response)
            }
        }
    }

    async fn admit(
        &self,
        visit: &mut Visit,
        upstream: &Arc<Upstream>,
        method: &Method,
        target: &str,
    ) -> Result<(), Trouble> {
        let limits = &self.core.limits;
        if self.seat.get().is_none() {
            // Requests of one connection come one after the other, so nobody was faster.
            let seat = limits.seat(upstream).inspect_err(|_| visit.closes = true)?;
            let _ = self.seat.set(seat);
        }
        limits.admit(visit, upstream, method, target, self.core.settings.limits.logins).await
    }

    fn way(&self, head: &request::Parts) -> Way {
        let live = self.core.snapshot.load();
        let (method, uri) = (&head.method, &head.uri);
        match decide(self.listener(), &live.table, method, uri, head.version, &head.headers) {
            Decision::Forward { route, target, shared } => {
                let upstream = Arc::clone(&live.upstreams[route]);
                Way::Instance { upstream, target, shared }
            }
            Decision::Answer(own) => Way::Nowhere(own),
        }
    }

    fn own(&self, own: &Own, head: &request::Parts, body: Incoming, visit: &Visit) -> Response<Answer> {
        let _upload = unread(head, body);
        let refuse = |trouble| pages::trouble(trouble, visit.form, &visit.request_id);
        match own {
            Own::Root => match self.core.settings.root {
                Root::Off => refuse(Trouble::NOT_FOUND),
                Root::Neutral => pages::root(None),
                Root::Names => pages::root(Some(&self.core.snapshot.load().table)),
            },
            Own::Redirect(location) => pages::redirect(StatusCode::PERMANENT_REDIRECT, location),
            Own::Home(location) => pages::redirect(StatusCode::FOUND, location),
            Own::Options => pages::empty(StatusCode::NO_CONTENT),
            Own::Refuse(refusal) => refuse(Trouble::of(*refusal)),
        }
    }
}

/// Answers a request that nobody else looks at.
fn refuse(trouble: Trouble, head: &request::Parts, body: Incoming, visit: Box<Visit>) -> Response<Answer> {
    let _upload = unread(head, body);
    let mut response = pages::trouble(trouble, visit.form, &visit.request_id);
    if visit.closes {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    visit.with(response)
}

/// What the client still sends is read on for a while when this is dropped.
fn unread(head: &request::Parts, body: Incoming) -> Upload {
    Upload::new(body, u64::MAX, head.headers.contains_key(EXPECT))
}

/// Answers for a request that ran into a defect. Nobody knows in which state its connection is.
fn defect(metrics: &Metrics, form: Form, request_id: &HeaderValue) -> Response<Answer> {
    metrics.panics.add(1);
    let mut response = pages::trouble(Trouble::DEFECT, form, request_id);
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_defect_is_counted_and_answered_and_the_connection_is_closed() {
        let metrics = Metrics::default();
        let response = defect(&metrics, Form::Json, &HeaderValue::from_static("id"));
        assert_eq!((response.status(), metrics.panics.get()), (StatusCode::INTERNAL_SERVER_ERROR, 1));
        assert_eq!(response.headers()[CONNECTION], "close");
    }
}
