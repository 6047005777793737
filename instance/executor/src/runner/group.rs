//! The executor's process group, and what is left of it when its runner has died.

use remotelab_protocol::run::RunnerReport;
use rustix::process::{Pid, Signal, getsid, kill_process, kill_process_group, test_kill_process_group};
use serde::{Deserialize, Serialize};

use super::processes::{self, Process};

/// How often the leftovers are looked for: one of them may start another while it is being killed.
const ROUNDS: usize = 3;

/// Whose runner claimed a run. It is written down before anything is started, so that what a runner leaves is
/// found even when it dies before it can tell of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Claimant {
    process_id: u32,
    start: Option<u64>,
    boot: Option<String>,
    /// Whether it leads a process session, to which its executor then belongs.
    leads_session: bool,
}

impl Claimant {
    /// This process.
    pub(super) fn this() -> Self {
        let process_id = std::process::id();
        let session = getsid(None).ok().and_then(|session| u32::try_from(session.as_raw_pid()).ok());
        Self {
            process_id,
            start: start_of(process_id),
            boot: processes::boot(),
            leads_session: session == Some(process_id),
        }
    }

    /// Kills every process of its session when it is dead.
    pub(super) fn kill_leftovers(&self) {
        for _ in 0..ROUNDS {
            let left = self.leftovers(&processes::all());
            if left.is_empty() {
                return;
            }
            for pid in left.into_iter().filter_map(pid_of) {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
    }

    fn leftovers(&self, processes: &[Process]) -> Vec<u32> {
        let is_of_this_boot = self.boot == processes::boot();
        let Some(start) = self.start.filter(|_| self.leads_session && is_of_this_boot) else {
            return Vec::new();
        };
        if has_other_owner(processes, self.process_id, start) {
            return Vec::new();
        }
        processes
            .iter()
            .filter(|process| process.session == Some(self.process_id) && process.start >= start)
            .map(|process| process.pid)
            .collect()
    }
}

/// Sends a signal to every process of a group; a group that is gone is fine.
pub(super) fn signal(leader: u32, signal: Signal) {
    if let Some(leader) = pid_of(leader) {
        let _ = kill_process_group(leader, signal);
    }
}

/// Tells whether a group has a process left, one that nobody has reaped included.
pub(super) fn is_alive(leader: u32) -> bool {
    pid_of(leader).is_some_and(|leader| test_kill_process_group(leader).is_ok())
}

/// Kills the executor that a dead runner left behind, or what is left of its group. Returns whether there was
/// any: a process that has the same number but started at another time is somebody else's and stays.
pub fn kill_leftovers(report: &RunnerReport) -> bool {
    let (Some(leader), Some(start)) = (report.tool_process_id, report.tool_start_ticks) else {
        return false;
    };
    let processes = processes::all();
    let is_ours = !has_other_owner(&processes, leader, start)
        && processes.iter().any(|process| process.group == leader && process.start >= start);
    if is_ours {
        signal(leader, Signal::KILL);
    }
    is_ours
}

/// Returns when a process started, as far as the system tells.
pub(super) fn start_of(pid: u32) -> Option<u64> {
    processes::find(pid).map(|process| process.start)
}

/// Returns a process by its number, unless a signal to it would reach more than it.
pub(super) fn pid_of(number: u32) -> Option<Pid> {
    // Group 0 would be our own, group 1 everybody's.
    Pid::from_raw(i32::try_from(number).ok().filter(|&pid| pid > 1)?)
}

/// Tells whether a number, and so the group or session of that number, has gone to another process since.
fn has_other_owner(processes: &[Process], pid: u32, start: u64) -> bool {
    processes.iter().any(|process| process.pid == pid && process.start != start)
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt;
    use std::process::{Child, Command};

    use super::*;

    fn asleep() -> Child {
        Command::new("sleep").arg("60").process_group(0).spawn().unwrap()
    }

    #[test]
    fn runtime_weakness_09_a_process_that_only_has_the_number_is_spared() {
        let mut child = asleep();
        let pid = child.id();
        let report = |start| RunnerReport {
            tool_process_id: Some(pid),
            tool_start_ticks: start,
            ..RunnerReport::default()
        };
        let start = start_of(pid).unwrap();
        assert!(!kill_leftovers(&report(Some(start + 1))));
        assert!(!kill_leftovers(&report(None)));
        assert_eq!(child.try_wait().unwrap(), None);
        assert!(kill_leftovers(&report(Some(start))));
        child.wait().unwrap();
        assert!(!kill_leftovers(&report(Some(start))));
    }

    #[test]
    fn only_what_a_dead_runner_left_is_of_its_session() {
        let claimant =
            Claimant { process_id: 70, start: Some(500), boot: processes::boot(), leads_session: true };
        let process = |pid, session, start| Process {
            pid,
            group: pid,
            session: Some(session),
            start,
            parent: 1,
            threads: 1,
            memory: 0,
        };
        let left = [process(71, 70, 501), process(72, 70, 500), process(73, 74, 600), process(9, 70, 3)];
        assert_eq!(claimant.leftovers(&left), [71, 72]);
        // The number went to somebody else, who leads a session now.
        let reused = [process(70, 70, 900), process(71, 70, 901)];
        assert_eq!(claimant.leftovers(&reused), [0; 0]);
        for other in [
            Claimant { boot: Some("another".into()), ..claimant.clone() },
            Claimant { leads_session: false, ..claimant.clone() },
            Claimant { start: None, ..claimant },
        ] {
            assert_eq!(other.leftovers(&left), [0; 0], "{other:?}");
        }
    }
}
