//! What a server makes of a run that it finds, after its own restart or its runner's death.

use std::io;
use std::path::Path;

use remotelab_config::atomic;
use remotelab_config::lock::{self, FileLock};
use remotelab_protocol::run::RunResult;

use super::{files, group};
use crate::failure::DISAPPEARED;

/// How a run stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settled {
    /// Its runner is at work.
    Alive,
    /// Nothing was started yet: a runner may be spawned, or is about to begin if one was just now.
    NotStarted,
    /// It is over.
    Ended(RunResult),
}

/// Finds out how a run stands. Where the runner died without a word, its executor is killed and the run's
/// result written, so that the answer is [`Settled::Ended`] from then on. Blocks for some file operations.
///
/// # Errors
/// When the run's files cannot be read or written.
pub fn settle(run_dir: &Path, cancel_requested: bool) -> io::Result<Settled> {
    if let Some(result) = read_result(run_dir)? {
        return Ok(Settled::Ended(result));
    }
    // Asked without the lock, which a runner may be about to take.
    if !files::is_started(run_dir) {
        return Ok(Settled::NotStarted);
    }
    // And without opening it for writing, which would look like the end of a runner to who watches the folder.
    if super::is_alive(run_dir)? {
        return Ok(Settled::Alive);
    }
    let _lock = match FileLock::try_acquire(&files::lock(run_dir)) {
        Ok(lock) => lock,
        Err(lock::Error::Held(_)) => return Ok(Settled::Alive),
        Err(error) => return Err(io::Error::other(error)),
    };
    // The runner may have finished between the two questions.
    if let Some(result) = read_result(run_dir)? {
        return Ok(Settled::Ended(result));
    }
    let cancelled = cancel_requested || files::cancel(run_dir).exists();
    let result = interrupted(run_dir, cancelled);
    files::write_result(run_dir, &result)?;
    Ok(Settled::Ended(result))
}

/// Writes the result of a run that a server cannot start, with the reason for people; for a runner that
/// [`super::spawn`] failed to start, or that ended and left [`Settled::NotStarted`]. A result that is there
/// already stays.
///
/// # Errors
/// When a runner is at work on it, or its files cannot be read or written.
pub fn give_up(run_dir: &Path, reason: &str) -> io::Result<RunResult> {
    let _lock = FileLock::try_acquire(&files::lock(run_dir)).map_err(io::Error::other)?;
    if let Some(result) = read_result(run_dir)? {
        return Ok(result);
    }
    let result = files::failed(reason, files::cancel(run_dir).exists());
    files::write_result(run_dir, &result)?;
    Ok(result)
}

/// Ends what a dead runner left and makes the result of its run. The caller holds the run's lock.
pub(super) fn interrupted(run_dir: &Path, cancelled: bool) -> RunResult {
    match super::report(run_dir) {
        Ok(Some(report)) => {
            group::kill_leftovers(&report);
        }
        // It died before it could tell of its executor, if there is one.
        _ => files::claimant(run_dir).iter().for_each(group::Claimant::kill_leftovers),
    }
    files::failed(DISAPPEARED, cancelled)
}

pub(super) fn read_result(run_dir: &Path) -> io::Result<Option<RunResult>> {
    match super::result(run_dir) {
        // A damaged result says at least that the run is over.
        Err(atomic::Error { step: "parse", .. }) => {
            Ok(Some(files::failed("The record of how this run ended is damaged", false)))
        }
        outcome => outcome.map_err(io::Error::other),
    }
}
