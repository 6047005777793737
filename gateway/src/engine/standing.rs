//! What is known of a tenant beside its route. It outlives changes of the route.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use tokio_util::sync::CancellationToken;

use super::gate::{Gate, add_below};
use super::metrics::Traffic;

/// Counts and buckets of one tenant.
#[derive(Debug, Default)]
pub(crate) struct Standing {
    pub(crate) requests: Gate,
    /// Bucket of its requests.
    pub(crate) rate: AtomicU64,
    /// Bucket of failed sign-ins.
    pub(crate) logins: AtomicU64,
    pub(crate) sockets: AtomicU32,
    pub(crate) connections: AtomicU32,
    pub(crate) traffic: Traffic,
    /// It has been reached at a socket of its own.
    pub(crate) has_socket: Arc<AtomicBool>,
    /// Cancelled when its route is gone.
    pub(crate) gone: CancellationToken,
}

/// One of the things that a tenant may have so many of.
#[derive(Debug)]
pub(crate) struct Seat {
    standing: Arc<Standing>,
    of: fn(&Standing) -> &AtomicU32,
}

impl Seat {
    /// Takes one, unless `limit` are taken.
    pub(crate) fn take(
        standing: &Arc<Standing>,
        of: fn(&Standing) -> &AtomicU32,
        limit: u32,
    ) -> Option<Self> {
        add_below(of(standing), limit).then(|| Self { standing: Arc::clone(standing), of })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        (self.of)(&self.standing).fetch_sub(1, Ordering::SeqCst);
    }
}
