//! Files that are either old or new, never half of each.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde::Serialize;

/// Why a file could not be written or read.
#[derive(Debug, thiserror::Error)]
#[error("cannot {step} {}", path.display())]
pub struct Error {
    /// What was being done: `write`, `read`, `parse`, `create folder`.
    pub step: &'static str,
    /// The file or folder.
    pub path: PathBuf,
    /// The cause.
    #[source]
    pub source: io::Error,
}

impl Error {
    /// Builds an error for a step on a path.
    pub fn new(step: &'static str, path: &Path, source: impl Into<io::Error>) -> Self {
        Self { step, path: path.to_owned(), source: source.into() }
    }
}

/// Creates a folder and its parents, readable by the owner only (0700).
///
/// # Errors
/// When the folder cannot be made, or something that is no folder stands in its place.
pub fn create_private_dir(path: &Path) -> Result<(), Error> {
    if path.is_dir() {
        return Ok(());
    }
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|source| Error::new("create folder", path, source))
}

/// Replaces a file durably: temporary file, sync, rename, sync of the folder. Mode 0600.
///
/// # Errors
/// When any step fails; the old file is then untouched.
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    write(path, bytes).map_err(|source| Error::new("write", path, source))
}

/// Writes a value as two-space indented JSON with a trailing newline, see [`write_private`].
///
/// # Errors
/// As [`write_private`].
pub fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<(), Error> {
    write_private(path, &json(path, value)?)
}

/// As [`write_json`], but not durable: for files that a crash of the machine makes worthless. It may leave the
/// old file, none, or a damaged one.
///
/// # Errors
/// As [`write_private`].
pub fn replace_json<T: Serialize>(path: &Path, value: &T) -> Result<(), Error> {
    let bytes = json(path, value)?;
    beside(path, &bytes, |_| Ok(())).map_err(|source| Error::new("write", path, source))
}

/// Reads a whole file; a missing one is `None`.
///
/// # Errors
/// When the file exists and cannot be read.
pub fn read(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::new("read", path, error)),
    }
}

/// Reads a JSON file; a missing one is `None`.
///
/// # Errors
/// When the file cannot be read or is not the expected JSON.
pub fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Option<T>, Error> {
    let Some(bytes) = read(path)? else {
        return Ok(None);
    };
    serde_json::from_slice(&bytes)
        .map(Some)
        .map_err(|source| Error::new("parse", path, io::Error::from(source)))
}

/// Makes a folder's entries durable, where the file system can.
///
/// # Errors
/// When the folder cannot be opened or synced.
pub fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

fn json<T: Serialize>(path: &Path, value: &T) -> Result<Vec<u8>, Error> {
    let mut bytes = serde_json::to_vec_pretty(value)
        .map_err(|source| Error::new("write", path, io::Error::other(source)))?;
    bytes.push(b'\n');
    Ok(bytes)
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    beside(path, bytes, File::sync_all)?;
    sync_dir(path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")))
}

/// Writes a temporary file and puts it in the place of the old one.
fn beside(path: &Path, bytes: &[u8], sync: impl FnOnce(&File) -> io::Result<()>) -> io::Result<()> {
    let temporary = temporary_beside(path)?;
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        // The mode above is subject to the umask; secrets must not depend on it.
        file.set_permissions(fs::Permissions::from_mode(0o600))?;
        file.write_all(bytes)?;
        sync(&file)?;
        fs::rename(&temporary, path)
    })();
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}

fn temporary_beside(path: &Path) -> io::Result<PathBuf> {
    let name = path
        .file_name()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "path has no file name"))?;
    let mut temporary = std::ffi::OsString::from(".");
    temporary.push(name);
    temporary.push(format!(".tmp-{:016x}", rand::random::<u64>()));
    Ok(path.with_file_name(temporary))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runtime_weakness_28_a_file_is_replaced_privately_and_whole() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("auth.json");
        fs::write(&path, "old").unwrap();
        write_private(&path, b"new").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_replaced_without_care_for_crashes_is_as_private_and_whole() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("runner.json");
        fs::write(&path, "old").unwrap();
        replace_json(&path, &["new"]).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "[\n  \"new\"\n]\n");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
    }

    #[test]
    fn says_which_path_failed() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("missing/file");
        let error = write_private(&path, b"x").unwrap_err();
        assert_eq!(error.to_string(), format!("cannot write {}", path.display()));
    }
}
