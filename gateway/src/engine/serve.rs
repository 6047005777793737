//! Listeners and the connections that they accept.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::Core;
use super::activity::Activity;
use super::counts::Counted;
use super::guarded::Guarded;
use super::ledger::{Told, malformed};
use super::proxy::{Client, Peer};
use super::survive::survive;
use crate::listener::ClientIp;
use crate::settings::Timeouts;

/// Rest after a failed accept, which mostly means that file descriptors ran out.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A timer that ticks faster only costs.
const SHORTEST_TICK: Duration = Duration::from_millis(10);

/// The request line and all fields. Their number is limited to 100 by hyper's default, which it keeps on the
/// stack.
const MAX_HEADER_BYTES: usize = 32 * 1024;

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

async fn connection(
    core: Arc<Core>,
    listener: usize,
    stream: TcpStream,
    peer: SocketAddr,
    (place, counted): (OwnedSemaphorePermit, Option<Counted>),
) {
    // Without it small answers wait for the client's acknowledgement; it fails only on a dead socket.
    let _ = stream.set_nodelay(true);
    let activity = Arc::new(Activity::default());
    let client = Arc::new(Client {
        core: Arc::clone(&core),
        listener,
        peer: Peer::new(peer.ip()),
        activity: Arc::clone(&activity),
        _place: place,
        _counted: counted,
        seat: OnceLock::new(),
    });
    let service = service_fn(move |request| {
        let client = Arc::clone(&client);
        async move { Ok::<_, Infallible>(client.answer(request).await) }
    });
    let mut connection = pin!(
        http1::Builder::new()
            .max_header_size(MAX_HEADER_BYTES)
            .serve_connection(TokioIo::new(Guarded::new(stream, Arc::clone(&activity))), service)
            .with_upgrades()
    );
    let mut overdue = pin!(overdue(&activity, &core.settings.timeouts));
    // Tokens of its own, so that connections do not meet at one lock each time they are polled.
    let (draining, cut) = (core.draining.child_token(), core.cut.child_token());
    let mut is_draining = false;
    loop {
        tokio::select! {
            biased;
            // A broken connection is the client's affair; a panic in a body breaks it, too.
            ended = survive(connection.as_mut()) => {
                match ended {
                    None => core.metrics.panics.add(1),
                    Some(Err(error)) if error.is_parse() => log_malformed(&core, listener, peer.ip()),
                    Some(_) => {}
                }
                return;
            }
            () = draining.cancelled(), if !is_draining => {
                is_draining = true;
                connection.as_mut().graceful_shutdown();
            }
            () = cut.cancelled() => return,
            () = overdue.as_mut() => return,
        }
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
