//! Figures that are counted while requests pass: plain additions, read by whoever asks.

use std::sync::atomic::{AtomicU64, Ordering};

/// Figures of the whole gateway.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    /// Defects that ended a request or a connection.
    pub(crate) panics: Counter,
    /// Reloads that kept the routes of before.
    pub(crate) failed_reloads: Counter,
}

/// A number that grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
