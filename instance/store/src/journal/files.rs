//! Reading files as they are once everything is carried out.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use remotelab_config::atomic;
use serde::de::DeserializeOwned;

use super::queue::Queue;

/// The files below a root, with what the journal has still to carry out: nobody who reads through this waits
/// for it. All reads block.
#[derive(Clone, Debug)]
pub struct Files {
    root: PathBuf,
    queue: Option<Arc<Queue>>,
}

impl Files {
    /// Reads what is on the disk, where no journal is at work.
    #[must_use]
    pub fn on_disk(root: &Path) -> Self {
        Self { root: root.to_owned(), queue: None }
    }

    pub(super) fn ahead_of(root: &Path, queue: &Arc<Queue>) -> Self {
        Self { root: root.to_owned(), queue: Some(Arc::clone(queue)) }
    }

    /// Reads a whole file; the path is relative to the root.
    ///
    /// # Errors
    /// When it is missing or cannot be read.
    pub fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        // Asked before the disk: what is not there any more has been carried out.
        let [older, newer] = self.queue.as_ref().map_or([None, None], |queue| queue.changes_of(path));
        let stored = || fs::read(self.root.join(path));
        let older = || match &older {
            Some(change) => change.on(|| or_empty(stored())),
            None => stored(),
        };
        match &newer {
            Some(change) => change.on(|| or_empty(older())),
            None => older(),
        }
    }

    /// Reads a JSON file; a missing one is `None`.
    ///
    /// # Errors
    /// When it cannot be read or is not the expected JSON.
    pub fn read_json<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>, atomic::Error> {
        let failed = |step, source| atomic::Error::new(step, &self.root.join(path), source);
        match self.read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map(Some)
                .map_err(|error| failed("parse", io::Error::from(error))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("read", error)),
        }
    }

    /// Returns the names of the files in a folder; one that cannot be listed is empty.
    #[must_use]
    pub fn names(&self, folder: &str) -> Vec<String> {
        let listed = fs::read_dir(self.root.join(folder)).into_iter().flatten().flatten();
        let mut names: Vec<String> =
            listed.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        if let Some(queue) = &self.queue {
            queue.each_below(&format!("{folder}/"), |name| names.push(name.to_owned()));
        }
        names
    }
}

/// A file that a change begins may be missing.
fn or_empty(read: io::Result<Vec<u8>>) -> io::Result<Vec<u8>> {
    match read {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        outcome => outcome,
    }
}
