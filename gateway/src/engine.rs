//! The engine: sockets, bodies and time. Everything it decides, it asks the pure modules.

pub(crate) mod activity;
pub(crate) mod admin;
pub(crate) mod body;
pub(crate) mod counts;
pub(crate) mod exchange;
pub(crate) mod filter;
pub(crate) mod foreign;
pub(crate) mod gate;
pub(crate) mod guarded;
pub(crate) mod interim;
pub(crate) mod join;
pub(crate) mod ledger;
pub(crate) mod limits;
pub(crate) mod live;
pub(crate) mod metrics;
pub(crate) mod origin;
pub(crate) mod pack;
pub(crate) mod pages;
pub(crate) mod passage;
pub(crate) mod pool;
pub(crate) mod proxy;
pub(crate) mod serve;
pub(crate) mod standing;
pub(crate) mod stream;
pub(crate) mod survive;
pub(crate) mod upgrade;
pub(crate) mod upload;
pub(crate) mod visit;
pub(crate) mod watch;
pub(crate) mod wire;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::settings::Settings;
use ledger::Ledger;
use limits::Desk;
use live::Snapshot;
use metrics::Metrics;

/// What every task of a gateway shares.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) settings: Settings,
    pub(crate) snapshot: Snapshot,
    pub(crate) limits: Desk,
    pub(crate) metrics: Metrics,
    pub(crate) ledger: Ledger,
    /// Cancelled when nothing new is to begin.
    pub(crate) draining: CancellationToken,
    /// Cancelled when what is left is cut off.
    pub(crate) cut: CancellationToken,
    /// Connections and joined sockets.
    pub(crate) tasks: TaskTracker,
}
