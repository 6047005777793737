//! One request from a client: who answers it, and how.

use std::net::IpAddr;
use std::sync::Arc;

use http::header::{EXPECT, HOST};
use http::{HeaderValue, Request, Response, StatusCode, request};
use hyper::body::Incoming;
use tokio::sync::OwnedSemaphorePermit;

use super::Core;
use super::activity::Activity;
use super::body::Answer;
use super::live::Upstream;
use super::pages::{self, Form, Trouble};
use super::passage::Passage;
use super::upload::Upload;
use super::visit::Visit;
use crate::decision::{Decision, Own, Refusal, decide};
use crate::listener::Listener;
use crate::settings::Root;

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

/// Where a request goes.
enum Way {
    Instance { upstream: Arc<Upstream>, target: String, shared: bool },
    Nowhere(Own),
}

impl Client {
    pub(crate) fn listener(&self) -> &Listener {
        &self.core.settings.listeners[self.listener]
    }

    /// Answers one request.
    pub(crate) async fn serve(self: Arc<Self>, request: Request<Incoming>) -> Response<Answer> {
        let (head, body) = request.into_parts();
        let visit = Visit::begin(&self, &head.headers);
        match self.way(&head) {
            Way::Instance { upstream, target, shared } => {
                let host = head.headers.get(HOST).cloned();
                let passage = Passage { client: self, upstream, shared, host, visit };
                passage.forward(&target, head, body).await
            }
            Way::Nowhere(own) => {
                let response = self.answer(&own, &head, body, &visit.request_id);
                response.map(|answer| answer.ending(visit))
            }
        }
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

    fn answer(
        &self,
        own: &Own,
        head: &request::Parts,
        body: Incoming,
        request_id: &HeaderValue,
    ) -> Response<Answer> {
        // What the client still sends is read on for a while when this is dropped.
        let _upload = Upload::new(body, u64::MAX, head.headers.contains_key(EXPECT));
        let form = Form::of(head.uri.path(), &head.headers);
        let refuse = |trouble| pages::trouble(trouble, form, request_id);
        match own {
            Own::Root => match self.core.settings.root {
                Root::Off => refuse(Trouble::NOT_FOUND),
                Root::Neutral => pages::root(None),
                Root::Names => pages::root(Some(&self.core.snapshot.load().table)),
            },
            Own::Redirect(location) => pages::redirect(location),
            Own::Options => pages::empty(StatusCode::NO_CONTENT),
            Own::Refuse(refusal) => refuse(match refusal {
                Refusal::BadRequest => Trouble::BAD_REQUEST,
                Refusal::NotFound => Trouble::NOT_FOUND,
                Refusal::MethodNotAllowed => Trouble::METHOD,
                Refusal::TargetTooLong => Trouble::TARGET_TOO_LONG,
                Refusal::Misdirected => Trouble::MISDIRECTED,
            }),
        }
    }
}
