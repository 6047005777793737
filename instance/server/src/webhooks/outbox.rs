//! The deliveries that wait, as their files have them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use super::Delivery;

/// Where the files are, below the configuration folder.
pub(super) const FOLDER: &str = "webhooks/outbox";

/// How many deliveries may wait.
const MOST: usize = 10_000;

/// The deliveries that wait.
#[derive(Debug, Default)]
pub(super) struct Outbox(BTreeMap<String, Delivery>);

impl Outbox {
    /// Reads what waits and removes what is done. A file that is damaged is left alone. Blocks.
    pub(super) fn open(config: &Path) -> Self {
        let files = fs::read_dir(config.join(FOLDER)).into_iter().flatten().flatten();
        let mut outbox = Self::default();
        for path in
            files.map(|file| file.path()).filter(|path| path.extension().is_some_and(|end| end == "json"))
        {
            let read = fs::read(&path).map_err(serde_json::Error::io);
            match read.and_then(|bytes| serde_json::from_slice::<Delivery>(&bytes)) {
                // The journal holds nothing any more that could bring it back.
                Ok(delivery) if delivery.done => drop(fs::remove_file(&path)),
                Ok(delivery) => outbox.put(delivery),
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "a delivery is damaged and was left alone");
                }
            }
        }
        outbox
    }

    pub(super) fn put(&mut self, delivery: Delivery) {
        self.0.insert(delivery.id.clone(), delivery);
    }

    pub(super) fn remove(&mut self, id: &str) {
        self.0.remove(id);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many more may wait.
    pub(super) fn room(&self) -> usize {
        MOST.saturating_sub(self.0.len())
    }

    pub(super) fn waiting(&self, hook: &str) -> (usize, Option<String>) {
        let of_hook = || self.0.values().filter(|delivery| delivery.hook == hook);
        (of_hook().count(), of_hook().find_map(|delivery| delivery.last_error.clone()))
    }

    /// Returns the delivery that is due first, of hooks that are not `busy`, and when it is due.
    pub(super) fn next(&self, busy: &BTreeSet<String>) -> Option<(Delivery, i64)> {
        let free = self.0.values().filter(|delivery| !busy.contains(&delivery.hook));
        let first = free.min_by_key(|delivery| (delivery.next_attempt_at, &delivery.created_at))?;
        Some((first.clone(), first.next_attempt_at))
    }
}
