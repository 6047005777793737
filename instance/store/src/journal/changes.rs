//! What files are to hold, as far as it is not carried out yet: the newest of each file only.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use super::record::Op;

/// What one file is to hold: several changes of it are one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    /// Where the bytes begin and what stays in front of them; `None` replaces the whole file.
    pub(super) from: Option<u64>,
    pub(super) bytes: Arc<Vec<u8>>,
}

/// Changes of many files, each file once.
#[derive(Debug, Default)]
pub(super) struct Changes {
    by_path: HashMap<String, (usize, Change)>,
    bytes: usize,
}

impl Change {
    pub(super) fn new(op: Op) -> (String, Self) {
        let (path, from, bytes) = match op {
            Op::Put { path, bytes } => (path, None, bytes),
            Op::WriteAt { path, offset, bytes } => (path, Some(offset), bytes),
        };
        (path, Self { from, bytes: Arc::new(bytes) })
    }

    /// Makes one change of this one and the next.
    fn then(&mut self, next: Self) {
        let kept =
            next.from.and_then(|from| from.checked_sub(self.from.unwrap_or(0)).filter(|kept| *kept > 0));
        let Some(kept) = kept.and_then(|kept| usize::try_from(kept).ok()) else {
            // It begins where this one did or in front of it. A file that is to be whole stays so.
            let is_whole = self.from.is_none() && next.from.is_some();
            *self = if is_whole { Self { from: None, ..next } } else { next };
            return;
        };
        let bytes = Arc::make_mut(&mut self.bytes);
        bytes.resize(kept, 0);
        bytes.extend_from_slice(&next.bytes);
    }

    /// Returns what the file holds afterwards; `stored` reads what it held before, when that counts.
    pub(super) fn on<E>(&self, stored: impl FnOnce() -> Result<Vec<u8>, E>) -> Result<Vec<u8>, E> {
        let Some(from) = self.from else { return Ok(self.bytes.to_vec()) };
        let mut bytes = stored()?;
        bytes.resize(usize::try_from(from).unwrap_or(usize::MAX), 0);
        bytes.extend_from_slice(&self.bytes);
        Ok(bytes)
    }
}

impl Changes {
    pub(super) fn add(&mut self, op: Op) {
        let (path, change) = Change::new(op);
        let place = self.by_path.len();
        match self.by_path.entry(path) {
            Entry::Vacant(entry) => {
                self.bytes += entry.key().len() + change.bytes.len();
                entry.insert((place, change));
            }
            Entry::Occupied(mut entry) => {
                let known = &mut entry.get_mut().1;
                self.bytes -= known.bytes.len();
                known.then(change);
                self.bytes += known.bytes.len();
            }
        }
    }

    pub(super) fn get(&self, path: &str) -> Option<&Change> {
        self.by_path.get(path).map(|(_, change)| change)
    }

    /// Returns the changes in the order in which their files were first named: what a file tells of was
    /// there before it.
    pub(super) fn in_order(&self) -> Vec<(&str, &Change)> {
        let mut all: Vec<_> = self.by_path.iter().collect();
        all.sort_unstable_by_key(|(_, (place, _))| *place);
        all.into_iter().map(|(path, (_, change))| (path.as_str(), change)).collect()
    }

    pub(super) fn paths(&self) -> impl Iterator<Item = &str> {
        self.by_path.keys().map(String::as_str)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_path.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.by_path.len()
    }

    /// How much memory they take, roughly.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::*;

    fn any_op() -> impl Strategy<Value = Op> {
        let bytes = proptest::collection::vec(any::<u8>(), 0..6);
        ("[ab]", bytes, proptest::option::of(0..12_u64)).prop_map(|(path, bytes, offset)| match offset {
            None => Op::Put { path, bytes },
            Some(offset) => Op::WriteAt { path, offset, bytes },
        })
    }

    /// Carries a change out as the disk does.
    fn carry_out(files: &mut BTreeMap<String, Vec<u8>>, path: &str, change: &Change) {
        let file = files.entry(path.to_owned()).or_default();
        *file = change.on(|| Ok::<_, Infallible>(file.clone())).unwrap();
    }

    proptest! {
        /// One change for each file leaves the same as all of them one after the other.
        #[test]
        fn the_newest_is_the_same_as_all(
            stored in proptest::collection::vec(any::<u8>(), 0..8),
            ops in proptest::collection::vec(any_op(), 0..8),
        ) {
            let mut all = BTreeMap::from([("a".to_owned(), stored)]);
            let mut newest = all.clone();
            let mut changes = Changes::default();
            for op in ops {
                let (path, change) = Change::new(op.clone());
                carry_out(&mut all, &path, &change);
                changes.add(op);
            }
            for (path, change) in changes.in_order() {
                carry_out(&mut newest, path, change);
            }
            prop_assert_eq!(newest, all);
            let held: usize = changes.in_order().iter().map(|(path, it)| path.len() + it.bytes.len()).sum();
            prop_assert_eq!(changes.bytes(), held);
        }
    }

    #[test]
    fn a_file_keeps_its_place_among_those_that_follow_it() {
        let mut changes = Changes::default();
        for path in ["run", "session", "run", "event"] {
            changes.add(Op::Put { path: path.into(), bytes: Vec::new() });
        }
        let order: Vec<&str> = changes.in_order().into_iter().map(|(path, _)| path).collect();
        assert_eq!(order, ["run", "session", "event"]);
    }
}
