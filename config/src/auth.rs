//! `auth.json`: the owner token and an optional name and password.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::atomic;
use crate::secret::Secret;

/// The contents of `auth.json`; keys we do not know survive a rewrite.
#[derive(Clone, Debug)]
pub struct Auth {
    /// The owner's access token.
    pub token: Secret,
    /// Name and password hash, when a password is set.
    pub login: Option<Login>,
    rest: Map<String, Value>,
}

/// A name with the hash of its password.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Login {
    /// The user name.
    pub username: String,
    /// A hash that [`crate::password::verify`] reads.
    pub password_hash: String,
}

/// Why `auth.json` cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is none.
    #[error("{} does not exist", .0.display())]
    Missing(std::path::PathBuf),
    /// The stored token would let anybody in.
    #[error("the token in {} is not 64 hex digits", .0.display())]
    BadToken(std::path::PathBuf),
    /// The file cannot be read or written.
    #[error(transparent)]
    File(#[from] atomic::Error),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Stored {
    #[serde(default)]
    token: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    username: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    password_hash: Option<String>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

impl Auth {
    /// Makes a new one with a random token and no password.
    #[must_use]
    pub fn generate() -> Self {
        Self { token: Secret::random(), login: None, rest: Map::new() }
    }

    /// Reads the file.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::BadToken`] for a token that is not exactly 64 hex digits, or
    /// [`Error::File`].
    pub fn load(path: &Path) -> Result<Self, Error> {
        let stored: Stored = atomic::read_json(path)?.ok_or_else(|| Error::Missing(path.to_owned()))?;
        let token = Secret::parse(&stored.token).map_err(|_| Error::BadToken(path.to_owned()))?;
        let non_empty = |text: Option<String>| text.filter(|text| !text.is_empty());
        let login = non_empty(stored.username)
            .zip(non_empty(stored.password_hash))
            .map(|(username, password_hash)| Login { username, password_hash });
        Ok(Self { token, login, rest: stored.rest })
    }

    /// Reads the file, or makes it when there is none.
    ///
    /// # Errors
    /// As [`Auth::load`], without [`Error::Missing`].
    pub fn load_or_create(path: &Path) -> Result<Self, Error> {
        match Self::load(path) {
            Err(Error::Missing(_)) => {
                let auth = Self::generate();
                auth.save(path)?;
                Ok(auth)
            }
            outcome => outcome,
        }
    }

    /// Writes the file, 0600.
    ///
    /// # Errors
    /// When the file cannot be replaced.
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        let (username, password_hash) = match &self.login {
            Some(login) => (Some(login.username.clone()), Some(login.password_hash.clone())),
            None => (None, None),
        };
        let stored = Stored { token: self.token.reveal(), username, password_hash, rest: self.rest.clone() };
        Ok(atomic::write_json(path, &stored)?)
    }
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login").field("username", &self.username).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_token_never_loads() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("auth.json");
        assert!(matches!(Auth::load(&path), Err(Error::Missing(_))));
        for token in ["", "nothex", "ab", &"f".repeat(63), &format!("{}xx", "f".repeat(62))] {
            std::fs::write(&path, format!(r#"{{"token":"{token}"}}"#)).unwrap();
            assert!(matches!(Auth::load(&path), Err(Error::BadToken(_))), "{token}");
        }
        std::fs::write(&path, "{\"token\":\"").unwrap();
        assert!(matches!(Auth::load(&path), Err(Error::File(_))));
    }

    #[test]
    fn unknown_keys_survive_a_rewrite() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("auth.json");
        let token = "ab".repeat(32);
        std::fs::write(&path, format!(r#"{{"token":"{token}","note":{{"kept":true}}}}"#)).unwrap();
        Auth::load(&path).unwrap().save(&path).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(
            serde_json::from_str::<Value>(&text).unwrap(),
            serde_json::json!({"token": token, "note": {"kept": true}})
        );
    }
}
