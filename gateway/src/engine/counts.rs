//! How many of something each client has open.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::limit::client::Key;

/// Counts by client. Asked when a connection or a socket opens or closes, never for a request; no longer
/// than what is open.
#[derive(Debug, Default)]
pub(crate) struct Counts(Mutex<HashMap<Key, u32>>);

/// One that is counted until it is dropped.
#[derive(Debug)]
pub(crate) struct Counted {
    counts: Arc<Counts>,
    key: Key,
}

impl Counts {
    /// Counts one more, unless there are `limit` already.
    pub(crate) fn add(self: &Arc<Self>, key: Key, limit: u32) -> Option<Counted> {
        let mut counts = self.lock();
        let count = counts.get(&key).copied().unwrap_or_default();
        if count >= limit {
            return None;
        }
        counts.insert(key, count + 1);
        Some(Counted { counts: Arc::clone(self), key })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Key, u32>> {
        // Nothing panics under the lock; if it did, the counts are whole all the same.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut counts = self.counts.lock();
        if let Some(count) = counts.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limit::client::key;

    #[test]
    fn what_is_closed_is_forgotten() {
        let counts = Arc::new(Counts::default());
        let (a, b) = (key([10, 0, 0, 1].into()).unwrap(), key([10, 0, 0, 2].into()).unwrap());
        let held = [counts.add(a, 2).unwrap(), counts.add(a, 2).unwrap(), counts.add(b, 2).unwrap()];
        assert!(counts.add(a, 2).is_none() && counts.add(b, 2).is_some());
        drop(held);
        assert!(counts.lock().is_empty());
        assert!(counts.add(a, 0).is_none() && counts.lock().is_empty());
    }
}
