//! Names that left the registry: for a day their old links get a clear answer.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// A day, in seconds.
const REMEMBERED: u64 = 24 * 3600;
/// More than anybody removes in a day; the oldest go first.
const MOST: usize = 10_000;

/// What was there, and what is there no more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// The host of each name that was there at the last look.
    known: BTreeMap<String, String>,
    /// By name.
    left: BTreeMap<String, Left>,
}

/// One name that left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Left {
    /// Until when it is remembered, in Unix seconds.
    until: u64,
    /// Its host name, or empty.
    #[serde(default)]
    host: String,
}

/// What the registry says about one name.
#[derive(Clone, Copy, Debug)]
pub struct Named<'a> {
    /// The name.
    pub name: &'a str,
    /// Its host name, or empty.
    pub host: &'a str,
    /// It is being removed.
    pub leaves: bool,
}

impl Memory {
    /// Goes on from what was remembered before.
    #[must_use]
    pub fn new(left: BTreeMap<String, Left>) -> Self {
        Self { known: BTreeMap::new(), left }
    }

    /// What is remembered, to be stored.
    #[must_use]
    pub fn left(&self) -> &BTreeMap<String, Left> {
        &self.left
    }

    /// Compares a registry that was read whole with what was there before. A record without a route is
    /// there all the same.
    pub fn learn<'a>(&mut self, registry: impl Iterator<Item = Named<'a>>, now: u64) {
        let until = now.saturating_add(REMEMBERED);
        let (mut known, mut leaving) = (BTreeMap::new(), BTreeMap::new());
        for named in registry {
            let into = if named.leaves { &mut leaving } else { &mut known };
            into.insert(named.name.to_owned(), named.host.trim().to_ascii_lowercase());
        }
        leaving.extend(std::mem::take(&mut self.known));
        for (name, host) in leaving {
            self.left.entry(name).or_insert(Left { until, host });
        }
        self.left.retain(|name, _| !known.contains_key(name));
        self.known = known;
        self.forget(now);
    }

    /// Forgets what left long ago.
    pub fn forget(&mut self, now: u64) {
        self.left.retain(|_, left| left.until > now);
        while self.left.len() > MOST {
            let oldest = self.left.iter().min_by_key(|(_, left)| left.until).map(|(name, _)| name.clone());
            oldest.and_then(|name| self.left.remove(&name));
        }
    }

    /// Names and hosts that left.
    #[must_use]
    pub fn gone(&self) -> Gone {
        let hosts = self.left.values().map(|left| left.host.clone()).filter(|host| !host.is_empty());
        Gone { names: self.left.keys().cloned().collect(), hosts: hosts.collect() }
    }
}

/// Names and hosts that left.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gone {
    /// First path segments.
    pub names: BTreeSet<String>,
    /// Host names.
    pub hosts: BTreeSet<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: u64 = 1_800_000_000;

    fn learn(memory: &mut Memory, names: &[&str], now: u64) -> Vec<String> {
        memory.learn(
            names.iter().map(|text| Named {
                name: text.trim_start_matches('-'),
                host: "",
                leaves: text.starts_with('-'),
            }),
            now,
        );
        memory.gone().names.into_iter().collect()
    }

    #[test]
    fn a_name_is_gone_for_a_day_or_until_it_comes_back() {
        let mut memory = Memory::default();
        assert!(learn(&mut memory, &["a", "b", "c"], NOON).is_empty());
        assert_eq!(learn(&mut memory, &["a", "-b"], NOON + 1), ["b", "c"]);
        assert_eq!(learn(&mut memory, &["a", "-b", "c"], NOON + 2), ["b"]);
        assert_eq!(learn(&mut memory, &[], NOON + 3), ["a", "b", "c"]);
        let mut stored = Memory::new(memory.left().clone());
        assert_eq!(learn(&mut stored, &["x"], NOON + 4), ["a", "b", "c"]);
        // The day is counted from the moment of leaving, not of a restart.
        assert_eq!(learn(&mut stored, &["x"], NOON + 1 + REMEMBERED), ["a", "c"]);
        assert!(learn(&mut stored, &["x"], NOON + 3 + REMEMBERED).is_empty());
    }

    #[test]
    fn hosts_leave_with_their_names_and_memory_is_bounded() {
        let mut memory = Memory::default();
        let named = |name| Named { name, host: "T.example.com ", leaves: false };
        memory.learn([named("t")].into_iter(), NOON);
        memory.learn([].into_iter(), NOON);
        assert!(memory.gone().hosts.contains("t.example.com"));
        let names: Vec<String> = (0..MOST + 5).map(|number| number.to_string()).collect();
        let all = || names.iter().map(|name| Named { name, host: "", leaves: true });
        memory.learn(all(), NOON + 1);
        assert_eq!(memory.left().len(), MOST);
        assert!(!memory.left().contains_key("t"));
    }
}
