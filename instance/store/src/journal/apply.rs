//! Carrying out the changes of files. Each of them can be repeated.

use std::fs::File;
use std::io;
use std::path::Path;

use super::changes::{Change, Changes};
use super::disk::Disk;

/// Carries out changes below the root, in order, while `go_on` says so.
pub(super) fn apply(
    disk: &impl Disk,
    root: &Path,
    changes: &Changes,
    go_on: impl Fn() -> bool,
) -> io::Result<()> {
    let changes = changes.in_order().into_iter().take_while(|_| go_on());
    for (path, Change { from, bytes }) in changes {
        match from {
            None => put(disk, &root.join(path), bytes)?,
            Some(offset) => write_at(disk, &root.join(path), *offset, bytes)?,
        }
    }
    Ok(())
}

fn put(disk: &impl Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    // Only one thread carries changes out, so one fixed name beside each file is enough.
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
