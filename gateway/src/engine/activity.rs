//! What a client's connection is doing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Counts the requests that a connection is busy with.
#[derive(Debug, Default)]
pub(crate) struct Activity {
    busy: AtomicU32,
    begun: AtomicU32,
}

impl Activity {
    /// How many requests are in work, and how many there ever were.
    pub(crate) fn read(&self) -> (u32, u32) {
        (self.busy.load(Ordering::Relaxed), self.begun.load(Ordering::Relaxed))
    }
}

/// One request in work.
#[derive(Debug)]
pub(crate) struct Busy(Arc<Activity>);

impl Busy {
    pub(crate) fn begin(activity: &Arc<Activity>) -> Self {
        activity.busy.fetch_add(1, Ordering::Relaxed);
        activity.begun.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(activity))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::Relaxed);
    }
}
