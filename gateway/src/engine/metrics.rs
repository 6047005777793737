//! Figures that are counted while requests pass: plain additions, read by whoever asks.

mod histogram;
pub(crate) mod render;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::StatusCode;

use histogram::Histogram;

/// Figures of the whole gateway.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    /// Defects that ended a request or a connection.
    pub(crate) panics: Counter,
    /// Reloads that kept the routes of before.
    pub(crate) failed_reloads: Counter,
    /// Instances that did not wake.
    pub(crate) failed_wakes: Counter,
    /// How long those took that did.
    wakes: Histogram,
    /// Requests that are no tenant's.
    own: Traffic,
    /// What the gateway adds until the head of an answer.
    overhead: Histogram,
    /// What instances take for it.
    upstream: Histogram,
}

/// Requests of one tenant.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    /// By the first digit of their status; the first is those without one.
    requests: [Counter; 6],
    bytes_in: Counter,
    bytes_out: Counter,
}

/// A number that grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

/// A request that ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ended {
    pub(crate) status: Option<StatusCode>,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    pub(crate) until_head: Option<Duration>,
    pub(crate) upstream: Option<Duration>,
}

impl Metrics {
    /// Counts an instance that woke.
    pub(crate) fn woken(&self, after: Duration) {
        self.wakes.add(after);
    }

    /// Counts a request, for its tenant if it has one.
    pub(crate) fn count(&self, tenant: Option<&Traffic>, ended: Ended) {
        let traffic = tenant.unwrap_or(&self.own);
        let class = ended.status.map_or(0, |status| usize::from(status.as_u16() / 100));
        traffic.requests[class.min(5)].add(1);
        traffic.bytes_in.add(ended.bytes_in);
        traffic.bytes_out.add(ended.bytes_out);
        if let Some(until_head) = ended.until_head {
            self.overhead.add(until_head.saturating_sub(ended.upstream.unwrap_or_default()));
        }
        if let Some(upstream) = ended.upstream {
            self.upstream.add(upstream);
        }
    }
}

impl Traffic {
    /// How many requests there were.
    pub(crate) fn total(&self) -> u64 {
        self.requests.iter().map(Counter::get).sum()
    }
}

impl Counter {
    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
