//! One executor at work: from its start to its result.

use std::future::pending;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use jiff::Timestamp;
use remotelab_config::limits::Limits;
use remotelab_config::{Env, atomic};
use remotelab_protocol::run::{RunResult, RunnerReport};
use remotelab_protocol::time;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, ChildStdin, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until};

use super::limit::Watch;
use super::output::Output;
use super::stop::Stop;
use super::{codex_metrics, fetch, files, group};
use crate::contain::{self, Held, Walls};
use crate::spool::{Stream, Writer};
use crate::{Launch, cgroup, failure};

/// How often the runner looks whether somebody asked to stop.
const CANCEL_POLL: Duration = Duration::from_millis(200);
/// How long output is read after the executor's exit, while a process that it left holds the pipes.
const LINGER: Duration = Duration::from_secs(2);
/// How often a start is tried while the program's file is being written, as by an update.
const BUSY_TRIES: u32 = 20;
const BUSY_PAUSE: Duration = Duration::from_millis(50);
/// How far a run steps back for others.
const NICE: i32 = 10;
/// Where the kernel looks first when memory has run out; 1000 is first of all.
const DIES_FIRST: &str = "500";

/// Why there is no exit to tell of.
#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error("the run was stopped before it began")]
    Cancelled,
    /// A sentence for people.
    #[error("{0}")]
    Start(String),
    #[error("this run cannot be carried out: {step} failed: {source}")]
    Machine { step: &'static str, source: io::Error },
}

/// Carries the run out. Whatever happens, there is a result.
pub(super) fn execute(run_dir: &Path, env: &Env) -> RunResult {
    let worked = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(machine("starting the runtime"))
        .and_then(|runtime| runtime.block_on(work(run_dir, env)));
    worked.unwrap_or_else(|problem| match problem {
        Problem::Cancelled => RunResult { exit_code: None, error: None, ..files::failed("", true) },
        other => files::failed(other.to_string(), files::cancel(run_dir).exists()),
    })
}

async fn work(run_dir: &Path, env: &Env) -> Result<RunResult, Problem> {
    // Before the executor starts, so that no signal falls between.
    let mut terminate = signal(SignalKind::terminate()).map_err(machine("listening to signals"))?;
    let launch = Launch::read(run_dir)
        .map_err(|error| Problem::Start(error.to_string()))?
        .ok_or_else(|| Problem::Start("nothing was told what to start".into()))?;
    let mut spool = Writer::create(run_dir).map_err(machine("opening the spool"))?;
    if files::cancel(run_dir).exists() {
        return Err(Problem::Cancelled);
    }
    tokio::select! {
        fetched = fetch::all(&launch.downloads) => fetched.map_err(Problem::Start)?,
        () = cancelled(run_dir) => return Err(Problem::Cancelled),
        _ = terminate.recv() => return Err(Problem::Cancelled),
    }
    let limits = bound(&launch);
    let (mut child, _held) = start(&launch, env).await?;
    let leader = child.id().unwrap_or_default();
    if launch.contain.is_some() || !launch.limits.is_unset() {
        die_first(leader);
    }
    let mut watch = Watch::new(limits);
    let mut exceeded = None;
    let mut stop = Stop::new(leader);
    report(run_dir, leader).map_err(|error| give_up(&stop, "reporting the executor", error))?;
    if let (Some(stdin), Some(prompt)) = (child.stdin.take(), launch.stdin.clone()) {
        tokio::spawn(feed(stdin, prompt));
    }

    let mut output = Output::new(run_dir, &mut child);
    let mut exit: Option<(ExitStatus, Instant)> = None;
    let mut poll = interval(CANCEL_POLL);
    poll.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let status = loop {
        if let (Some((status, _)), true) = (exit, output.ended()) {
            break status;
        }
        tokio::select! {
            read = output.read(&mut spool), if !output.ended() => {
                read.map_err(|error| give_up(&stop, "writing the spool", error))?;
            }
            ended = child.wait(), if exit.is_none() => {
                let status = ended.map_err(|error| give_up(&stop, "waiting for the executor", error))?;
                exit = Some((status, Instant::now()));
            }
            _ = terminate.recv(), if exit.is_none() => stop.request(),
            _ = poll.tick(), if exit.is_none() => {
                if !stop.requested() && files::cancel(run_dir).exists() {
                    stop.request();
                }
                stop.escalate();
                if exceeded.is_none() {
                    exceeded = watch.exceeded();
                    if exceeded.is_some() {
                        watch.kill();
                        stop.kill();
                    }
                }
            }
            status = linger(exit) => break status,
        }
    };
    stop.see_through().await;
    let thread = output.finish(&mut spool).map_err(machine("writing the spool"))?;
    if let (Some(home), Some(thread)) = (&launch.codex_home, thread)
        && let Some(line) = codex_metrics::line(home, &thread)
    {
        spool.push(Stream::Stdout, &line);
    }
    spool.sync().map_err(machine("writing the spool"))?;
    Ok(RunResult { error: exceeded, ..result(status, stop.requested()) })
}

/// Has the kernel keep the run to its limits, where it was prepared for that; returns what is left to watch.
fn bound(launch: &Launch) -> Limits {
    if launch.limits.is_unset() {
        return launch.limits;
    }
    match launch.cgroup.as_deref().map(cgroup::enter) {
        Some(Ok(())) => return Limits::default(),
        Some(Err(error)) => tracing::warn!(%error, "the run is not in its control group, so it is watched"),
        None => tracing::warn!("no control groups were handed over: each run is watched by itself"),
    }
    // A share of the processor cannot be kept so; others come first at least.
    if launch.limits.cpu.is_some()
        && let Err(error) = rustix::process::nice(NICE)
    {
        tracing::warn!(%error, "the run cannot step back behind others");
    }
    launch.limits
}

/// When memory runs out, executors end before servers.
fn die_first(tool: u32) {
    let path = format!("/proc/{tool}/oom_score_adj");
    if Path::new("/proc/self/oom_score_adj").exists()
        && let Err(error) = std::fs::write(path, DIES_FIRST)
    {
        tracing::debug!(%error, "the executor dies no earlier than others");
    }
}

/// Waits until somebody asks to stop.
async fn cancelled(run_dir: &Path) {
    while !files::cancel(run_dir).exists() {
        sleep(CANCEL_POLL).await;
    }
}

/// Starts the executor at the head of a process group of its own.
async fn start(launch: &Launch, env: &Env) -> Result<(Child, Option<Held>), Problem> {
    let folder = &launch.folder;
    if !folder.is_dir() {
        let sentence = format!("The folder {} does not exist on this machine", folder.display());
        return Err(Problem::Start(sentence));
    }
    let mut command = match &launch.contain {
        Some(policy) => {
            contain::check(policy).map_err(|error| Problem::Start(error.to_string()))?;
            if !policy.covers(folder) {
                let sentence = format!("The folder {} does not belong to this instance", folder.display());
                return Err(Problem::Start(sentence));
            }
            if !launch.program.exists() {
                return Err(cannot_start(launch, &io::ErrorKind::NotFound.into()));
            }
            tell(policy.walls);
            let (program, args) = contain::wrapped(policy, &launch.program, &launch.args, folder);
            let mut command = Command::new(program);
            command.args(args);
            command
        }
        None => {
            let mut command = Command::new(&launch.program);
            command.args(&launch.args);
            command
        }
    };
    command
        .env_clear()
        .envs(env.iter())
        .current_dir(folder)
        .process_group(0)
        .stdin(match launch.stdin {
            Some(_) => Stdio::piped(),
            None => Stdio::null(),
        })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut tries = 0;
    loop {
        let spawned = match &launch.contain {
            Some(policy) => contain::spawn(policy, &mut command).map(|(child, held)| (child, Some(held))),
            None => command.spawn().map(|child| (child, None)).map_err(contain::Error::Start),
        };
        match spawned {
            Err(contain::Error::Start(error))
                if error.kind() == io::ErrorKind::ExecutableFileBusy && tries < BUSY_TRIES =>
            {
                tries += 1;
                sleep(BUSY_PAUSE).await;
            }
            Ok(started) => return Ok(started),
            Err(contain::Error::Start(error)) => return Err(cannot_start(launch, &error)),
            Err(error) => return Err(Problem::Start(error.to_string())),
        }
    }
}

/// Tells the operator what a contained run is not kept from.
fn tell(walls: Walls) {
    let gaps = walls.gaps();
    if !gaps.is_empty() {
        tracing::warn!(
            open = contain::list(&gaps),
            walls = walls.words(),
            "the run is contained in part only"
        );
    }
}

fn cannot_start(launch: &Launch, error: &io::Error) -> Problem {
    let (name, program) = (&launch.tool_name, launch.program.display());
    Problem::Start(match error.kind() {
        io::ErrorKind::NotFound if launch.program.is_file() => {
            format!("{name} could not be started: the interpreter that {program} names is missing")
        }
        io::ErrorKind::NotFound => failure::not_found(name, &launch.program),
        io::ErrorKind::PermissionDenied => {
            format!("{name} could not be started: {program} may not be executed")
        }
        _ => format!("{name} could not be started: {error}"),
    })
}

fn report(run_dir: &Path, tool: u32) -> io::Result<()> {
    let report = RunnerReport {
        runner_process_id: std::process::id(),
        tool_process_id: Some(tool),
        tool_start_ticks: group::start_of(tool),
        started_at: Some(time::iso(Timestamp::now())),
    };
    // Not durable: after a crash of the machine none of these processes is left.
    atomic::replace_json(&files::report(run_dir), &report).map_err(io::Error::other)
}

/// Writes the prompt beside everything else; an executor that does not read it to the end is its own affair.
async fn feed(mut stdin: ChildStdin, prompt: String) {
    let _ = stdin.write_all(prompt.as_bytes()).await;
}

/// Returns the exit some time after it; waits for ever while there is none.
async fn linger(exit: Option<(ExitStatus, Instant)>) -> ExitStatus {
    match exit {
        Some((status, at)) => {
            sleep_until(at + LINGER).await;
            status
        }
        None => pending().await,
    }
}

fn result(status: ExitStatus, cancelled: bool) -> RunResult {
    RunResult {
        completed_at: time::iso(Timestamp::now()),
        exit_code: status.code(),
        signal: status.signal().map(signal_name),
        cancelled,
        error: None,
    }
}

fn signal_name(number: i32) -> String {
    let name = match number {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        5 => "SIGTRAP",
        6 => "SIGABRT",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        14 => "SIGALRM",
        15 => "SIGTERM",
        other => return format!("SIG{other}"),
    };
    name.to_owned()
}

/// Kills an executor whose run cannot be kept track of.
fn give_up(stop: &Stop, step: &'static str, source: io::Error) -> Problem {
    stop.kill();
    Problem::Machine { step, source }
}

fn machine(step: &'static str) -> impl FnOnce(io::Error) -> Problem {
    move |source| Problem::Machine { step, source }
}
