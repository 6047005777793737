//! The executor's process group.

use std::fs;

use remotelab_protocol::run::RunnerReport;
use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};

/// Sends a signal to every process of a group; a group that is gone is fine.
pub(super) fn signal(leader: u32, signal: Signal) {
    if let Some(leader) = group_of(leader) {
        let _ = kill_process_group(leader, signal);
    }
}

/// Tells whether a group has a process left, one that nobody has reaped included.
pub(super) fn is_alive(leader: u32) -> bool {
    group_of(leader).is_some_and(|leader| test_kill_process_group(leader).is_ok())
}

/// Kills the executor that a dead runner left behind. Returns whether there was one: a process that has the
/// same number but started at another time is somebody else's and stays.
pub fn kill_leftovers(report: &RunnerReport) -> bool {
    let (Some(leader), Some(ticks)) = (report.tool_process_id, report.tool_start_ticks) else {
        return false;
    };
    let is_ours = start_ticks(leader) == Some(ticks);
    if is_ours {
        signal(leader, Signal::KILL);
    }
    is_ours
}

/// Reads when a process started, in clock ticks since boot. `None` where the system has no `/proc`.
pub(super) fn start_ticks(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in brackets and may hold anything, brackets too.
    let (_, fields) = stat.rsplit_once(") ")?;
    fields.split(' ').nth(19)?.parse().ok()
}

fn group_of(leader: u32) -> Option<Pid> {
    // Group 0 would be our own, group 1 everybody's.
    let leader = i32::try_from(leader).ok().filter(|&pid| pid > 1)?;
    Pid::from_raw(leader)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runtime_weakness_09_a_process_that_only_has_the_number_is_spared() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let pid = child.id();
        let report = |ticks| RunnerReport {
            tool_process_id: Some(pid),
            tool_start_ticks: ticks,
            ..RunnerReport::default()
        };
        let ticks = start_ticks(pid).unwrap();
        assert!(!kill_leftovers(&report(Some(ticks + 1))));
        assert!(!kill_leftovers(&report(None)));
        assert_eq!(child.try_wait().unwrap(), None);
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!kill_leftovers(&report(Some(ticks))));
    }
}
