//! The detached process that carries one run out, and how a server deals with it.
//!
//! A runner lives in its own process session and outlives the server. All that passes between the two
//! are files of the run's folder:
//!
//! | File | Written by | Meaning |
//! |---|---|---|
//! | `launch.json` | server | what to start |
//! | `runner.lock` | runner | locked as long as the runner lives |
//! | `started` | runner | from here on the run is never started again; whose process it is |
//! | `runner.json` | runner | which processes are at work |
//! | `spool.jsonl`, `artifacts/` | runner | what the executor printed |
//! | `cancel` | server | somebody asked to stop |
//! | `result.json` | runner, or a server that finds the runner dead | how it ended |

mod codex_metrics;
mod earlier;
mod execution;
mod fetch;
mod files;
mod group;
mod limit;
mod lines;
mod output;
mod processes;
mod settle;
mod stop;

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use remotelab_config::Env;
use remotelab_config::lock::{self, FileLock};
use remotelab_protocol::run::{RunResult, RunnerReport};

pub use earlier::settle_recorded;
pub use group::kill_leftovers;
pub use settle::{Settled, give_up, settle};

/// The hidden subcommand of `remotelab` that is a runner.
pub const SUBCOMMAND: &str = "runner";

/// The file whose change tells how a run ended.
pub const RESULT: &str = "result.json";
/// The files whose change tells that there is more to read.
pub const NEWS: [&str; 2] = ["spool.jsonl", "runner.json"];
/// The file that a runner holds open for writing until it ends, however it does.
pub const HELD_OPEN: &str = "runner.lock";

/// How long a new runner waits for the lock: a server that asks whether one lives holds it for a moment.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);

/// Starts a detached runner for a run whose `launch.json` is written. `env` becomes the executor's
/// environment as it is. Must be called inside a tokio runtime, which also reaps the process; the returned
/// child may be awaited or dropped. Starting a second runner for a run is harmless.
///
/// # Errors
/// When the program cannot be started or the log file not be made.
pub fn spawn(program: &Path, run_dir: &Path, env: &Env) -> io::Result<tokio::process::Child> {
    let log = OpenOptions::new().append(true).create(true).mode(0o600).open(run_dir.join("runner.log"))?;
    tokio::process::Command::new(program)
        .arg(SUBCOMMAND)
        .arg(run_dir)
        .env_clear()
        .envs(env.iter())
        .current_dir(run_dir)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .kill_on_drop(false)
        .spawn()
}

/// Tells whether a run's runner lives; a reused process number cannot deceive it.
///
/// # Errors
/// When the lock file exists and cannot be asked.
pub fn is_alive(run_dir: &Path) -> io::Result<bool> {
    FileLock::is_held(&files::lock(run_dir))
}

/// Asks a runner to stop its executor: SIGTERM to the process group, SIGKILL five seconds later. Works also
/// before the runner starts, and does nothing to a run that has ended.
///
/// # Errors
/// When the request cannot be written.
pub fn request_cancel(run_dir: &Path) -> io::Result<()> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(files::cancel(run_dir))
        .map(drop)
}

/// Reads what the runner reported; `None` before it has started.
///
/// # Errors
/// When the file cannot be read or is damaged.
pub fn report(run_dir: &Path) -> Result<Option<RunnerReport>, remotelab_config::atomic::Error> {
    remotelab_config::atomic::read_json(&files::report(run_dir))
}

/// Reads how the run ended; `None` while it has not.
///
/// # Errors
/// When the file cannot be read or is damaged.
pub fn result(run_dir: &Path) -> Result<Option<RunResult>, remotelab_config::atomic::Error> {
    remotelab_config::atomic::read_json(&files::result(run_dir))
}

/// Is the runner: carries out the run of `run_dir` and returns when it has ended. The executor gets `env`
/// as its environment.
#[must_use]
pub fn main(run_dir: &Path, env: Env) -> ExitCode {
    // Fails for the leader of a process group only, which a shell has set apart already.
    let _ = rustix::process::setsid();
    match carry_out(run_dir, &env) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(run = %run_dir.display(), %error, "the run could not be carried out");
            ExitCode::FAILURE
        }
    }
}

fn carry_out(run_dir: &Path, env: &Env) -> io::Result<()> {
    let _lock = match FileLock::acquire(&files::lock(run_dir), LOCK_PATIENCE) {
        Ok(lock) => lock,
        // Another runner is at work on it.
        Err(lock::Error::Held(_)) => return Ok(()),
        Err(error) => return Err(io::Error::other(error)),
    };
    if files::result(run_dir).exists() {
        return Ok(());
    }
    let result = if files::claim(run_dir)? {
        execution::execute(run_dir, env)
    } else {
        settle::interrupted(run_dir, files::cancel(run_dir).exists())
    };
    files::write_result(run_dir, &result)
}
