//! The files by which a runner and a server know of each other.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use remotelab_config::atomic;
use remotelab_protocol::run::RunResult;
use remotelab_protocol::time;

use super::group::Claimant;
use crate::spool;

pub(super) fn lock(run_dir: &Path) -> PathBuf {
    run_dir.join(super::HELD_OPEN)
}

pub(super) fn cancel(run_dir: &Path) -> PathBuf {
    run_dir.join("cancel")
}

pub(super) fn report(run_dir: &Path) -> PathBuf {
    run_dir.join("runner.json")
}

pub(super) fn result(run_dir: &Path) -> PathBuf {
    run_dir.join(super::RESULT)
}

/// Tells whether an executor was started, or may have been. Output alone proves it too: runs of the
/// earlier server have no mark.
pub(super) fn is_started(run_dir: &Path) -> bool {
    has_mark(run_dir) || spool::has_content(run_dir)
}

/// Tells whether a runner of ours claimed the run.
pub(super) fn has_mark(run_dir: &Path) -> bool {
    mark(run_dir).exists()
}

/// Returns whose runner that was; `None` when it was killed while it wrote so, before it started anything.
pub(super) fn claimant(run_dir: &Path) -> Option<Claimant> {
    atomic::read_json(&mark(run_dir)).ok().flatten()
}

/// Marks the run as started, durably; false when it was before.
pub(super) fn claim(run_dir: &Path) -> io::Result<bool> {
    if is_started(run_dir) {
        return Ok(false);
    }
    let created = OpenOptions::new().write(true).create_new(true).mode(0o600).open(mark(run_dir));
    match created {
        // That it is there says all; after a crash of the machine no process is left to be named.
        Ok(mut file) => {
            serde_json::to_writer(&mut file, &Claimant::this())?;
            atomic::sync_dir(run_dir).map(|()| true)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}

pub(super) fn write_result(run_dir: &Path, result: &RunResult) -> io::Result<()> {
    atomic::write_json(&self::result(run_dir), result).map_err(io::Error::other)
}

fn mark(run_dir: &Path) -> PathBuf {
    run_dir.join("started")
}

/// Makes the result of a run that ended without an executor's exit.
pub(super) fn failed(reason: impl Into<String>, cancelled: bool) -> RunResult {
    RunResult {
        completed_at: time::iso(Timestamp::now()),
        exit_code: Some(1),
        signal: None,
        cancelled,
        error: Some(reason.into()),
    }
}
