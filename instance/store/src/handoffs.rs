//! Hand-offs of a login into an installed app: `install-handoffs.json`. Each is good once, for a day. They
//! are stored as their SHA-256, so that a copy of the file lets nobody in; the plain ones of older files are
//! still understood.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use remotelab_config::atomic;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

/// What every hand-off begins with.
const PREFIX: &str = "ih_";
/// How long one is good. Milliseconds.
const LIFE_MS: i64 = 86_400_000;
/// How many are kept; the soonest to expire go first.
const MOST: usize = 100;

/// What a hand-off carries into the app.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Handoff {
    /// Unix milliseconds.
    pub expiry: i64,
    /// The page's language, or empty.
    #[serde(default)]
    pub preferred_language: String,
    /// Fields of other versions.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// All hand-offs of an instance. Everything but looking one up blocks.
#[derive(Debug)]
pub struct Handoffs {
    path: PathBuf,
    by_key: Mutex<BTreeMap<String, Handoff>>,
}

impl Handoffs {
    /// Reads the file; a missing or damaged one means that there are none.
    #[must_use]
    pub fn open(path: &Path, now_ms: i64) -> Self {
        let stored: BTreeMap<String, Value> = atomic::read_json(path).ok().flatten().unwrap_or_default();
        let by_key = stored
            .into_iter()
            .filter_map(|(key, value)| {
                Some((normal_key(key), serde_json::from_value::<Handoff>(value).ok()?))
            })
            .filter(|(_, handoff)| handoff.expiry > now_ms)
            .collect();
        Self { path: path.to_owned(), by_key: Mutex::new(by_key) }
    }

    /// Makes a hand-off and returns its text, which is stored nowhere.
    ///
    /// # Errors
    /// When the file cannot be written; then there is no hand-off.
    pub fn create(&self, preferred_language: &str, now_ms: i64) -> Result<String, atomic::Error> {
        let token = format!("{PREFIX}{}", hex::encode(rand::random::<[u8; 24]>()));
        let handoff = Handoff {
            expiry: now_ms + LIFE_MS,
            preferred_language: preferred_language.to_owned(),
            rest: Map::new(),
        };
        let mut all = self.lock();
        let mut changed = all.clone();
        changed.retain(|_, handoff| handoff.expiry > now_ms);
        while changed.len() >= MOST {
            let soonest = changed.iter().min_by_key(|(_, handoff)| handoff.expiry);
            let Some(key) = soonest.map(|(key, _)| key.clone()) else { break };
            changed.remove(&key);
        }
        changed.insert(key(&token), handoff);
        atomic::write_json(&self.path, &changed)?;
        *all = changed;
        Ok(token)
    }

    /// Takes a hand-off, so that nobody else gets it; `None` when it is unknown, used or too old.
    ///
    /// # Errors
    /// When the file cannot be written; then the hand-off is as good as before.
    pub fn take(&self, token: &str, now_ms: i64) -> Result<Option<Handoff>, atomic::Error> {
        // Held while the file is written: of two who come at once, one gets it.
        let mut all = self.lock();
        let mut changed = all.clone();
        let Some(handoff) = changed.remove(&key(token)) else { return Ok(None) };
        changed.retain(|_, handoff| handoff.expiry > now_ms);
        atomic::write_json(&self.path, &changed)?;
        *all = changed;
        Ok((handoff.expiry > now_ms).then_some(handoff))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Handoff>> {
        self.by_key.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells whether a text has the form of a hand-off.
#[must_use]
pub fn is_well_formed(token: &str) -> bool {
    let digits = token.strip_prefix(PREFIX).unwrap_or_default();
    digits.len() == 48 && digits.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

fn key(token: &str) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(token.as_bytes())))
}

fn normal_key(stored: String) -> String {
    if stored.starts_with(PREFIX) { key(&stored) } else { stored }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_good_once_across_a_restart_and_is_not_in_the_file() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("install-handoffs.json");
        let token = Handoffs::open(&path, 0).create("en", 5).unwrap();
        assert!(is_well_formed(&token), "{token}");
        assert!(!std::fs::read_to_string(&path).unwrap().contains(&token[3..]));
        let handoffs = Handoffs::open(&path, 6);
        let taken: Vec<_> = std::thread::scope(|scope| {
            let takers: Vec<_> = (0..8).map(|_| scope.spawn(|| handoffs.take(&token, 6).unwrap())).collect();
            takers.into_iter().filter_map(|taker| taker.join().unwrap()).collect()
        });
        let expected = Handoff { expiry: 5 + LIFE_MS, preferred_language: "en".to_owned(), rest: Map::new() };
        assert_eq!(taken, [expected]);
        assert_eq!(Handoffs::open(&path, 6).take(&token, 6).unwrap(), None);
    }

    #[test]
    fn an_old_one_is_refused_and_plain_ones_are_understood() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("install-handoffs.json");
        let plain = format!("ih_{}", "ab".repeat(24));
        std::fs::write(&path, format!(r#"{{"{plain}":{{"expiry":500}},"ih_old":{{"expiry":1}},"odd":7}}"#))
            .unwrap();
        let handoffs = Handoffs::open(&path, 400);
        assert_eq!(handoffs.take("ih_old", 400).unwrap(), None);
        assert!(handoffs.take(&plain, 450).unwrap().is_some());
        let late = handoffs.create("", 450).unwrap();
        assert_eq!(handoffs.take(&late, 450 + LIFE_MS).unwrap(), None);
    }

    #[test]
    fn their_number_is_bounded() {
        let root = tempfile::tempdir().unwrap();
        let handoffs = Handoffs::open(&root.path().join("h.json"), 0);
        let first = handoffs.create("", 0).unwrap();
        for now in 1..=100 {
            handoffs.create("", now).unwrap();
        }
        assert_eq!(handoffs.lock().len(), MOST);
        assert_eq!(handoffs.take(&first, 101).unwrap(), None);
    }
}
