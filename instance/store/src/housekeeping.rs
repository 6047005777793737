//! What takes the room of an instance, and clearing away what nobody needs.
//!
//! Both work on the files alone, also while a server runs there. Nothing is ever cleared away but by being
//! asked to; session history and runs under way are never touched.

mod media;
mod prune;
mod unused;
mod usage;

pub use prune::{Kind, Plan, Pruned, Removed, Skipped, prune};
pub use usage::{SessionRoom, Usage, free, usage};

use std::fs;
use std::path::{Path, PathBuf};

/// A file with its size.
struct File {
    path: PathBuf,
    bytes: u64,
}

/// How deep folders are looked into.
const DEPTH: usize = 12;

/// How deep folders of work are looked into.
const WORK_DEPTH: usize = 40;

/// Returns what the files below a folder take on the disk. Links are not followed. Blocks, long where there is much.
#[must_use]
pub fn taken(folder: &Path) -> u64 {
    let mut bytes = 0_u64;
    walk_to(folder, WORK_DEPTH, &mut |file| bytes = bytes.saturating_add(file.bytes));
    bytes
}

/// Calls `found` with every file below a folder. Links are counted as themselves and not followed; what
/// cannot be listed is as if it were empty.
fn walk(folder: &Path, found: &mut impl FnMut(File)) {
    walk_to(folder, DEPTH, found);
}

fn walk_to(folder: &Path, depth: usize, found: &mut impl FnMut(File)) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(about) = entry.metadata() else { continue };
        if !about.is_dir() {
            found(File { path: entry.path(), bytes: room(&about) });
        } else if depth > 1 {
            walk_to(&entry.path(), depth - 1, found);
        }
    }
}

/// What a file takes on the disk: small ones take a whole block.
fn room(about: &fs::Metadata) -> u64 {
    use std::os::unix::fs::MetadataExt;
    about.blocks().saturating_mul(512)
}

#[cfg(test)]
mod tests;
