//! The files by which a runner and a server know of each other.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use remotelab_config::atomic;
use remotelab_protocol::run::RunResult;
use remotelab_protocol::time;

pub(super) fn lock(run_dir: &Path) -> PathBuf {
    run_dir.join("runner.lock")
}

pub(super) fn started(run_dir: &Path) -> PathBuf {
    run_dir.join("started")
}

pub(super) fn cancel(run_dir: &Path) -> PathBuf {
    run_dir.join("cancel")
}

pub(super) fn report(run_dir: &Path) -> PathBuf {
    run_dir.join("runner.json")
}

pub(super) fn result(run_dir: &Path) -> PathBuf {
    run_dir.join("result.json")
}

/// Marks the run as started, durably; false when it was before.
pub(super) fn claim(run_dir: &Path) -> io::Result<bool> {
    let created = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(started(run_dir));
    match created {
        Ok(file) => {
            file.sync_all()?;
            atomic::sync_dir(run_dir)?;
            Ok(true)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}

pub(super) fn write_result(run_dir: &Path, result: &RunResult) -> io::Result<()> {
    atomic::write_json(&self::result(run_dir), result).map_err(io::Error::other)
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
