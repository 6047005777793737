//! The file operations that changes are made of: one place, so that a test can let each of them fail.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

/// What the journal does to files. The methods as they stand are the real thing.
pub(crate) trait Disk: Clone + Send + 'static {
    /// The room in a journal file. One that is fuller is replaced: what a start after a crash has to carry
    /// out again stays small.
    const JOURNAL_LIMIT: u64 = 1 << 20;

    /// Whoever changes a file changes it again soon: the longer it waits, the fewer are written.
    const PACE: Pace = Pace {
        quiet: Duration::from_millis(20),
        late: Duration::from_millis(250),
        files: 2_048,
        bytes: 8 << 20,
        most_bytes: 64 << 20,
    };

    fn create_new(&self, path: &Path) -> io::Result<File> {
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
    }

    /// Opens a file for writing and makes it when missing.
    fn open(&self, path: &Path, empty: bool) -> io::Result<File> {
        OpenOptions::new().write(true).create(true).truncate(empty).mode(0o600).open(path)
    }

    fn write(&self, _path: &Path, file: &File, offset: u64, bytes: &[u8]) -> io::Result<()> {
        file.write_all_at(bytes, offset)
    }

    fn cut(&self, _path: &Path, file: &File, length: u64) -> io::Result<()> {
        file.set_len(length)
    }

    fn sync(&self, _path: &Path, file: &File) -> io::Result<()> {
        file.sync_data()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn make_folder(&self, path: &Path) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(path)
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    /// Makes everything on the root's file system durable.
    fn sync_file_system(&self, root: &Path) -> io::Result<()> {
        #[cfg(target_os = "linux")]
        rustix::fs::syncfs(File::open(root)?)?;
        #[cfg(not(target_os = "linux"))]
        {
            let _ = root;
            rustix::fs::sync();
        }
        Ok(())
    }
}

/// When changes are carried out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// When nothing was added for so long.
    pub(crate) quiet: Duration,
    /// When the oldest has waited for so long.
    pub(crate) late: Duration,
    /// When there are so many files.
    pub(crate) files: usize,
    /// When they hold so many bytes.
    pub(crate) bytes: usize,
    /// With so many bytes in memory, callers are held back.
    pub(crate) most_bytes: usize,
}

/// The disk of the machine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RealDisk;

impl Disk for RealDisk {}
