//! WebSockets: joined only after the instance has proved that it switched protocols.

use std::sync::Arc;
use std::time::Duration;

use http::header::{CONNECTION, UPGRADE};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, request};
use hyper::client::conn::http1;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Core;
use super::body::{Answer, Source};
use super::guarded::Guarded;
use super::join::{self, End, Traffic};
use super::ledger;
use super::live::Upstream;
use super::origin::Socket;
use super::pages::Trouble;
use super::passage::Passage;
use super::pool;
use super::proxy::Client;
use super::standing::Standing;
use super::stream::Stream;
use super::upload::Upload;
use super::visit::Visit;
use crate::websocket;

/// A client's proper wish for a WebSocket.
pub(crate) struct Handshake {
    expected_accept: String,
    client: OnUpgrade,
}

impl Handshake {
    /// Takes the wish out of a request, if it has one.
    pub(crate) fn of(head: &mut request::Parts, upload: &Upload) -> Result<Option<Self>, Trouble> {
        let expected_accept = websocket::expected_accept(&head.method, head.version, &head.headers);
        if expected_accept.is_some() && upload.progress().is_some() {
            // Nobody could tell where the body ends and the socket begins.
            return Err(Trouble::UPGRADE_WITH_BODY);
        }
        Ok(expected_accept.and_then(|expected_accept| {
            let client = head.extensions.remove::<OnUpgrade>()?;
            Some(Self { expected_accept, client })
        }))
    }

    /// Asks the instance for what the client asked for.
    pub(crate) fn restore(&self, headers: &mut HeaderMap) {
        switch(headers);
    }
}

/// What became of a handshake.
pub(crate) enum Passed {
    /// The instance switches: the two ends are to be joined.
    Joined(Response<Answer>, Ends),
    /// It said something else, which is an answer like others.
    Refused(Response<Answer>),
}

/// The two ends of a socket, as soon as HTTP is done with them.
pub(crate) struct Ends {
    client: OnUpgrade,
    instance: OnUpgrade,
}

/// Passes a handshake on and joins the two ends if the instance agrees; any other answer is passed on as
/// it is. The connection is never one that is shared with other requests.
pub(crate) async fn pass(
    passage: &Passage,
    head: request::Parts,
    handshake: Handshake,
) -> Result<Passed, Trouble> {
    let core = &passage.client.core;
    let timeouts = &core.settings.timeouts;
    let socket = passage
        .upstream
        .pool
        .origin()
        .connect(timeouts.connect)
        .await
        .map_err(|error| passage.no_connection(&error))?;
    let (mut sender, connection) = http1::handshake(Stream::new(socket))
        .await
        .map_err(|error| passage.no_connection(&pool::Error::Handshake(error)))?;
    drive(core, connection);
    let request = Request::from_parts(head, Upload::empty());
    let mut response = timeout(timeouts.response_header, sender.send_request(request))
        .await
        .map_err(|_| Trouble::TIMED_OUT)?
        .map_err(|_| Trouble::BROKEN)?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        let response = response.map(|body| Answer::new(Source::Refusal(body)));
        return Ok(Passed::Refused(passage.map_response(response)));
    }
    if !websocket::is_accepted(response.headers(), &handshake.expected_accept) {
        return Err(Trouble::BROKEN);
    }
    let ends = Ends { client: handshake.client, instance: hyper::upgrade::on(&mut response) };
    let mut response = passage.map_response(response.map(|_| Answer::new(Source::Own(None))));
    switch(response.headers_mut());
    Ok(Passed::Joined(response, ends))
}

/// Joins the two ends on their own: the request ends with the socket.
pub(crate) fn join(asker: Arc<Client>, upstream: Arc<Upstream>, mut visit: Box<Visit>, ends: Ends) {
    let core = Arc::clone(&asker.core);
    // From now on it counts as a socket.
    visit.leave();
    visit.answered(StatusCode::SWITCHING_PROTOCOLS);
    visit.end = ledger::End::Whole;
    core.tasks.spawn(async move {
        let mut visit = visit;
        let traffic = Traffic::default();
        ends.join(&asker, &upstream.standing, &traffic).await;
        visit.moved(traffic.sent.bytes(), traffic.received.bytes());
    });
}

/// Runs a connection on its own: it must go on after this request, to give the bare stream away.
fn drive(core: &Arc<Core>, connection: http1::Connection<Stream, Upload>) {
    let cut = core.cut.clone();
    core.tasks.spawn(async move {
        tokio::select! {
            // Its errors reach whoever waits for the answer.
            _ = connection.with_upgrades() => {}
            () = cut.cancelled() => {}
        }
    });
}

fn switch(headers: &mut HeaderMap) {
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
}

impl Ends {
    /// Moves bytes both ways until both ends are done, nothing moved for long, the route is gone, or
    /// the gateway stops.
    async fn join(self, asker: &Client, standing: &Standing, traffic: &Traffic) {
        let (Ok(client), Ok(instance)) = (self.client.await, self.instance.await) else { return };
        let (Some(client), Some(instance)) = (bare_client(client), bare_instance(instance)) else { return };
        tokio::select! {
            // A broken end is its own affair.
            _ = join::join(client, instance, traffic) => {}
            () = traffic.silence(asker.core.settings.timeouts.websocket_idle) => {}
            () = asker.core.draining.cancelled() => {}
            () = removed(standing, asker.core.settings.timeouts.drain) => {}
        }
    }
}

/// Returns some time after a route is gone.
async fn removed(standing: &Standing, grace: Duration) {
    standing.gone.cancelled().await;
    tokio::time::sleep(grace).await;
}

fn bare_client(upgraded: Upgraded) -> Option<End<TcpStream>> {
    let parts = upgraded.downcast::<TokioIo<Guarded>>().ok()?;
    Some(End { stream: parts.io.into_inner().into_inner(), first: parts.read_buf })
}

fn bare_instance(upgraded: Upgraded) -> Option<End<Socket>> {
    let parts = upgraded.downcast::<Stream>().ok()?;
    Some(End { stream: parts.io.into_inner(), first: parts.read_buf })
}
