//! Carrying out a transaction's file writes. Each of them can be repeated.

use std::fs::File;
use std::io;
use std::path::Path;

use super::disk::Disk;
use super::record::{Op, Transaction};

/// Carries out a transaction below the root, in order.
pub(super) fn apply(disk: &impl Disk, root: &Path, transaction: &Transaction) -> io::Result<()> {
    transaction.ops().iter().try_for_each(|op| match op {
        Op::Put { path, bytes } => put(disk, &root.join(path), bytes),
        Op::WriteAt { path, offset, bytes } => write_at(disk, &root.join(path), *offset, bytes),
    })
}

fn put(disk: &impl Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    // Only the journal's thread writes these files, so one fixed name beside each is enough.
    let temporary = path.with_added_extension("new");
    let file = with_parent(disk, path, || disk.open(&temporary, true))?;
    disk.write(&temporary, &file, 0, bytes)?;
    disk.rename(&temporary, path)
}

fn write_at(disk: &impl Disk, path: &Path, offset: u64, bytes: &[u8]) -> io::Result<()> {
    let file = with_parent(disk, path, || disk.open(path, false))?;
    disk.write(path, &file, offset, bytes)?;
    disk.cut(path, &file, offset + bytes.len() as u64)
}

/// Opens a file, making its folder when that is what is missing.
fn with_parent(disk: &impl Disk, path: &Path, open: impl Fn() -> io::Result<File>) -> io::Result<File> {
    match open() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            disk.make_folder(path.parent().ok_or(error)?)?;
            open()
        }
        outcome => outcome,
    }
}
