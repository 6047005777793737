//! `api-tokens.json`: what connectors sign in with, each limited to a scope. The file holds hashes only;
//! the server and the command line both change it, under a lock.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::temporal::DateTimePrinter;
use serde::{Deserialize, Serialize, Serializer};
use sha2::{Digest, Sha256};

use crate::atomic;
use crate::lock::{self, FileLock};
use crate::secret::Secret;

/// What every token begins with, so that people and scanners know one when they see it.
pub const PREFIX: &str = "rlt_";

/// The longest name, in characters.
pub const NAME_CHARS: usize = 80;

/// How many tokens an instance has at most.
const MAX_TOKENS: usize = 200;
/// How exactly it is known when a token was last used. Seconds.
const USE_PRECISION: i64 = 3_600;
/// How long another process may hold the lock.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a token allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// To create sessions, post messages and read what became of them.
    Connector,
}

/// A token as it is known after its creation: everything but the token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApiToken {
    /// `tok_` and 16 hex digits.
    pub id: String,
    /// What it is for, in the owner's words.
    pub name: String,
    /// What it allows.
    pub scope: Scope,
    /// When it was made.
    #[serde(serialize_with = "iso")]
    pub created: Timestamp,
    /// When it was last used, give or take an hour.
    #[serde(default, serialize_with = "optional_iso")]
    pub last_used: Option<Timestamp>,
    /// From when on it is refused.
    #[serde(default, serialize_with = "optional_iso")]
    pub expires: Option<Timestamp>,
}

/// Why the tokens cannot be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A token needs a name of at most [`NAME_CHARS`] characters.
    #[error("a token needs a name of at most {NAME_CHARS} characters")]
    Name,
    /// There are as many as there may be.
    #[error("there are {MAX_TOKENS} tokens already; revoke one first")]
    TooMany,
    /// The file cannot be read or written.
    #[error(transparent)]
    File(#[from] atomic::Error),
    /// Another process holds the file.
    #[error(transparent)]
    Lock(#[from] lock::Error),
}

/// The tokens of an instance at one moment.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ApiTokens {
    #[serde(default)]
    tokens: Vec<Stored>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Stored {
    #[serde(flatten)]
    token: ApiToken,
    sha256: String,
}

impl ApiTokens {
    /// Returns the token that somebody presents, unless it is unknown or has expired.
    #[must_use]
    pub fn find(&self, presented: &str, now: Timestamp) -> Option<&ApiToken> {
        if !presented.starts_with(PREFIX) {
            return None;
        }
        let hash = hash(presented);
        let known = self.tokens.iter().find(|stored| {
            // Never by text: a damaged hash in the file must match nothing.
            Secret::parse(&stored.sha256).is_ok_and(|stored| stored.matches(&hash))
        })?;
        is_live(&known.token, now).then_some(&known.token)
    }

    /// Tells whether a token exists and has not expired.
    #[must_use]
    pub fn has(&self, id: &str, now: Timestamp) -> bool {
        self.tokens.iter().any(|stored| stored.token.id == id && is_live(&stored.token, now))
    }

    /// Lists all tokens, expired ones too, in the order of their creation.
    pub fn list(&self) -> impl Iterator<Item = &ApiToken> {
        self.tokens.iter().map(|stored| &stored.token)
    }
}

/// Where an instance keeps its tokens. Everything blocks.
#[derive(Clone, Debug)]
pub struct TokenFile {
    path: PathBuf,
}

impl TokenFile {
    /// Names the file; it need not exist.
    #[must_use]
    pub fn in_folder(config: &Path) -> Self {
        Self { path: config.join("api-tokens.json") }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads all tokens; no file means no tokens.
    ///
    /// # Errors
    /// When the file cannot be read or is damaged.
    pub fn load(&self) -> Result<ApiTokens, atomic::Error> {
        Ok(atomic::read_json(&self.path)?.unwrap_or_default())
    }

    /// Makes a token. Its text is returned this once and stored nowhere.
    ///
    /// # Errors
    /// [`Error`]; then there is no new token.
    pub fn create(
        &self,
        name: &str,
        scope: Scope,
        expires: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<(ApiToken, String), Error> {
        let name = name.trim();
        if name.is_empty() || name.chars().count() > NAME_CHARS || name.chars().any(char::is_control) {
            return Err(Error::Name);
        }
        let _lock = self.lock()?;
        let mut all = self.load()?;
        if all.tokens.len() >= MAX_TOKENS {
            return Err(Error::TooMany);
        }
        let text = format!("{PREFIX}{}", Secret::random().reveal());
        let token = ApiToken {
            id: format!("tok_{:016x}", rand::random::<u64>()),
            name: name.to_owned(),
            scope,
            created: now,
            last_used: None,
            expires,
        };
        all.tokens.push(Stored { token: token.clone(), sha256: hash(&text) });
        atomic::write_json(&self.path, &all)?;
        Ok((token, text))
    }

    /// Ends a token; `None` when there is none of that id.
    ///
    /// # Errors
    /// [`Error`]; then the token is as it was.
    pub fn revoke(&self, id: &str) -> Result<Option<ApiToken>, Error> {
        let _lock = self.lock()?;
        let mut all = self.load()?;
        let Some(place) = all.tokens.iter().position(|stored| stored.token.id == id) else {
            return Ok(None);
        };
        let revoked = all.tokens.remove(place).token;
        atomic::write_json(&self.path, &all)?;
        Ok(Some(revoked))
    }

    /// Notes that a token is used, unless that was noted within the hour.
    ///
    /// # Errors
    /// [`Error`]; the token works all the same.
    pub fn note_use(&self, token: &ApiToken, now: Timestamp) -> Result<(), Error> {
        if token.last_used.is_some_and(|last| now.as_second() - last.as_second() < USE_PRECISION) {
            return Ok(());
        }
        let _lock = self.lock()?;
        let mut all = self.load()?;
        if let Some(stored) = all.tokens.iter_mut().find(|stored| stored.token.id == token.id) {
            stored.token.last_used = Some(now);
            atomic::write_json(&self.path, &all)?;
        }
        Ok(())
    }

    fn lock(&self) -> Result<FileLock, lock::Error> {
        FileLock::acquire(&self.path.with_file_name("run/api-tokens.lock"), PATIENCE)
    }
}

fn is_live(token: &ApiToken, now: Timestamp) -> bool {
    token.expires.is_none_or(|end| now < end)
}

fn hash(text: &str) -> String {
    hex::encode(Sha256::digest(text.as_bytes()))
}

/// Milliseconds, as everywhere on the wire.
fn iso<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    static PRINTER: DateTimePrinter = DateTimePrinter::new().precision(Some(3));
    serializer.serialize_str(&PRINTER.timestamp_to_string(time))
}

fn optional_iso<S: Serializer>(time: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => iso(time, serializer),
        None => serializer.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_token_is_known_until_it_is_revoked_and_is_not_in_the_file() {
        let root = tempfile::tempdir().unwrap();
        let file = TokenFile::in_folder(root.path());
        let (token, text) = file.create(" GitHub bot ", Scope::Connector, None, at(1)).unwrap();
        assert_eq!((text.len(), token.name.as_str()), (PREFIX.len() + 64, "GitHub bot"));
        let stored = std::fs::read_to_string(file.path()).unwrap();
        assert!(!stored.contains(&text[PREFIX.len()..]), "{stored}");
        assert!(stored.contains(r#""created": "1970-01-01T00:00:01.000Z""#), "{stored}");
        assert_eq!(std::fs::metadata(file.path()).unwrap().permissions().mode() & 0o777, 0o600);
        let all = file.load().unwrap();
        assert_eq!(all.find(&text, at(2)), Some(&token));
        let other = format!("{PREFIX}{}", Secret::random().reveal());
        for wrong in ["", PREFIX, &text[PREFIX.len()..], &text[..text.len() - 1], &other] {
            assert_eq!(all.find(wrong, at(2)), None);
        }
        assert_eq!(file.revoke(&token.id).unwrap(), Some(token.clone()));
        assert_eq!(file.load().unwrap().find(&text, at(2)), None);
        assert_eq!(file.revoke(&token.id).unwrap(), None);
    }

    #[test]
    fn a_token_ends_when_it_expires() {
        let root = tempfile::tempdir().unwrap();
        let file = TokenFile::in_folder(root.path());
        let (token, text) = file.create("x", Scope::Connector, Some(at(100)), at(1)).unwrap();
        let all = file.load().unwrap();
        assert!(all.find(&text, at(99)).is_some() && all.has(&token.id, at(99)));
        assert!(all.find(&text, at(100)).is_none() && !all.has(&token.id, at(100)));
    }

    #[test]
    fn use_is_noted_once_an_hour() {
        let root = tempfile::tempdir().unwrap();
        let file = TokenFile::in_folder(root.path());
        file.create("x", Scope::Connector, None, at(0)).unwrap();
        let mut noted = Vec::new();
        for second in [10, 20, 3_609, 3_610] {
            let token = file.load().unwrap().list().next().unwrap().clone();
            file.note_use(&token, at(second)).unwrap();
            noted.push(file.load().unwrap().list().next().unwrap().last_used.unwrap().as_second());
        }
        assert_eq!(noted, [10, 10, 10, 3_610]);
    }

    #[test]
    fn a_damaged_file_lets_nobody_in_and_is_not_overwritten() {
        let root = tempfile::tempdir().unwrap();
        let file = TokenFile::in_folder(root.path());
        for damaged in [
            r#"{"tokens":"#,
            r#"{"tokens":[{"id":"a","name":"n","scope":"owner","created":"1970-01-01T00:00:00Z","sha256":""}]}"#,
        ] {
            std::fs::write(file.path(), damaged).unwrap();
            assert!(file.load().is_err());
            assert!(matches!(file.create("x", Scope::Connector, None, at(0)), Err(Error::File(_))));
            assert_eq!(std::fs::read_to_string(file.path()).unwrap(), damaged);
        }
        let name = "x".repeat(NAME_CHARS + 1);
        for name in ["", " ", "a\nb", name.as_str()] {
            assert!(matches!(file.create(name, Scope::Connector, None, at(0)), Err(Error::Name)));
        }
    }
}
