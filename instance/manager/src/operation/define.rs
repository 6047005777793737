//! Service definitions: written anew with the one before kept beside them.

use std::path::Path;
use std::{fs, io};

use remotelab_config::atomic;

use super::Error;
use crate::backup;

/// Writes a definition, the old one being kept first. Done again it changes nothing.
pub(super) fn write(path: &Path, kept: &Path, text: &str) -> Result<(), Error> {
    if !kept.exists() {
        if let Some(old) = atomic::read(path)? {
            atomic::write_private(kept, &old)?;
        }
        backup::prune(path);
    }
    Ok(atomic::write_private(path, text.as_bytes())?)
}

/// Puts the old definition back, if the new one was written.
pub(super) fn put_back(path: &Path, kept: &Path) -> Result<(), Error> {
    match fs::rename(kept, path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(atomic::Error::new("write", path, error).into())
        }
        _ => Ok(()),
    }
}
