//! Stopping an executor: politely, then not.

use std::time::Duration;

use rustix::process::Signal;
use tokio::time::{Instant, sleep};

use super::group;

/// How long an executor has between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(5);
/// How often the runner looks whether a stopped executor's children are gone.
const GROUP_POLL: Duration = Duration::from_millis(50);

/// The request to stop and how far it went.
pub(super) struct Stop {
    leader: u32,
    requested: Option<Instant>,
    killed: bool,
}

impl Stop {
    pub(super) fn new(leader: u32) -> Self {
        Self { leader, requested: None, killed: false }
    }

    pub(super) fn requested(&self) -> bool {
        self.requested.is_some()
    }

    pub(super) fn request(&mut self) {
        if self.requested.is_none() {
            self.requested = Some(Instant::now());
            group::signal(self.leader, Signal::TERM);
        }
    }

    pub(super) fn escalate(&mut self) {
        if !self.killed && self.requested.is_some_and(|at| at.elapsed() >= GRACE) {
            self.killed = true;
            self.kill();
        }
    }

    /// Waits until nothing of a stopped executor is left, children of its included.
    pub(super) async fn see_through(&mut self) {
        while self.requested() && !self.killed && group::is_alive(self.leader) {
            self.escalate();
            sleep(GROUP_POLL).await;
        }
    }

    /// Kills what there is.
    pub(super) fn kill(&self) {
        group::signal(self.leader, Signal::KILL);
    }
}
