//! What the system tells of processes: `/proc`, or `ps` where there is none.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// A process that has not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) pid: u32,
    pub(super) group: u32,
    /// Its process session, where the system tells it.
    pub(super) session: Option<u32>,
    /// When it started: clock ticks since boot, or Unix seconds where only `ps` tells.
    pub(super) start: u64,
    /// Whose child it is; 0 where that is not told.
    pub(super) parent: u32,
    /// Its threads and the bytes of memory that it uses; none where that is not told.
    pub(super) threads: u64,
    pub(super) memory: u64,
}

/// Returns all of them.
pub(super) fn all() -> Vec<Process> {
    if has_proc() {
        let pids = fs::read_dir("/proc").into_iter().flatten().flatten();
        return pids.filter_map(|entry| of_proc(entry.file_name().to_str()?.parse().ok()?)).collect();
    }
    listed(&["-A"])
}

/// Returns one of them.
pub(super) fn find(pid: u32) -> Option<Process> {
    if has_proc() { of_proc(pid) } else { listed(&["-p", &pid.to_string()]).pop() }
}

/// Tells whether a process was started with a word among its arguments or, where the system tells them, its
/// variables.
pub(super) fn mentions(pid: u32, word: &str) -> bool {
    let has_word = |bytes: Vec<u8>| bytes.windows(word.len()).any(|part| part == word.as_bytes());
    if has_proc() {
        let read = |name: &str| fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
        return has_word(read("cmdline")) || has_word(read("environ"));
    }
    has_word(ps(&["-p", &pid.to_string(), "-o", "command="]).into_bytes())
}

/// What tells this start of the machine from others; `None` where start times do so themselves.
pub(super) fn boot() -> Option<String> {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_owned())
}

/// Kills processes.
pub(super) fn kill(pids: impl Iterator<Item = u32>) {
    for pid in pids.filter_map(super::group::pid_of) {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
}

fn has_proc() -> bool {
    Path::new("/proc/self/stat").exists()
}

fn of_proc(pid: u32) -> Option<Process> {
    process_of_stat(pid, &fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

fn process_of_stat(pid: u32, stat: &str) -> Option<Process> {
    // The second field is the program's name in brackets and may hold anything, brackets too.
    let (_, fields) = stat.rsplit_once(") ")?;
    let fields: Vec<&str> = fields.split(' ').collect();
    let number = |at: usize| fields.get(at)?.parse::<u32>().ok();
    let has_ended = matches!(*fields.first()?, "Z" | "X");
    let start = fields.get(19)?.parse().ok()?;
    let large = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok()).unwrap_or_default();
    let page = rustix::param::page_size() as u64;
    let process = Process {
        pid,
        group: number(2)?,
        session: Some(number(3)?),
        start,
        parent: number(1)?,
        threads: large(17),
        memory: large(21).saturating_mul(page),
    };
    (!has_ended).then_some(process)
}

fn listed(which: &[&str]) -> Vec<Process> {
    let columns = ["-o", "pid=", "-o", "pgid=", "-o", "stat=", "-o", "lstart="];
    ps(&[which, &columns].concat()).lines().filter_map(process_of_line).collect()
}

fn process_of_line(line: &str) -> Option<Process> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [pid, group, state, _, month, day, time, year] = words.as_slice() else {
        return None;
    };
    let start = DateTime::strptime("%b %d %H:%M:%S %Y", format!("{month} {day} {time} {year}")).ok()?;
    let start = start.to_zoned(TimeZone::UTC).ok()?.timestamp().as_second();
    let process = Process {
        pid: pid.parse().ok()?,
        group: group.parse().ok()?,
        session: None,
        start: u64::try_from(start).ok()?,
        parent: 0,
        threads: 0,
        memory: 0,
    };
    (!state.starts_with('Z')).then_some(process)
}

fn ps(arguments: &[&str]) -> String {
    let output = Command::new("ps")
        .args(arguments)
        .env("LC_ALL", "C")
        .env("TZ", "UTC0")
        .current_dir("/")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_hides_nothing() {
        let rest = "0 0 0 0 0 0 0 0 0 0 0 0 0 0 0";
        let stat = |state: &str| format!("7 (a) b) (c) {state} 1 5 3 {rest} 4242 0");
        let process =
            Process { pid: 7, group: 5, session: Some(3), start: 4242, parent: 1, threads: 0, memory: 0 };
        assert_eq!(process_of_stat(7, &stat("S")), Some(process));
        assert_eq!(process_of_stat(7, &stat("Z")), None);
        assert_eq!(process_of_stat(7, "7 (a"), None);
    }

    #[test]
    fn lines_of_ps_are_read() {
        let line = "  712   700 Ss   Sun Nov  2 07:26:39 2026    ";
        let process = Process {
            pid: 712,
            group: 700,
            session: None,
            start: 1_793_604_399,
            parent: 0,
            threads: 0,
            memory: 0,
        };
        assert_eq!(process_of_line(line), Some(process));
        for odd in ["", "712 700 Z Sun Nov 2 07:26:39 2026", "x 700 S Sun Nov 2 07:26:39 2026", "712 700 S"] {
            assert_eq!(process_of_line(odd), None, "{odd}");
        }
    }

    /// Both ways tell of this process, and of the same group.
    #[test]
    fn this_process_is_found() {
        let this = std::process::id();
        let found = find(this).unwrap();
        assert!(all().iter().any(|other| (other.pid, other.start) == (found.pid, found.start)));
        assert!(found.memory > 0 && found.threads > 0 || !has_proc());
        assert!(mentions(this, &std::env::args().next().unwrap()) && !mentions(this, "no such word"));
        if let Some(listed) = listed(&["-p", &this.to_string()]).pop() {
            assert_eq!((listed.pid, listed.group), (found.pid, found.group));
        }
    }
}
