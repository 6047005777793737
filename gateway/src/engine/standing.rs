//! What is known of a tenant beside its route. It outlives changes of the route.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio_util::sync::CancellationToken;

use super::awake::Awake;
use super::gate::{Gate, add_below};
use super::metrics::Traffic;
use crate::health::Health;

/// Counts and buckets of one tenant.
#[derive(Debug, Default)]
pub(crate) struct Standing {
    pub(crate) requests: Gate,
    /// Bucket of its requests.
    pub(crate) rate: AtomicU64,
    /// Bucket of failed sign-ins.
    pub(crate) logins: AtomicU64,
    pub(crate) sockets: AtomicU32,
    /// Event streams, which are not among its requests.
    pub(crate) streams: AtomicU32,
    pub(crate) connections: AtomicU32,
    /// When what its answers took is paid for.
    pub(crate) paid: Mutex<Option<Instant>>,
    pub(crate) traffic: Traffic,
    pub(crate) awake: Awake,
    pub(crate) health: Pulse,
    /// When it was used last, in seconds since 1970.
    pub(crate) last: AtomicU64,
    /// How many requests there had been when it was asked how it is.
    pub(crate) probed: AtomicU64,
    /// It has been reached at a socket of its own.
    pub(crate) has_socket: Arc<AtomicBool>,
    /// Cancelled when its route is gone.
    pub(crate) gone: CancellationToken,
}

/// Whether its instance is worth asking.
#[derive(Debug, Default)]
pub(crate) struct Pulse {
    /// Something is known against it.
    troubled: AtomicBool,
    health: Mutex<Health>,
}

impl Pulse {
    /// Tells whether a request may be tried.
    pub(crate) fn may_try(&self) -> bool {
        !self.troubled.load(Ordering::Relaxed) || self.lock().may_try(Instant::now())
    }

    pub(crate) fn is_down(&self) -> bool {
        self.troubled.load(Ordering::Relaxed) && self.lock().is_down()
    }

    pub(crate) fn failed(&self) {
        self.lock().failed(Instant::now());
        self.troubled.store(true, Ordering::Relaxed);
    }

    pub(crate) fn succeeded(&self) {
        if self.troubled.load(Ordering::Relaxed) {
            self.lock().succeeded();
            self.troubled.store(false, Ordering::Relaxed);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Health> {
        // Every change is whole.
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
