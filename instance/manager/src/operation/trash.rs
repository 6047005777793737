//! Files of deleted guests: a folder each, and beside it what they were.

use std::path::{Path, PathBuf};
use std::{fs, io};

use remotelab_config::registry::Record;
use remotelab_config::{OwnerPaths, atomic};
use serde::{Deserialize, Serialize};

use super::Error;
use super::folders::{self, Move};

/// What the trash knows of a deleted guest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Note {
    /// Its record as it was.
    pub(crate) record: Record,
    /// When it was deleted: ISO-8601 UTC.
    pub(crate) deleted_at: String,
    /// Which of its folders went where.
    pub(crate) moves: Vec<Move>,
}

/// The three places of one entry: the folder, the note and the log.
pub(crate) fn places(paths: &OwnerPaths, entry: &str) -> [PathBuf; 3] {
    ["", ".json", ".log"].map(|end| paths.trash().join(format!("{entry}{end}")))
}

/// Writes the note first: what lies in the trash can always be told.
pub(super) fn put(
    paths: &OwnerPaths,
    record: &Record,
    entry: &str,
    deleted_at: &str,
    moves: &[Move],
) -> Result<(), Error> {
    let [folder, note, log] = places(paths, entry);
    atomic::create_private_dir(&paths.trash())?;
    let what = Note { record: record.clone(), deleted_at: deleted_at.to_owned(), moves: moves.to_vec() };
    atomic::write_json(&note, &what)?;
    moves.iter().try_for_each(folders::carry)?;
    // A guest without files has a place in the trash too.
    atomic::create_private_dir(&folder)?;
    rename_if_there(&record.log_path, &log)?;
    purge_logs(record)
}

/// Brings folders to their places. Those inside of others come out first.
pub(super) fn bring(moves: &[Move]) -> Result<(), Error> {
    moves.iter().try_for_each(|step| {
        folders::carry(step)?;
        // Somebody may have emptied the trash meanwhile.
        step.to.symlink_metadata().map_err(|error| atomic::Error::new("find", &step.to, error))?;
        Ok(())
    })
}

pub(super) fn bring_back(moves: &[Move]) -> Result<(), Error> {
    moves.iter().rev().try_for_each(folders::carry_back)
}

/// Removes what is left of an entry whose folders are back in their places.
pub(super) fn forget(paths: &OwnerPaths, record: &Record, entry: &str) -> Result<(), Error> {
    let [folder, note, log] = places(paths, entry);
    if !record.log_path.exists() {
        rename_if_there(&log, &record.log_path)?;
    }
    // Empty, or gone with the guest's root.
    let _ = fs::remove_dir(folder);
    folders::purge(&log)?;
    folders::purge(&note)
}

/// Removes an entry for good: out of sight at once, so that half of it is never restored.
pub(crate) fn remove(paths: &OwnerPaths, entry: &str) -> Result<(), Error> {
    let [folder, note, log] = places(paths, entry);
    let leaving = paths.trash().join(format!("{entry}.leaving"));
    rename_if_there(&folder, &leaving)?;
    for path in [note, log, leaving] {
        folders::purge(&path)?;
    }
    Ok(())
}

/// Removes what a kill has left of entries that were being removed.
pub(crate) fn remove_leavings(paths: &OwnerPaths) -> Result<(), Error> {
    for entry in fs::read_dir(paths.trash()).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|end| end == "leaving") {
            folders::purge(&path)?;
        }
    }
    Ok(())
}

/// Removes the log of a guest and the one that was put aside.
pub(super) fn purge_logs(record: &Record) -> Result<(), Error> {
    for log in [&record.log_path, &record.error_log_path] {
        if !log.as_os_str().is_empty() {
            folders::purge(log)?;
            folders::purge(&log.with_extension("log.1"))?;
        }
    }
    Ok(())
}

/// Moves a file that may not be there, or no longer.
pub(super) fn rename_if_there(from: &Path, to: &Path) -> Result<(), Error> {
    match fs::rename(from, to) {
        // On another file system: a log is not worth a copy.
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::CrossesDevices) => {
            Ok(())
        }
        outcome => Ok(outcome.map_err(|error| atomic::Error::new("move", from, error))?),
    }
}
