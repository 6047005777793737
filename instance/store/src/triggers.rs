//! Which sessions may be found by their `externalTriggerId`, so that finding one costs the same among any
//! number of sessions.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use remotelab_protocol::{Session, SessionId};

/// The index of all keys. A session's own lock is taken before this one, never after it.
#[derive(Debug, Default)]
pub(crate) struct Triggers(Mutex<Keys>);

/// Several sessions may have one key, since an archived one can come back.
#[derive(Debug, Default)]
pub(crate) struct Keys(HashMap<String, BTreeSet<SessionId>>);

/// Returns the key by which a session is found: none when it is archived.
pub(crate) fn key_of(session: &Session) -> Option<&str> {
    session.external_trigger_id.as_deref().filter(|_| !session.archived)
}

impl Triggers {
    /// Locks the index: what is decided and enqueued until the guard is dropped is one step for others.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Keys> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Keys {
    /// Returns the session of a key; of several the first by id.
    pub(crate) fn find(&self, key: &str) -> Option<&SessionId> {
        self.0.get(key)?.first()
    }

    /// Changes the key of a session.
    pub(crate) fn replace(&mut self, id: &SessionId, before: Option<&str>, after: Option<&str>) {
        if let Some((key, ids)) = before.and_then(|key| Some((key, self.0.get_mut(key)?))) {
            ids.remove(id);
            if ids.is_empty() {
                self.0.remove(key);
            }
        }
        if let Some(key) = after {
            self.0.entry(key.to_owned()).or_default().insert(id.clone());
        }
    }
}
