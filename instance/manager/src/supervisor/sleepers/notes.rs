//! Which guests sleep, and when each has to be awake: `run/asleep.json`.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use remotelab_config::{InstanceName, atomic};
use serde::{Deserialize, Serialize};

/// The sleeping guests. Every change is on the disk before it counts.
pub(super) struct Notes {
    path: PathBuf,
    asleep: Mutex<BTreeMap<InstanceName, Note>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Note {
    /// Milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    wake_at: Option<i64>,
}

impl Notes {
    /// Reads them. A file that cannot be read is none: all guests are started then.
    pub(super) fn load(path: PathBuf) -> Self {
        let read = atomic::read_json(&path).unwrap_or_else(|error| {
            tracing::warn!(error = &error as &dyn std::error::Error, "nobody knows which guests slept");
            None
        });
        Self { path, asleep: Mutex::new(read.unwrap_or_default()) }
    }

    pub(super) fn has(&self, name: &InstanceName) -> bool {
        self.lock().contains_key(name)
    }

    /// Notes that a guest sleeps, until when if that is known; `None` that it does not. Blocks.
    pub(super) fn set(&self, name: &InstanceName, sleeps: Option<Option<i64>>) -> io::Result<()> {
        let mut asleep = self.lock();
        let mut changed = asleep.clone();
        match sleeps {
            Some(wake_at) => changed.insert(name.clone(), Note { wake_at }),
            None => changed.remove(name),
        };
        if changed != *asleep {
            atomic::write_json(&self.path, &changed).map_err(io::Error::other)?;
            *asleep = changed;
        }
        Ok(())
    }

    /// The guests that have to be awake at a time.
    pub(super) fn due(&self, now_ms: i64) -> Vec<InstanceName> {
        let asleep = self.lock();
        let due = asleep.iter().filter(|(_, note)| note.wake_at.is_some_and(|at| at <= now_ms));
        due.map(|(name, _)| name.clone()).collect()
    }

    /// When the next one has to be, in milliseconds since 1970.
    pub(super) fn next(&self) -> Option<i64> {
        self.lock().values().filter_map(|note| note.wake_at).min()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<InstanceName, Note>> {
        // A change is one assignment: a panicked holder leaves a whole map.
        self.asleep.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_noted_is_there_after_a_start() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("asleep.json");
        let named = |name: &str| InstanceName::normalise(name).unwrap();
        let (first, second) = (named("trial1"), named("trial2"));
        let notes = Notes::load(path.clone());
        notes.set(&first, Some(Some(5))).unwrap();
        notes.set(&second, Some(None)).unwrap();
        let again = Notes::load(path.clone());
        assert!(again.has(&first) && again.has(&second) && !again.has(&named("trial3")));
        assert_eq!((again.due(4), again.due(5), again.next()), (vec![], vec![first.clone()], Some(5)));
        again.set(&first, None).unwrap();
        assert!(!Notes::load(path.clone()).has(&first));
        std::fs::write(&path, "{").unwrap();
        assert!(!Notes::load(path).has(&second));
    }
}
