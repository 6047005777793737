//! Raw mail, named by its content: `blobs/<aa>/<sha256>`.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use remotelab_config::atomic;

use super::{Error, Store};
use crate::scan::{Scan, Scanner};

/// A message on its way to the disk. Dropped before [`Incoming::keep`], it leaves nothing behind.
pub(crate) struct Incoming {
    blobs: PathBuf,
    temporary: PathBuf,
    file: BufWriter<File>,
    scanner: Scanner,
    kept: bool,
}

/// A message on the disk, synced.
#[derive(Debug)]
pub(crate) struct Blob {
    pub(crate) scan: Scan,
}

impl Store {
    /// Begins to take in a message.
    pub(crate) fn incoming(&self) -> Result<Incoming, Error> {
        let blobs = self.root.join("blobs");
        let temporary = blobs.join(format!("tmp-{:032x}", rand::random::<u128>()));
        let file = create_private_file(&temporary)?;
        let scanner = Scanner::new();
        Ok(Incoming { blobs, temporary, file: BufWriter::new(file), scanner, kept: false })
    }

    /// Reads a message back.
    pub(crate) fn raw(&self, sha256: &str) -> Result<Vec<u8>, Error> {
        let path = place(&self.root.join("blobs"), sha256);
        Ok(std::fs::read(&path).map_err(|source| atomic::Error::new("read", &path, source))?)
    }

    /// Reads the beginning of a message, at most `most` bytes.
    pub(crate) fn raw_head(&self, sha256: &str, most: u64) -> Result<Vec<u8>, Error> {
        let path = place(&self.root.join("blobs"), sha256);
        let mut head = Vec::new();
        let read = File::open(&path).and_then(|file| file.take(most).read_to_end(&mut head));
        read.map_err(|source| atomic::Error::new("read", &path, source))?;
        Ok(head)
    }

    /// Opens a message for reading.
    pub(crate) fn raw_file(&self, sha256: &str) -> Result<File, Error> {
        let path = place(&self.root.join("blobs"), sha256);
        Ok(File::open(&path).map_err(|source| atomic::Error::new("read", &path, source))?)
    }

    /// Lists the raw mails by their names.
    pub(super) fn raw_names(&self) -> Vec<String> {
        let folders = std::fs::read_dir(self.root.join("blobs")).into_iter().flatten().flatten();
        let files =
            folders.flat_map(|folder| std::fs::read_dir(folder.path()).into_iter().flatten().flatten());
        files.filter_map(|file| file.file_name().into_string().ok()).collect()
    }

    /// Removes what processes that died left behind: a command may be taking mail in right now, but
    /// not for an hour.
    pub(crate) fn sweep_temporary(&self) {
        let Ok(entries) = std::fs::read_dir(self.root.join("blobs")) else {
            return;
        };
        for entry in entries.flatten() {
            let age = entry.metadata().and_then(|data| data.modified()).map(|time| time.elapsed());
            let is_old = matches!(age, Ok(Ok(age)) if age > Duration::from_secs(3600));
            if is_old && entry.file_name().to_string_lossy().starts_with("tmp-") {
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }
}

impl Incoming {
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.scanner.update(bytes);
        Ok(self.file.write_all(bytes).map_err(|source| self.failed(source))?)
    }

    /// Returns SHA-256 over the bytes so far, in hex.
    pub(crate) fn digest(&self) -> String {
        self.scanner.digest()
    }

    /// Makes the message durable under its final name.
    pub(crate) fn keep(mut self) -> Result<Blob, Error> {
        let scan = std::mem::replace(&mut self.scanner, Scanner::new()).finish();
        let path = place(&self.blobs, &scan.sha256);
        let folder = path.parent().unwrap_or(&self.blobs).to_owned();
        let is_new_folder = !folder.is_dir();
        atomic::create_private_dir(&folder)?;
        let keep = (|| {
            self.file.flush()?;
            self.file.get_ref().sync_all()?;
            std::fs::rename(&self.temporary, &path)?;
            self.kept = true;
            atomic::sync_dir(&folder)?;
            if is_new_folder {
                atomic::sync_dir(&self.blobs)?;
            }
            Ok(())
        })();
        keep.map_err(|source| self.failed(source))?;
        Ok(Blob { scan })
    }

    fn failed(&self, source: io::Error) -> atomic::Error {
        atomic::Error::new("write", &self.temporary, source)
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if !self.kept {
            let _ = std::fs::remove_file(&self.temporary);
        }
    }
}

/// Creates a file that must not exist yet, 0600 whatever the umask.
pub(super) fn create_private_file(path: &Path) -> Result<File, Error> {
    let created = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    Ok(match created {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            OpenOptions::new().write(true).open(path)
        }
        created => created,
    }
    .map_err(|source| atomic::Error::new("create", path, source))?)
}

pub(super) fn place(blobs: &Path, sha256: &str) -> PathBuf {
    blobs.join(&sha256[..2.min(sha256.len())]).join(sha256)
}
