//! What a client's connection is doing, for the one slow timer that watches over it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use super::interim::Hints;
use crate::settings::Timeouts;

/// Written by the connection and its requests, read by its timer.
#[derive(Debug, Default)]
pub(crate) struct Activity {
    busy: AtomicU32,
    begun: AtomicU32,
    in_head: AtomicBool,
    /// Odd while the client takes nothing of what is written to it.
    writes: AtomicU32,
    /// What the client is told before its answer.
    pub(crate) hints: Hints,
}

/// A state that lasts for as long as it is equal to itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pulse {
    /// No request has come yet.
    New,
    /// Between two requests.
    Idle(u32),
    /// The head of a further request is on its way.
    Head(u32),
    /// A request is in work; others time it.
    Busy,
    /// The client does not read.
    Stuck(u32),
}

impl Activity {
    pub(crate) fn pulse(&self) -> Pulse {
        let writes = self.writes.load(Ordering::Relaxed);
        let begun = self.begun.load(Ordering::Relaxed);
        if writes % 2 == 1 {
            Pulse::Stuck(writes)
        } else if self.busy.load(Ordering::Relaxed) > 0 {
            Pulse::Busy
        } else if begun == 0 {
            Pulse::New
        } else if self.in_head.load(Ordering::Relaxed) {
            Pulse::Head(begun)
        } else {
            Pulse::Idle(begun)
        }
    }

    pub(crate) fn reads(&self, in_head: bool) {
        self.in_head.store(in_head, Ordering::Relaxed);
    }

    /// Notes whether a write found room. Only the connection itself writes, so nothing comes in between.
    pub(crate) fn writes(&self, has_room: bool) {
        let writes = self.writes.load(Ordering::Relaxed);
        if writes.is_multiple_of(2) != has_room {
            self.writes.store(writes.wrapping_add(1), Ordering::Relaxed);
        }
    }
}

impl Pulse {
    /// How long it may last.
    pub(crate) fn limit(self, timeouts: &Timeouts) -> Option<Duration> {
        match self {
            Self::New | Self::Head(_) => Some(timeouts.client_header),
            Self::Idle(_) => Some(timeouts.keep_alive),
            Self::Stuck(_) => Some(timeouts.client_write),
            Self::Busy => None,
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pulse_follows_the_connection() {
        let activity = Arc::new(Activity::default());
        let mut seen = vec![activity.pulse()];
        activity.reads(true);
        seen.push(activity.pulse());
        let busy = Busy::begin(&activity);
        activity.reads(false);
        seen.push(activity.pulse());
        activity.writes(false);
        activity.writes(false);
        seen.push(activity.pulse());
        activity.writes(true);
        activity.writes(true);
        seen.push(activity.pulse());
        activity.writes(false);
        drop(busy);
        seen.push(activity.pulse());
        activity.writes(true);
        seen.push(activity.pulse());
        activity.reads(true);
        seen.push(activity.pulse());
        let expected = [
            Pulse::New,
            Pulse::New,
            Pulse::Busy,
            Pulse::Stuck(1),
            Pulse::Busy,
            Pulse::Stuck(3),
            Pulse::Idle(1),
            Pulse::Head(1),
        ];
        assert_eq!(seen, expected);
    }
}
