//! Advisory locks on files, released by the kernel when the holder dies.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::atomic;

/// An exclusive lock, held until it is dropped.
#[derive(Debug)]
pub struct FileLock {
    _file: File,
}

/// Why a lock was not taken.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process holds it.
    #[error("{} is in use by another process", .0.display())]
    Held(std::path::PathBuf),
    /// The lock file cannot be opened.
    #[error(transparent)]
    File(#[from] atomic::Error),
}

impl FileLock {
    /// Takes the lock at once or says that it is held.
    ///
    /// # Errors
    /// [`Error::Held`] when another holder lives; [`Error::File`] when the file cannot be opened.
    pub fn try_acquire(path: &Path) -> Result<Self, Error> {
        let file = open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(Error::Held(path.to_owned())),
            Err(TryLockError::Error(source)) => Err(Error::File(atomic::Error::new("lock", path, source))),
        }
    }

    /// Waits for the lock, at most `patience`. Blocks the calling thread.
    ///
    /// # Errors
    /// As [`FileLock::try_acquire`], with [`Error::Held`] when patience ran out.
    pub fn acquire(path: &Path, patience: Duration) -> Result<Self, Error> {
        let deadline = Instant::now() + patience;
        loop {
            match Self::try_acquire(path) {
                Err(Error::Held(_)) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                outcome => return outcome,
            }
        }
    }

    /// Tells whether a living process holds the lock, without taking it for longer than the question.
    ///
    /// # Errors
    /// When the file exists and cannot be opened or asked.
    pub fn is_held(path: &Path) -> io::Result<bool> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

fn open(path: &Path) -> Result<File, Error> {
    if let Some(folder) = path.parent() {
        atomic::create_private_dir(folder)?;
    }
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(|source| Error::File(atomic::Error::new("open", path, source)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holder_is_refused_until_the_first_lets_go() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("x.lock");
        let first = FileLock::try_acquire(&path).unwrap();
        assert!(matches!(FileLock::try_acquire(&path), Err(Error::Held(_))));
        assert!(FileLock::is_held(&path).unwrap());
        drop(first);
        assert!(!FileLock::is_held(&path).unwrap());
        FileLock::try_acquire(&path).unwrap();
    }
}
