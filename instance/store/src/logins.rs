//! Login sessions: `auth-sessions.json`. Cookies are stored as their SHA-256, so that a copy of the
//! file lets nobody in; the plain cookies of older files are still understood.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use remotelab_config::atomic;
use remotelab_config::secret::Secret;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

/// How many logins are kept; the soonest to expire go first.
const MAX_LOGINS: usize = 10_000;

/// One login.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Login {
    /// Unix milliseconds.
    pub expiry: i64,
    /// `owner` or `visitor`; a missing one is the owner's.
    #[serde(default = "owner")]
    pub role: String,
    /// The page's language, or empty.
    #[serde(default)]
    pub preferred_language: String,
    /// Fields of other versions and features.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// All logins of an instance.
#[derive(Debug)]
pub struct Logins {
    path: PathBuf,
    by_key: Mutex<HashMap<String, Login>>,
    /// Held while the file is written, so that nobody who only asks for a login waits for the disk.
    writing: Mutex<()>,
}

impl Logins {
    /// Reads the file; a missing or damaged one means that everybody signs in again.
    #[must_use]
    pub fn open(path: &Path, now_ms: i64) -> Self {
        let stored: HashMap<String, Value> = atomic::read_json(path).ok().flatten().unwrap_or_default();
        let by_key = stored
            .into_iter()
            .filter_map(|(key, value)| Some((normal_key(key), serde_json::from_value::<Login>(value).ok()?)))
            .filter(|(_, login)| login.expiry > now_ms)
            .collect();
        Self { path: path.to_owned(), by_key: Mutex::new(by_key), writing: Mutex::new(()) }
    }

    /// Opens a login for the owner and returns its cookie. Blocks until it is durable.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn create(&self, expiry: i64) -> Result<Secret, atomic::Error> {
        self.create_speaking(expiry, "")
    }

    /// Opens a login for the owner whose page speaks a language. Blocks until it is durable.
    ///
    /// # Errors
    /// As [`Logins::create`].
    pub fn create_speaking(&self, expiry: i64, language: &str) -> Result<Secret, atomic::Error> {
        self.insert(Login {
            expiry,
            role: owner(),
            preferred_language: language.to_owned(),
            rest: Map::new(),
        })
    }

    /// Opens a login for the owner that keeps a field of its own. Blocks until it is durable.
    ///
    /// # Errors
    /// As [`Logins::create`].
    pub fn create_with(&self, expiry: i64, field: &str, value: Value) -> Result<Secret, atomic::Error> {
        let rest = Map::from_iter([(field.to_owned(), value)]);
        self.insert(Login { expiry, role: owner(), preferred_language: String::new(), rest })
    }

    /// Returns the login of a cookie that has not expired.
    #[must_use]
    pub fn find(&self, cookie: &str, now_ms: i64) -> Option<Login> {
        let logins = self.by_key.lock().unwrap_or_else(PoisonError::into_inner);
        logins.get(&key(cookie)).filter(|login| login.expiry >= now_ms).cloned()
    }

    /// Moves a login's end. Blocks until it is durable.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn renew(&self, cookie: &str, expiry: i64) -> Result<(), atomic::Error> {
        self.change(|logins| {
            if let Some(login) = logins.get_mut(&key(cookie)) {
                login.expiry = expiry;
            }
        })
    }

    /// Ends a login. Blocks until it is durable.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn remove(&self, cookie: &str) -> Result<(), atomic::Error> {
        self.change(|logins| {
            logins.remove(&key(cookie));
        })
    }

    fn insert(&self, login: Login) -> Result<Secret, atomic::Error> {
        let cookie = Secret::random();
        self.change(|logins| {
            logins.insert(key(&cookie.reveal()), login);
        })?;
        Ok(cookie)
    }

    fn change(&self, change: impl FnOnce(&mut HashMap<String, Login>)) -> Result<(), atomic::Error> {
        {
            let mut logins = self.by_key.lock().unwrap_or_else(PoisonError::into_inner);
            change(&mut logins);
            forget_excess(&mut logins);
        }
        let _turn = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        // Taken anew: whoever writes last writes everybody's changes.
        let logins = self.by_key.lock().unwrap_or_else(PoisonError::into_inner).clone();
        atomic::write_json(&self.path, &logins)
    }
}

fn forget_excess(logins: &mut HashMap<String, Login>) {
    while logins.len() > MAX_LOGINS {
        let soonest = logins.iter().min_by_key(|(_, login)| login.expiry).map(|(key, _)| key.clone());
        let Some(soonest) = soonest else { break };
        logins.remove(&soonest);
    }
}

fn key(cookie: &str) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(cookie.as_bytes())))
}

fn normal_key(stored: String) -> String {
    if stored.starts_with("sha256:") { stored } else { key(&stored) }
}

fn owner() -> String {
    "owner".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_survive_a_restart_but_are_not_in_the_file() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("auth-sessions.json");
        let cookie = Logins::open(&path, 0).create(100).unwrap().reveal();
        assert!(!std::fs::read_to_string(&path).unwrap().contains(&cookie));
        let logins = Logins::open(&path, 0);
        assert_eq!(logins.find(&cookie, 100).unwrap().role, "owner");
        assert_eq!(logins.find(&cookie, 101), None);
        logins.remove(&cookie).unwrap();
        assert_eq!(Logins::open(&path, 0).find(&cookie, 0), None);
    }

    #[test]
    fn plain_cookies_of_older_files_are_understood() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("auth-sessions.json");
        std::fs::write(&path, r#"{"5c530696":{"expiry":500},"old":{"expiry":1},"odd":7}"#).unwrap();
        let logins = Logins::open(&path, 400);
        assert!(logins.find("5c530696", 450).is_some());
        assert!(logins.find("old", 450).is_none());
    }
}
