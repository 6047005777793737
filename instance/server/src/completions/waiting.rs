//! What waits to be taken, as its files have it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use remotelab_protocol::RunId;
use tokio::sync::Notify;

use super::entry::{Entry, FOLDER};

/// Of how many runs answers may wait.
const MOST: usize = 10_000;

/// What waits to be taken. Changed under the lock of the session that it belongs to.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    entries: Mutex<BTreeMap<RunId, Entry>>,
    /// Something new waits, or may be told now.
    pub(crate) changed: Notify,
}

impl Waiting {
    /// Reads what waits and removes what is done. A file that is damaged is left alone. Blocks.
    pub(crate) fn open(config: &Path) -> Self {
        let files = fs::read_dir(config.join(FOLDER)).into_iter().flatten().flatten();
        let mut entries = BTreeMap::new();
        for path in
            files.map(|file| file.path()).filter(|path| path.extension().is_some_and(|end| end == "json"))
        {
            let read = fs::read(&path).map_err(serde_json::Error::io);
            match read.and_then(|bytes| serde_json::from_slice::<Entry>(&bytes)) {
                // The journal holds nothing any more that could bring it back.
                Ok(entry) if entry.done => drop(fs::remove_file(&path)),
                Ok(entry) => drop(entries.insert(entry.run_id.clone(), entry)),
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "an answer that waits is damaged and was left alone");
                }
            }
        }
        Self { entries: Mutex::new(entries), changed: Notify::new() }
    }

    pub(super) fn get(&self, run: &RunId) -> Option<Entry> {
        self.lock().get(run).cloned()
    }

    /// Returns what waits behind a run, in the order of runs.
    pub(super) fn behind(&self, run: Option<&RunId>) -> Vec<Entry> {
        let all = self.lock();
        match run {
            Some(run) => all.range(run..).map(|(_, entry)| entry.clone()).collect(),
            None => all.values().cloned().collect(),
        }
    }

    /// Adds or replaces what waits of a run; gives it back when there is no room.
    pub(super) fn put(&self, entry: Entry) -> Result<(), Entry> {
        let mut entries = self.lock();
        if entries.len() >= MOST && !entries.contains_key(&entry.run_id) {
            return Err(entry);
        }
        entries.insert(entry.run_id.clone(), entry);
        drop(entries);
        self.changed.notify_waiters();
        Ok(())
    }

    /// Forgets a run of which nothing waits; tells whether that is so.
    pub(super) fn remove_done(&self, run: &RunId) -> bool {
        let mut entries = self.lock();
        let is_done = entries.get(run).is_some_and(|entry| entry.done);
        if is_done {
            entries.remove(run);
        }
        is_done
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<RunId, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
