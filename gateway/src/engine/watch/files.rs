//! Small files that are read again only when they changed.

use std::collections::HashMap;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Service definitions and keys are small; anything longer is neither.
const MAX_LEN: u64 = 64 * 1024;
/// A file that was just written may be written again within the same tick of its clock, unseen.
const UNSETTLED_NS: i128 = 1_000_000_000;

/// Which state of a file was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) struct Stamp {
    device: u64,
    inode: u64,
    len: u64,
    modified_ns: i128,
    changed_ns: i128,
}

impl Stamp {
    /// Looks at a file; `None` when it is not there.
    pub(in crate::engine) fn of(path: &Path) -> Option<Self> {
        fs::metadata(path).ok().map(|metadata| Self::new(&metadata))
    }

    fn new(metadata: &Metadata) -> Self {
        let ns = |seconds: i64, ns: i64| i128::from(seconds) * 1_000_000_000 + i128::from(ns);
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            len: metadata.len(),
            modified_ns: ns(metadata.mtime(), metadata.mtime_nsec()),
            changed_ns: ns(metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    pub(in crate::engine) fn is_longer_than(&self, len: u64) -> bool {
        self.len > len
    }

    /// Tells whether a change from now on would show.
    pub(in crate::engine) fn is_settled(&self) -> bool {
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_nanos();
        let age = i128::try_from(now).unwrap_or(i128::MAX) - self.modified_ns.max(self.changed_ns);
        age >= UNSETTLED_NS
    }
}

/// What was made of files. Two rounds of the same files cost one look at each.
#[derive(Debug)]
pub(super) struct Files<T> {
    known: HashMap<PathBuf, Known<T>>,
    /// What this round asked for.
    asked: HashMap<PathBuf, Known<T>>,
}

#[derive(Debug)]
struct Known<T> {
    stamp: Option<Stamp>,
    made: T,
}

impl<T> Default for Files<T> {
    fn default() -> Self {
        Self { known: HashMap::new(), asked: HashMap::new() }
    }
}

impl<T: Clone> Files<T> {
    /// Returns what `make` makes of a file, from before if the file is as it was.
    pub(super) fn get(&mut self, path: &Path, make: impl FnOnce(&Path) -> T) -> T {
        let stamp = Stamp::of(path);
        let known = self.known.remove(path).filter(|known| stamp.is_some() && known.stamp == stamp);
        // What is made may make the file.
        let known = known.unwrap_or_else(|| Known { made: make(path), stamp });
        let made = known.made.clone();
        let settled = known.stamp.filter(Stamp::is_settled);
        self.asked.insert(path.to_owned(), Known { stamp: settled, ..known });
        made
    }

    /// Ends a round: files that nobody asked for are forgotten.
    pub(super) fn end_round(&mut self) {
        self.known = std::mem::take(&mut self.asked);
    }

    /// Tells whether all files of the last round are as they were.
    pub(super) fn are_unchanged(&self) -> bool {
        self.known.iter().all(|(path, known)| known.stamp.is_some() && Stamp::of(path) == known.stamp)
    }

    /// Files of the last round.
    pub(super) fn paths(&self) -> impl Iterator<Item = &Path> {
        self.known.keys().map(PathBuf::as_path)
    }
}

/// Reads a file that is small.
pub(super) fn small_file(path: &Path) -> io::Result<String> {
    if fs::metadata(path)?.len() > MAX_LEN {
        return Err(io::Error::from(io::ErrorKind::FileTooLarge));
    }
    fs::read_to_string(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::time::Duration;

    #[test]
    fn only_what_changed_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        let mut files = Files::default();
        let mut reads = 0;
        let mut read = |files: &mut Files<String>| {
            let made = files.get(&path, |path| {
                reads += 1;
                small_file(path).unwrap_or_default()
            });
            files.end_round();
            (made, reads)
        };
        assert_eq!(read(&mut files), (String::new(), 1));
        fs::write(&path, "new").unwrap();
        assert_eq!(read(&mut files), ("new".into(), 2));
        // Just written: it might be written again within the same tick.
        assert_eq!(read(&mut files), ("new".into(), 3));
        assert!(!files.are_unchanged());
        let settle = |path: &Path| {
            let old = SystemTime::now() - Duration::from_secs(60);
            File::options().append(true).open(path).unwrap().set_modified(old).unwrap();
        };
        settle(&path);
        // The time of the change of its time is new, so it is not settled yet.
        assert_eq!(read(&mut files).1, 4);
    }
}
