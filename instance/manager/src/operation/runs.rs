//! Runs of a guest, which live on when its server ends.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{fs, io, thread};

use remotelab_config::atomic;
use remotelab_config::lock::FileLock;
use remotelab_config::registry::Record;
use remotelab_executor::runner;

use super::Error;

/// Longer than a runner takes to kill an executor that does not listen.
const PATIENCE: Duration = Duration::from_secs(10);

const PAUSE: Duration = Duration::from_millis(20);

/// Asks all runs to end and returns when nothing works on the guest's files any more.
pub(super) fn end(record: &Record) -> Result<(), Error> {
    let paths = record.paths();
    let (runs, lock) = (paths.chat_runs(), paths.server_lock());
    let cannot = |path: &Path, source| atomic::Error::new("read", path, source);
    let alive = || alive(&runs).map_err(|error| cannot(&runs, error));
    // The server has been stopped, unless somebody else runs it.
    if FileLock::is_held(&lock).map_err(|error| cannot(&lock, error))? {
        return Err(Error::InUse(record.name.clone(), "its chat server still runs"));
    }
    for run in alive()? {
        runner::request_cancel(&run).map_err(|error| cannot(&run, error))?;
    }
    let deadline = Instant::now() + PATIENCE;
    while !alive()?.is_empty() {
        if Instant::now() >= deadline {
            return Err(Error::InUse(record.name.clone(), "a run of it does not end"));
        }
        thread::sleep(PAUSE);
    }
    Ok(())
}

fn alive(runs: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(runs) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        outcome => outcome?,
    };
    let mut alive = Vec::new();
    for entry in entries {
        let folder = entry?.path();
        if folder.is_dir() && runner::is_alive(&folder)? {
            alive.push(folder);
        }
    }
    Ok(alive)
}
