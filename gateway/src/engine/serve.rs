//! Listeners and the connections that they accept.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use hyper::rt::Executor;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Core;
use super::activity::Activity;
use super::arrival::{Arrival, arrive};
use super::counts::Counted;
use super::guarded::Guarded;
use super::ledger::{Told, malformed};
use super::proxy::{Client, Peer};
use super::survive::survive;
use crate::listener::ClientIp;
use crate::settings::Timeouts;

/// Rest after a failed accept, which mostly means that file descriptors ran out.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Between two looks for an address that is not there yet.
const BIND_PAUSE: Duration = Duration::from_secs(2);

/// A timer that ticks faster only costs.
const SHORTEST_TICK: Duration = Duration::from_millis(10);

/// How long a connection of a client stays that asks nothing after a hand-over.
const LINGER: Duration = Duration::from_secs(5);

/// The request line and all fields. Their number is limited to 100 by hyper's default, which it keeps on the
/// stack.
const MAX_HEADER_BYTES: u32 = 32 * 1024;

/// What an HTTP/2 client may have open at once.
const MAX_STREAMS: u32 = 100;
/// Streams that a client takes back before they were looked at, and its mistakes: more end the connection
/// (CVE-2023-44487).
const MAX_RESETS: usize = 20;
const MAX_ERRORS: usize = 256;
/// What may be on its way to the gateway, and from it.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// Accepts connections of one listener until the gateway drains.
pub(crate) async fn listen(core: Arc<Core>, index: usize, listener: TcpListener, places: Arc<Semaphore>) {
    loop {
        let accept = async {
            let place = Arc::clone(&places).acquire_owned().await.expect("places are never closed");
            (listener.accept().await, place)
        };
        let (accepted, place) = tokio::select! {
            () = core.draining.cancelled() => return,
            accepted = accept => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                // Where a header tells who the clients are, the peers are tunnels that bring many.
                let limits = &core.settings.limits;
                let is_client = core.settings.listeners[index].client_ip == ClientIp::Peer;
                let counted = if is_client { core.limits.connect(peer.ip(), limits) } else { Ok(None) };
                let Ok(counted) = counted else { continue };
                let place = (place, counted);
                core.tasks.spawn(connection(Arc::clone(&core), index, stream, peer, place));
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Listens as soon as this machine has the address.
pub(crate) async fn listen_later(core: Arc<Core>, index: usize, places: Arc<Semaphore>) {
    let address = core.settings.listeners[index].bind;
    let bound = when_there(BIND_PAUSE, || TcpListener::bind(address));
    let bound = tokio::select! {
        () = core.draining.cancelled() => return,
        bound = bound => bound,
    };
    match bound {
        Ok(listener) => {
            tracing::info!(%address, "the address has come");
            listen(core, index, listener, places).await;
        }
        Err(error) => tracing::error!(%address, %error, "cannot listen"),
    }
}

/// Tries until the address is there, or something else is wrong with it.
async fn when_there<T, F>(pause: Duration, bind: impl Fn() -> F) -> io::Result<T>
where
    F: Future<Output = io::Result<T>>,
{
    loop {
        tokio::time::sleep(pause).await;
        match bind().await {
            Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => {}
            bound => return bound,
        }
    }
}

async fn connection(
    core: Arc<Core>,
    listener: usize,
    tcp: TcpStream,
    peer: SocketAddr,
    (place, counted): (OwnedSemaphorePermit, Option<Counted>),
) {
    // Tokens of its own, so that connections do not meet at one lock each time they are polled.
    let (draining, cut) = (core.draining.child_token(), core.cut.child_token());
    let arriving = timeout(core.settings.timeouts.client_header, arrive(&core, listener, tcp, peer, counted));
    let arrived = tokio::select! {
        arrived = Box::pin(arriving) => arrived,
        () = linger(&core, &draining) => return,
    };
    let Ok(Some(Arrival { stream, peer, counted, is_http_2 })) = arrived else { return };
    let activity = Arc::new(Activity::default());
    let client = Arc::new(Client {
        core: Arc::clone(&core),
        listener,
        peer: Peer::new(peer.ip(), core.settings.listeners[listener].believes(peer.ip())),
        activity: Arc::clone(&activity),
        _place: place,
        _counted: counted,
        seat: OnceLock::new(),
    });
    let service = service_fn(move |request| {
        let client = Arc::clone(&client);
        async move { Ok::<_, Infallible>(client.answer(request).await) }
    });
    let io = TokioIo::new(Guarded::new(stream, Arc::clone(&activity), is_http_2));
    let at = At { core: &core, listener, peer: peer.ip(), activity: &activity };
    if is_http_2 {
        let connection = multiplexed(&core).serve_connection(io, service);
        // Few clients come this way, and what they need is large.
        let attending = attend(connection, http2::Connection::graceful_shutdown, &at, &draining, &cut);
        Box::pin(attending).await;
    } else {
        let connection = http1::Builder::new()
            .max_header_size(MAX_HEADER_BYTES as usize)
            .serve_connection(io, service)
            .with_upgrades();
        attend(connection, http1::UpgradeableConnection::graceful_shutdown, &at, &draining, &cut).await;
    }
}

/// HTTP/2 within bounds: what one client may have open, and how much of it is kept for it here.
fn multiplexed(core: &Core) -> http2::Builder<Tracked> {
    let mut builder = http2::Builder::new(Tracked(core.tasks.clone()));
    builder
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEADER_BYTES)
        .max_pending_accept_reset_streams(MAX_RESETS)
        .max_local_error_reset_streams(MAX_ERRORS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(STREAM_WINDOW as usize);
    builder
}

/// Runs what belongs to a connection where everything runs, so that the end waits for it.
#[derive(Clone)]
struct Tracked(TaskTracker);

impl<F> Executor<F> for Tracked
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, future: F) {
        self.0.spawn(future);
    }
}

/// Which connection it is.
struct At<'a> {
    core: &'a Core,
    listener: usize,
    peer: IpAddr,
    activity: &'a Activity,
}

/// Serves a connection to its end.
async fn attend<C: Future<Output = hyper::Result<()>>>(
    connection: C,
    shut_down: impl Fn(Pin<&mut C>),
    at: &At<'_>,
    draining: &CancellationToken,
    cut: &CancellationToken,
) {
    let mut connection = pin!(connection);
    let mut overdue = pin!(overdue(at.activity, &at.core.settings.timeouts));
    let mut is_draining = false;
    let mut lingering = pin!(linger(at.core, draining));
    loop {
        tokio::select! {
            biased;
            // A broken connection is the client's affair; a panic in a body breaks it, too.
            ended = survive(connection.as_mut()) => {
                match ended {
                    None => at.core.metrics.panics.add(1),
                    Some(Err(error)) if error.is_parse() => log_malformed(at.core, at.listener, at.peer),
                    Some(_) => {}
                }
                return;
            }
            () = lingering.as_mut(), if !is_draining => {
                is_draining = true;
                shut_down(connection.as_mut());
            }
            () = cut.cancelled() => return,
            () = overdue.as_mut() => return,
        }
    }
}

/// Returns when an idle connection is to be closed. After a hand-over its client may just be asking: it is answered and
/// sent to the new gateway then.
async fn linger(core: &Core, draining: &CancellationToken) {
    draining.cancelled().await;
    if core.handed_over.load(Ordering::SeqCst) {
        tokio::time::sleep(LINGER.min(core.settings.timeouts.drain / 2)).await;
    }
}

/// Bytes that are no request were answered by the HTTP library.
fn log_malformed(core: &Core, listener: usize, peer: IpAddr) {
    if core.ledger.is_wanted() {
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        let line = malformed(now, &core.settings.listeners[listener].name, peer);
        core.ledger.take(&line, Told { tenant: None, is_logged: true, went_well: false, chance: 0 });
    }
}

/// Returns when a connection has been in one state for longer than that may last. One slow timer for each
/// connection instead of one for each request: it may be late by half of the shortest limit.
async fn overdue(activity: &Activity, timeouts: &Timeouts) {
    let shortest = timeouts.client_header.min(timeouts.keep_alive).min(timeouts.client_write);
    let tick = (shortest / 2).max(SHORTEST_TICK);
    let mut ticks = interval_at(Instant::now() + tick, tick);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut seen = activity.pulse();
    let mut lasted = Duration::ZERO;
    loop {
        ticks.tick().await;
        let now = activity.pulse();
        lasted = if now == seen { lasted + tick } else { Duration::ZERO };
        seen = now;
        if now.limit(timeouts).is_some_and(|limit| lasted >= limit) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[tokio::test]
    async fn an_address_may_come_later() {
        let tries = AtomicU32::new(0);
        let bound = when_there(Duration::ZERO, || {
            let missing = tries.fetch_add(1, Ordering::SeqCst) < 3;
            async move { if missing { Err(io::ErrorKind::AddrNotAvailable.into()) } else { Ok(()) } }
        });
        assert!(bound.await.is_ok());
        assert_eq!(tries.into_inner(), 4);
        let taken =
            when_there(Duration::ZERO, || async { Err::<(), _>(io::ErrorKind::AddrInUse.into()) }).await;
        assert_eq!(taken.unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }
}
