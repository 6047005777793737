//! Telling the client of a WebSocket why it is closed: 1012 when the gateway goes, 1001 when the route is gone.

use std::io;
use std::pin::pin;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio_util::sync::CancellationToken;

use super::Core;
use super::standing::Standing;
use super::upgrade::{Flow, PIECE};
use crate::frames::{self, Frames};

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

/// Moves bytes to a client, until `farewell` gives a reason to close: that is told where a frame ends, and is the last
/// that is said.
pub(super) async fn pump(
    from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    first: bytes::Bytes,
    flow: &Flow,
    farewell: impl Future<Output = u16>,
) -> io::Result<()> {
    let mut farewell = pin!(farewell);
    let mut frames = Frames::default();
    let mut reason = None;
    to.write_all(&first).await?;
    flow.moved(first.len());
    frames.pass(&first);
    drop(first);
    loop {
        if let Some(code) = reason
            && frames.is_boundary()
        {
            to.write_all(&frames::close(code)).await?;
            return to.shutdown().await;
        }
        tokio::select! {
            code = farewell.as_mut(), if reason.is_none() => {
                reason = Some(code);
                continue;
            }
            ready = from.readable() => ready?,
        }
        let mut piece = Vec::with_capacity(PIECE);
        match from.try_read_buf(&mut piece) {
            Ok(0) => return to.shutdown().await,
            Ok(_) => {
                flow.step();
                to.write_all(&piece).await?;
                flow.moved(piece.len());
                frames.pass(&piece);
                flow.step();
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}
