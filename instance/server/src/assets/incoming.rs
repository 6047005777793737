//! A file on its way in: written beside its place, durable before it has its name, gone when it is not
//! wanted after all.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use remotelab_config::atomic;
use tokio::io::AsyncWriteExt;

use super::sniff;
use crate::app::blocking;

/// The names of files on their way begin with this.
const PREFIX: &str = ".incoming-";

/// A file on its way in.
#[derive(Debug)]
pub(crate) struct Incoming {
    file: tokio::fs::File,
    temporary: Temporary,
    head: Vec<u8>,
    size: u64,
    limit: u64,
}

/// A file that goes when this does.
#[derive(Debug)]
struct Temporary(Option<PathBuf>);

/// Why a file was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("the file is larger than {0} bytes")]
    TooLarge(u64),
    #[error("cannot store a file")]
    Disk(#[source] io::Error),
}

impl Incoming {
    /// Begins a file of at most `limit` bytes in a folder, which is made when missing.
    pub(crate) async fn begin(folder: PathBuf, limit: u64) -> Result<Self, Error> {
        let temporary = folder.join(format!("{PREFIX}{:016x}", rand::random::<u64>()));
        let path = temporary.clone();
        let file = blocking(move || {
            use std::os::unix::fs::OpenOptionsExt;
            atomic::create_private_dir(&folder).map_err(io::Error::other)?;
            fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
        });
        let file = tokio::fs::File::from_std(file.await.map_err(Error::Disk)?);
        Ok(Self { file, temporary: Temporary(Some(temporary)), head: Vec::new(), size: 0, limit })
    }

    /// Adds bytes.
    pub(crate) async fn write(&mut self, bytes: &Bytes) -> Result<(), Error> {
        self.size += bytes.len() as u64;
        if self.size > self.limit {
            return Err(Error::TooLarge(self.limit));
        }
        let wanted = sniff::HEAD.saturating_sub(self.head.len()).min(bytes.len());
        self.head.extend_from_slice(&bytes[..wanted]);
        self.file.write_all(bytes).await.map_err(Error::Disk)
    }

    /// How many bytes there are so far.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// The first bytes.
    pub(crate) fn head(&self) -> &[u8] {
        &self.head
    }

    /// Gives the file its name, durably.
    pub(crate) async fn keep(mut self, path: PathBuf) -> Result<(), Error> {
        self.file.flush().await.map_err(Error::Disk)?;
        self.file.sync_all().await.map_err(Error::Disk)?;
        blocking(move || self.temporary.keep(&path)).await.map_err(Error::Disk)
    }
}

impl Temporary {
    fn keep(&mut self, path: &Path) -> io::Result<()> {
        let Some(temporary) = self.0.as_deref() else { return Ok(()) };
        if let Some(folder) = path.parent() {
            atomic::create_private_dir(folder).map_err(io::Error::other)?;
        }
        move_file(temporary, path)?;
        self.0 = None;
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let Some(path) = self.0.take() else { return };
        // What is left would never be looked at. Freeing gigabytes takes a moment that is not this thread's.
        let remove = move || drop(fs::remove_file(path));
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(remove)),
            Err(_) => remove(),
        }
    }
}

/// Moves a file durably, also to a folder on another disk. Blocks.
pub(super) fn move_file(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
            let folder = to.parent().unwrap_or(Path::new("."));
            let near = folder.join(format!("{PREFIX}{:016x}", rand::random::<u64>()));
            let copied = fs::copy(from, &near)
                .and_then(|_| fs::File::open(&near)?.sync_all())
                .and_then(|()| fs::rename(&near, to));
            if copied.is_err() {
                let _ = fs::remove_file(&near);
            }
            copied?;
            fs::remove_file(from)?;
        }
        outcome => outcome?,
    }
    atomic::sync_dir(to.parent().unwrap_or(Path::new(".")))
}

/// Removes what a server that died left half received: nobody was told that it arrived. Blocks.
pub(super) fn sweep(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        if is_leftover(&entry.file_name().to_string_lossy()) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Knows files on their way, and records that were being replaced.
fn is_leftover(name: &str) -> bool {
    name.starts_with(PREFIX) || (name.starts_with(".fasset_") && name.contains(".json.tmp-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_that_is_not_kept_leaves_nothing() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("in");
        let mut kept = Incoming::begin(folder.clone(), 5).await.unwrap();
        let mut dropped = Incoming::begin(folder.clone(), 5).await.unwrap();
        kept.write(&Bytes::from_static(b"hello")).await.unwrap();
        kept.keep(folder.join("a.txt")).await.unwrap();
        assert_eq!(
            dropped.write(&Bytes::from_static(b"hello!")).await.unwrap_err().to_string(),
            "the file is larger than 5 bytes"
        );
        drop(dropped);
        for leftover in [".incoming-of-a-dead-server", ".fasset_0.json.tmp-0"] {
            fs::write(folder.join(leftover), "half").unwrap();
        }
        sweep(&folder);
        let names = || fs::read_dir(&folder).unwrap().count();
        while names() > 1 {
            tokio::task::yield_now().await;
        }
        assert_eq!(fs::read_to_string(folder.join("a.txt")).unwrap(), "hello");
    }
}
