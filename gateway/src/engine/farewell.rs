//! Why a WebSocket is closed, as its client is told: 1012 when the gateway goes, 1001 when the route is gone.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Core;
use super::standing::Standing;

/// RFC 6455 §7.4.1 and the registry of IANA.
const GOING_AWAY: u16 = 1001;
const SERVICE_RESTART: u16 = 1012;

/// How long a socket lives that is told to close, for the end of a frame and for the answer.
const GRACE: Duration = Duration::from_secs(1);

/// Returns the reason when a socket is to be closed. One of a route that is gone lives on for a while.
pub(super) async fn wanted(core: &Core, standing: &Standing) -> u16 {
    let removed = async {
        standing.gone.cancelled().await;
        tokio::time::sleep(core.settings.timeouts.drain).await;
    };
    tokio::select! {
        () = core.draining.cancelled() => SERVICE_RESTART,
        () = removed => GOING_AWAY,
    }
}

/// Returns when a socket that was told to close has had its time.
pub(super) async fn said(end: &CancellationToken) {
    end.cancelled().await;
    tokio::time::sleep(GRACE).await;
}
