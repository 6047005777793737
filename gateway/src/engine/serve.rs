//! Listeners and the connections that they accept.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::Core;
use super::activity::Activity;
use super::guarded::Guarded;
use super::proxy::Client;
use crate::settings::Timeouts;

/// Rest after a failed accept, which mostly means that file descriptors ran out.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

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
    place: OwnedSemaphorePermit,
) {
    // Without it small answers wait for the client's acknowledgement; it fails only on a dead socket.
    let _ = stream.set_nodelay(true);
    let activity = Arc::new(Activity::default());
    let client = Arc::new(Client {
        core: Arc::clone(&core),
        listener,
        peer: peer.ip(),
        activity: Arc::clone(&activity),
        _place: place,
    });
    let service = service_fn(move |request| {
        let client = Arc::clone(&client);
        async move { Ok::<_, Infallible>(client.serve(request).await) }
    });
    let mut connection = pin!(
        http1::Builder::new()
            .max_header_size(MAX_HEADER_BYTES)
            .serve_connection(TokioIo::new(Guarded::new(stream)), service)
            .with_upgrades()
    );
    let mut idle = pin!(idle(&activity, &core.settings.timeouts));
    // Tokens of its own, so that connections do not meet at one lock each time they are polled.
    let (draining, cut) = (core.draining.child_token(), core.cut.child_token());
    let mut is_draining = false;
    loop {
        tokio::select! {
            biased;
            // A broken connection is the client's affair.
            _ = connection.as_mut() => return,
            () = draining.cancelled(), if !is_draining => {
                is_draining = true;
                connection.as_mut().graceful_shutdown();
            }
            () = cut.cancelled() => return,
            () = idle.as_mut() => return,
        }
    }
}

/// Returns when a connection has been without a request for too long. One slow timer for each connection
/// instead of one for each request.
async fn idle(activity: &Activity, timeouts: &Timeouts) {
    let tick = timeouts.client_header;
    let mut ticks = interval_at(Instant::now() + tick, tick);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut seen = 0;
    let mut quiet = Duration::ZERO;
    loop {
        ticks.tick().await;
        let (busy, begun) = activity.read();
        if begun == 0 {
            return;
        }
        quiet = if busy == 0 && begun == seen { quiet + tick } else { Duration::ZERO };
        seen = begun;
        if quiet >= timeouts.keep_alive {
            return;
        }
    }
}
