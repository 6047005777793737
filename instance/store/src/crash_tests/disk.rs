//! A disk that fails when told to, and forgets what was not synced when the power goes.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use crate::journal::disk::{Disk, Pace, RealDisk};

/// Syncs nothing for real, which keeps the tests fast; what it should have synced it remembers.
#[derive(Clone, Debug, Default)]
pub(super) struct FaultyDisk(Arc<Mutex<Faults>>);

#[derive(Debug, Default)]
struct Faults {
    operations: usize,
    fail_at: Option<usize>,
    /// Whether all operations after the failing one fail too, as after kill -9.
    dies: bool,
    /// Whether no file can be put in its place: the journal is written, what follows is not.
    no_renames: bool,
    renames: usize,
    /// Files written since they were last synced, and how many of their first bytes are safe.
    unsynced: BTreeMap<PathBuf, u64>,
    /// Files removed since their folder was last synced.
    removed: Vec<(PathBuf, Vec<u8>)>,
}

impl FaultyDisk {
    /// Fails the n-th operation, counted from 0; when it `dies`, all later ones as well.
    pub(super) fn failing(nth: usize, dies: bool) -> Self {
        Self(Arc::new(Mutex::new(Faults { fail_at: Some(nth), dies, ..Faults::default() })))
    }

    /// Lets no file be put in its place from here on.
    pub(super) fn refuse_renames(&self) {
        self.faults().no_renames = true;
    }

    /// How many files were put in their place.
    pub(super) fn renames(&self) -> usize {
        self.faults().renames
    }

    pub(super) fn operations(&self) -> usize {
        self.faults().operations
    }

    /// Waits until no thread of a store uses the disk any more.
    pub(super) fn wait_until_unused(&self) {
        while Arc::strong_count(&self.0) > 1 {
            std::thread::yield_now();
        }
    }

    /// Damages everything that no sync has made safe, as chance has it.
    pub(super) fn lose_power(&self, chance: &mut Chance) {
        let mut faults = self.faults();
        for (path, safe) in std::mem::take(&mut faults.unsynced) {
            let Ok(length) = fs::metadata(&path).map(|meta| meta.len()) else { continue };
            match chance.below(4) {
                0 => {}
                1 if safe == 0 => fs::remove_file(&path).unwrap(),
                _ if safe < length => {
                    let kept = safe + chance.below(length - safe);
                    OpenOptions::new().write(true).open(&path).unwrap().set_len(kept).unwrap();
                }
                _ => {}
            }
        }
        // File systems keep the order of such changes: what comes back is the latest part.
        let removed = std::mem::take(&mut faults.removed);
        let lost = usize::try_from(chance.below(removed.len() as u64 + 1)).unwrap();
        for (path, bytes) in removed.into_iter().skip(lost) {
            fs::write(path, bytes).unwrap();
        }
    }

    fn faults(&self) -> MutexGuard<'_, Faults> {
        self.0.lock().expect("nothing panics while it holds the lock")
    }

    fn step(&self) -> Result<(), Failed> {
        let mut faults = self.faults();
        let number = faults.operations;
        faults.operations += 1;
        match faults.fail_at {
            Some(nth) if number == nth => Err(Failed::Now),
            Some(nth) if number > nth && faults.dies => Err(Failed::Dead),
            _ => Ok(()),
        }
    }

    fn wrote(&self, path: &Path, safe: u64) {
        let mut faults = self.faults();
        let entry = faults.unsynced.entry(path.to_owned()).or_insert(safe);
        *entry = safe.min(*entry);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failed {
    Now,
    Dead,
}

impl From<Failed> for io::Error {
    fn from(_: Failed) -> Self {
        Self::new(io::ErrorKind::StorageFull, "the disk failed")
    }
}

impl Disk for FaultyDisk {
    const JOURNAL_LIMIT: u64 = 6_000;

    /// Time decides nothing: changes stay where they are until they are many or somebody asks.
    const PACE: Pace =
        Pace { quiet: Duration::MAX, late: Duration::MAX, files: 12, bytes: 20_000, most_bytes: 40_000 };

    fn create_new(&self, path: &Path) -> io::Result<File> {
        self.step()?;
        self.wrote(path, 0);
        RealDisk.create_new(path)
    }

    fn open(&self, path: &Path, empty: bool) -> io::Result<File> {
        self.step()?;
        RealDisk.open(path, empty)
    }

    fn write(&self, path: &Path, file: &File, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let outcome = self.step();
        if outcome == Err(Failed::Dead) {
            return Ok(outcome?);
        }
        self.wrote(path, offset);
        let written = if outcome.is_ok() { bytes } else { &bytes[..bytes.len() / 2] };
        RealDisk.write(path, file, offset, written)?;
        Ok(outcome?)
    }

    fn cut(&self, path: &Path, file: &File, length: u64) -> io::Result<()> {
        self.step()?;
        self.wrote(path, length);
        RealDisk.cut(path, file, length)
    }

    fn sync(&self, path: &Path, _file: &File) -> io::Result<()> {
        self.step()?;
        self.faults().unsynced.remove(path);
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step()?;
        if self.faults().no_renames {
            return Err(Failed::Now.into());
        }
        RealDisk.rename(from, to)?;
        self.faults().renames += 1;
        self.faults().unsynced.remove(from);
        self.wrote(to, 0);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.step()?;
        let bytes = fs::read(path)?;
        RealDisk.remove(path)?;
        self.faults().removed.push((path.to_owned(), bytes));
        Ok(())
    }

    fn make_folder(&self, path: &Path) -> io::Result<()> {
        self.step()?;
        RealDisk.make_folder(path)
    }

    fn sync_folder(&self, _path: &Path) -> io::Result<()> {
        self.step()?;
        self.faults().removed.clear();
        Ok(())
    }

    fn sync_file_system(&self, _root: &Path) -> io::Result<()> {
        self.step()?;
        self.faults().unsynced.clear();
        Ok(())
    }
}

/// Reproducible chance.
#[derive(Debug)]
pub(super) struct Chance(pub(super) u64);

impl Chance {
    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        if limit == 0 { 0 } else { (self.0 >> 33) % limit }
    }
}
