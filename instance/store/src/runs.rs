//! The files of runs.

use std::path::PathBuf;

use remotelab_config::{InstancePaths, atomic};
use remotelab_protocol::run::{Manifest, RunnerReport};
use remotelab_protocol::{Run, RunId, run::RunResult};

use crate::journal::Files;

/// Returns the folder of a run.
#[must_use]
pub fn folder(paths: &InstancePaths, run: &RunId) -> PathBuf {
    paths.chat_runs().join(run.as_str())
}

/// Makes the folder of a run that is durable, for what its runner writes: its records may come later. Blocks.
///
/// # Errors
/// When it cannot be made.
pub fn make_folder(paths: &InstancePaths, run: &RunId) -> Result<PathBuf, atomic::Error> {
    let folder = folder(paths, run);
    atomic::create_private_dir(&folder)?;
    Ok(folder)
}

/// Reads a run's record; `None` when there is no such run. Blocks.
///
/// # Errors
/// When the record exists and cannot be read.
pub fn load(files: &Files, run: &RunId) -> Result<Option<Run>, atomic::Error> {
    files.read_json(&relative::status(run))
}

/// Reads what a run was asked to do. Blocks.
///
/// # Errors
/// When the file exists and cannot be read.
pub fn manifest(files: &Files, run: &RunId) -> Result<Option<Manifest>, atomic::Error> {
    files.read_json(&relative::manifest(run))
}

/// Reads what a run's runner told of itself. Blocks.
///
/// # Errors
/// When the file exists and cannot be read.
pub fn report(paths: &InstancePaths, run: &RunId) -> Result<Option<RunnerReport>, atomic::Error> {
    atomic::read_json(&folder(paths, run).join("runner.json"))
}

/// Reads how a run's executor ended. Blocks.
///
/// # Errors
/// When the file exists and cannot be read.
pub fn result(paths: &InstancePaths, run: &RunId) -> Result<Option<RunResult>, atomic::Error> {
    atomic::read_json(&folder(paths, run).join("result.json"))
}

/// Relative paths of a run's files, for transactions.
pub(crate) mod relative {
    use remotelab_protocol::RunId;

    pub(crate) fn manifest(id: &RunId) -> String {
        format!("chat-runs/{id}/manifest.json")
    }

    pub(crate) fn status(id: &RunId) -> String {
        format!("chat-runs/{id}/status.json")
    }
}
