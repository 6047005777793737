//! Keeping a run to what it may take, where the kernel does not: by looking at its processes.

use std::collections::BTreeSet;

use remotelab_config::limits::{Limits, size};

use super::processes::{self, Process};

/// Looks at every this many polls for a cancellation.
const EVERY: u32 = 5;

/// Watches a run.
pub(super) struct Watch {
    limits: Limits,
    polls: u32,
}

impl Watch {
    /// Watches this runner's processes; nothing is looked at without limits.
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, polls: 0 }
    }

    /// Returns why the run has to end, in words for its user.
    pub(super) fn exceeded(&mut self) -> Option<String> {
        if self.limits.memory.is_none() && self.limits.tasks.is_none() {
            return None;
        }
        self.polls += 1;
        if !self.polls.is_multiple_of(EVERY) {
            return None;
        }
        judge(&self.limits, &of_run(std::process::id(), &processes::all()))
    }

    /// Kills all processes of the run, those too that left its group.
    pub(super) fn kill(&self) {
        processes::kill(of_run(std::process::id(), &processes::all()).iter().map(|process| process.pid));
    }
}

/// All that came of the runner: its children's children, and what is in its session.
fn of_run(runner: u32, all: &[Process]) -> Vec<Process> {
    let mut known = BTreeSet::from([runner]);
    let mut found = Vec::new();
    loop {
        let is_new = |process: &&Process| {
            !known.contains(&process.pid)
                && (known.contains(&process.parent) || process.session == Some(runner))
        };
        let new: Vec<Process> = all.iter().filter(is_new).cloned().collect();
        if new.is_empty() {
            return found;
        }
        known.extend(new.iter().map(|process| process.pid));
        found.extend(new);
    }
}

fn judge(limits: &Limits, processes: &[Process]) -> Option<String> {
    let memory: u64 = processes.iter().map(|process| process.memory).sum();
    let tasks: u64 = processes.iter().map(|process| process.threads).sum();
    if let Some(most) = limits.memory.filter(|most| memory > *most) {
        return Some(format!("The work was ended because it used more memory than it may ({})", size(most)));
    }
    let most = limits.tasks.filter(|most| tasks > *most)?;
    Some(format!("The work was ended because it started more processes than it may ({most})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: u32, parent: u32, session: u32, memory: u64) -> Process {
        Process { pid, group: pid, session: Some(session), start: 1, parent, memory, threads: 2 }
    }

    #[test]
    fn children_count_wherever_they_went() {
        let all = [
            process(5, 1, 5, 100),
            process(6, 5, 5, 10),
            // Left the session, and its own child left it, too.
            process(7, 6, 7, 20),
            process(8, 7, 8, 30),
            // Its parent has ended.
            process(9, 1, 5, 40),
            process(90, 1, 90, 1_000),
        ];
        let of_run = of_run(5, &all);
        assert_eq!(of_run.iter().map(|process| process.pid).collect::<Vec<_>>(), [6, 9, 7, 8]);
        let judge = |memory, tasks| judge(&Limits { memory, tasks, cpu: None }, &of_run);
        assert_eq!((judge(None, None), judge(Some(100), Some(8))), (None, None));
        let memory = "The work was ended because it used more memory than it may (99 B)";
        assert_eq!(judge(Some(99), Some(8)).as_deref(), Some(memory));
        let tasks = "The work was ended because it started more processes than it may (7)";
        assert_eq!(judge(None, Some(7)).as_deref(), Some(tasks));
    }
}
