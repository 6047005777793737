//! What creates leave behind that were killed half-way: found by their records, removed by whoever comes
//! next.

use std::path::PathBuf;
use std::{fs, io};

use remotelab_config::lock::{self, FileLock};
use remotelab_config::registry::{self, Record, Registry, State};
use remotelab_config::{InstanceName, OwnerPaths};

use super::System;

/// Removes every guest whose creation has died. Creates that are at work hold their lock and are left
/// alone.
///
/// # Errors
/// When the registry cannot be read or written.
pub fn clean(paths: &OwnerPaths, system: &dyn System) -> Result<(), registry::Error> {
    let is_half = |record: &&Record| record.state == State::Creating;
    // Looking first keeps the usual case free of locks and writes.
    if !Registry::load(&paths.registry())?.guests.iter().any(|record| is_half(&record)) {
        return Ok(());
    }
    let orphans: Vec<(Record, FileLock)> =
        Registry::update(&paths.registry(), |registry| -> Result<_, registry::Error> {
            let halves = registry.guests.iter().filter(is_half);
            Ok(halves.filter_map(|half| Some((half.clone(), lock_dead(paths, half)?))).collect())
        })?;
    for (record, lock) in orphans {
        tracing::info!("removing {}, whose creation was cut off", record.name);
        discard(paths, &record, lock, system);
    }
    Ok(())
}

/// Removes all that a create has made. What cannot be removed stays marked, and is tried again by the next
/// command.
pub(super) fn discard(paths: &OwnerPaths, record: &Record, lock: FileLock, system: &dyn System) {
    let name = &record.name;
    if let Err(error) = system.stop(name) {
        tracing::warn!(%error, "cannot stop {name}, which was not fully created");
        return;
    }
    match fs::remove_dir_all(&record.instance_root) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(%error, "cannot remove {}", record.instance_root.display());
            return;
        }
        _ => {}
    }
    let outcome = Registry::update(&paths.registry(), |registry| {
        registry.guests.retain(|other| other.name != *name || other.state != State::Creating);
        release(paths, name, lock);
        Ok::<_, registry::Error>(())
    });
    if let Err(error) = outcome {
        tracing::warn!(%error, "cannot remove {name} from the list of guests");
    }
}

/// Held by the create that is at work on a guest.
pub(super) fn lock_path(paths: &OwnerPaths, name: &InstanceName) -> PathBuf {
    paths.runtime().join(format!("create-{name}.lock"))
}

/// Gives a create's lock back. To be called under the registry's lock, under which it was taken: nobody
/// else can then hold the file that is removed here.
pub(super) fn release(paths: &OwnerPaths, name: &InstanceName, lock: FileLock) {
    // A file that stays is taken again by the next create of this name.
    let _ = fs::remove_file(lock_path(paths, name));
    drop(lock);
}

fn lock_dead(paths: &OwnerPaths, record: &Record) -> Option<FileLock> {
    match FileLock::try_acquire(&lock_path(paths, &record.name)) {
        Ok(lock) => Some(lock),
        Err(lock::Error::Held(_)) => None,
        Err(error) => {
            tracing::warn!(%error, "cannot tell whether {} is being created", record.name);
            None
        }
    }
}
