//! One file of the journal.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::disk::Disk;

/// A file that records are appended to.
#[derive(Debug)]
pub(super) struct JournalFile {
    pub(super) path: PathBuf,
    pub(super) file: File,
    pub(super) number: u64,
    /// Up to where it holds acknowledged records.
    pub(super) length: u64,
    /// Whether there is room in it, so that a record changes neither its length nor its place on the disk:
    /// a sync then takes half the time and nothing else along.
    pub(super) is_filled: bool,
}

impl JournalFile {
    /// Makes an empty file.
    pub(super) fn create(disk: &impl Disk, folder: &Path, number: u64) -> io::Result<Self> {
        let path = folder.join(format!("{number:09}.wal"));
        let file = disk.create_new(&path)?;
        disk.sync_folder(folder)?;
        Ok(Self { path, file, number, length: 0, is_filled: false })
    }

    /// Makes a file with room up to the limit. Takes its time.
    pub(super) fn create_filled<D: Disk>(disk: &D, folder: &Path, number: u64) -> io::Result<Self> {
        let made = Self::create(disk, folder, number)?;
        // Nought is no record.
        let room = vec![0; usize::try_from(D::JOURNAL_LIMIT).unwrap_or_default()];
        let filled =
            disk.write(&made.path, &made.file, 0, &room).and_then(|()| disk.sync(&made.path, &made.file));
        if let Err(error) = filled {
            // On a full disk it would take the last room.
            let _ = disk.remove(&made.path);
            return Err(error);
        }
        Ok(Self { is_filled: true, ..made })
    }
}
