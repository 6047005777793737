//! A child process whose output is kept, and which never outlives its test.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead as _, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};

use crate::wait::within;

/// Lines kept of one process; a test that needs more has another problem.
const MOST_LINES: usize = 20_000;

/// A running program.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: Arc<Log>,
}

#[derive(Debug, Default)]
struct Log(Mutex<Vec<String>>);

/// How a finished program ended.
#[derive(Debug, Clone)]
pub struct Output {
    /// Its exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Process {
    /// Starts `command`, reading what it prints; `name` stands before its lines in the log.
    pub fn start(name: &str, command: &mut Command) -> anyhow::Result<Self> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("start {name}"))?;
        let log = Arc::<Log>::default();
        if let Some(output) = child.stdout.take() {
            log.read("out", output);
        }
        if let Some(output) = child.stderr.take() {
            log.read("err", output);
        }
        Ok(Self { name: name.to_owned(), child, log })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it printed so far, `out: ` or `err: ` before each line.
    pub fn log(&self) -> Vec<String> {
        self.log.lines().clone()
    }

    /// Waits for a line of which `pick` makes something, also among those printed before.
    pub async fn line<T>(&self, what: &str, mut pick: impl FnMut(&str) -> Option<T>) -> anyhow::Result<T> {
        crate::wait::eventually(format!("{what} in the output of {}", self.name), async || {
            Ok(self.log.lines().iter().find_map(|line| pick(line)))
        })
        .await
    }

    /// Whether it has not ended yet.
    pub fn is_running(&mut self) -> anyhow::Result<bool> {
        Ok(self.child.try_wait().context("ask for its state")?.is_none())
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        signal_to(self.pid(), signal)
    }

    /// Waits for its end.
    pub async fn ended(&mut self, limit: Duration) -> anyhow::Result<ExitStatus> {
        let what = format!("the end of {}", self.name);
        let child = &mut self.child;
        within(limit, what, async || child.try_wait().context("wait")).await
    }

    /// SIGTERM, and its end within `limit`.
    pub async fn stop(&mut self, limit: Duration) -> anyhow::Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        self.ended(limit).await
    }

    /// SIGKILL, and its end.
    pub async fn kill(&mut self) -> anyhow::Result<ExitStatus> {
        self.child.kill().context("kill")?;
        self.ended(Duration::from_secs(10)).await
    }
}

impl Drop for Process {
    #[expect(clippy::print_stderr, reason = "the test runner shows it when the test failed")]
    fn drop(&mut self) {
        // Either fails only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        eprintln!("--- {} ({})", self.name, self.pid());
        for line in self.log.lines().iter() {
            eprintln!("{line}");
        }
    }
}

impl Log {
    fn read(self: &Arc<Self>, stream: &'static str, output: impl Read + Send + 'static) {
        let log = Arc::clone(self);
        std::thread::spawn(move || {
            for line in BufReader::new(output).split(b'\n') {
                let Ok(line) = line else { break };
                let mut lines = log.lines();
                if lines.len() < MOST_LINES {
                    lines.push(format!("{stream}: {}", String::from_utf8_lossy(&line)));
                }
            }
        });
    }

    fn lines(&self) -> MutexGuard<'_, Vec<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs `command` to its end, one minute at most.
pub async fn run(command: Command) -> anyhow::Result<Output> {
    let name = command.get_program().to_string_lossy().into_owned();
    let child = tokio::process::Command::from(command)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("start {name}"))?;
    let output = tokio::time::timeout(Duration::from_secs(60), child.wait_with_output())
        .await
        .with_context(|| format!("{name} took too long"))?
        .with_context(|| format!("wait for {name}"))?;
    Ok(Output {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// A process found by its environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its id.
    pub pid: u32,
    /// Its command line.
    pub words: Vec<String>,
}

/// All processes, of whatever parent, in whose environment `name` is `value`.
pub fn with_variable(name: &str, value: impl AsRef<OsStr>) -> Vec<Found> {
    let mut wanted = format!("{name}=").into_bytes();
    wanted.extend_from_slice(value.as_ref().as_encoded_bytes());
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let environment = fs::read(entry.path().join("environ")).ok()?;
            environment
                .split(|byte| *byte == 0)
                .any(|variable| variable == wanted)
                .then_some(())?;
            let words = fs::read(entry.path().join("cmdline")).ok()?;
            let words = words.split(|byte| *byte == 0).filter(|word| !word.is_empty());
            Some(Found {
                pid,
                words: words
                    .map(|word| String::from_utf8_lossy(word).into_owned())
                    .collect(),
            })
        })
        // A zombie has no command line, and nothing to signal.
        .filter(|found: &Found| !found.words.is_empty())
        .collect()
}

/// SIGKILL to all those processes, and their end.
pub fn end_all_with(name: &str, value: impl AsRef<OsStr>) {
    let value = value.as_ref();
    let began = Instant::now();
    // Again and again, because one may start another while it is looked for.
    while began.elapsed() < Duration::from_secs(5) {
        let found = with_variable(name, value);
        if found.is_empty() {
            return;
        }
        for found in found {
            // Fails only when it has ended already.
            let _ = signal_to(found.pid, Signal::KILL);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// How long a process was on a processor so far, all its threads together.
pub fn processor_time(pid: u32) -> anyhow::Result<Duration> {
    let tasks =
        fs::read_dir(format!("/proc/{pid}/task")).with_context(|| format!("find threads of {pid}"))?;
    // A thread may end while they are counted.
    let told = tasks.flatten().filter_map(|task| fs::read_to_string(task.path().join("schedstat")).ok());
    let times = told.filter_map(|told| told.split(' ').next()?.parse::<u64>().ok());
    Ok(Duration::from_nanos(times.sum()))
}

/// Sends a signal to a process of this test by its id.
pub fn signal_to(pid: u32, signal: Signal) -> anyhow::Result<()> {
    let raw = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let pid = raw.with_context(|| format!("{pid} is no process id"))?;
    kill_process(pid, signal).with_context(|| format!("send {signal:?} to {pid}"))
}
