//! What a run signs in with, and how far that goes. A run's token follows from the run and a key of the instance:
//! nothing is stored for it, and nothing is left of it when the run is over.

use std::path::Path;

use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::atomic;
use crate::secret::Secret;

/// What every token of a run begins with.
pub const PREFIX: &str = "rlr_";

/// What a run may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunScope {
    /// To work in its own session and in those that it started.
    #[default]
    Session,
    /// To read the list of sessions and to group and order it, too.
    Organise,
    /// What the owner may do.
    Owner,
}

impl RunScope {
    /// Reads a setting. Whatever is no scope allows least.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        match text {
            "owner" => Self::Owner,
            "organise" | "organize" => Self::Organise,
            _ => Self::Session,
        }
    }

    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Organise => "organise",
            Self::Owner => "owner",
        }
    }
}

/// How an instance makes and knows the tokens of its runs.
#[derive(Clone, Debug)]
pub struct RunTokens {
    key: Secret,
    scope: RunScope,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    key: String,
    scope: RunScope,
}

impl RunTokens {
    /// Reads the instance's key and scope, or makes them: an instance that has worked before goes on as it did, with
    /// the owner's rights in each run, a new one begins with the least. A file that is damaged is left alone, and the
    /// tokens last until the server stops.
    ///
    /// # Errors
    /// When the file cannot be read or written.
    pub fn open(path: &Path, is_new: bool) -> Result<Self, atomic::Error> {
        if let Some(bytes) = atomic::read(path)? {
            let read = serde_json::from_slice::<Stored>(&bytes).ok();
            let read = read.and_then(|stored| Some((Secret::parse(&stored.key).ok()?, stored.scope)));
            let (key, scope) = read.unwrap_or_else(|| (Secret::random(), RunScope::Session));
            return Ok(Self { key, scope });
        }
        let key = Secret::random();
        let scope = if is_new { RunScope::Session } else { RunScope::Owner };
        atomic::write_json(path, &Stored { key: key.reveal(), scope })?;
        Ok(Self { key, scope })
    }

    /// Replaces the stored scope by a setting.
    #[must_use]
    pub fn with_scope(self, scope: Option<RunScope>) -> Self {
        Self { scope: scope.unwrap_or(self.scope), ..self }
    }

    /// What runs may do, those apart whose words come from outside.
    #[must_use]
    pub fn scope(&self) -> RunScope {
        self.scope
    }

    /// Returns the token of a run.
    #[must_use]
    pub fn token(&self, run: &str) -> String {
        let mac = self.keyed(run).finalize().into_bytes();
        format!("{PREFIX}{run}.{}", hex::encode(mac))
    }

    /// Returns the run whose token somebody presents, whether it is under way or not.
    #[must_use]
    pub fn run_of<'a>(&self, presented: &'a str) -> Option<&'a str> {
        let (run, mac) = presented.strip_prefix(PREFIX)?.rsplit_once('.')?;
        let mut bytes = [0; 32];
        hex::decode_to_slice(mac, &mut bytes).ok()?;
        self.keyed(run).verify_slice(&bytes).is_ok().then_some(run)
    }

    fn keyed(&self, run: &str) -> Hmac<Sha256> {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(self.key.bytes()).expect("HMAC takes a key of any length");
        mac.update(b"run token\0");
        mac.update(run.as_bytes());
        mac
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_of_its_run_and_its_instance_alone() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("run-tokens.json");
        let tokens = RunTokens::open(&path, true).unwrap();
        let token = tokens.token("run_1");
        assert_eq!(tokens.run_of(&token), Some("run_1"));
        assert_eq!(RunTokens::open(&path, false).unwrap().run_of(&token), Some("run_1"));
        let other = RunTokens::open(&root.path().join("other.json"), true).unwrap();
        let swapped = token.replace("run_1", "run_2");
        for wrong in ["", PREFIX, &token[1..], &token[..token.len() - 2], &swapped, &other.token("run_1")] {
            assert_eq!(tokens.run_of(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn an_instance_that_worked_before_goes_on_as_it_did() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("run-tokens.json");
        assert_eq!(RunTokens::open(&path, false).unwrap().scope(), RunScope::Owner);
        assert_eq!(RunTokens::open(&path, true).unwrap().scope(), RunScope::Owner);
        let set = RunTokens::open(&path, true).unwrap().with_scope(Some(RunScope::parse("organise")));
        assert_eq!(set.scope(), RunScope::Organise);
        std::fs::write(&path, r#"{"key":"","scope":"owner"}"#).unwrap();
        let damaged = RunTokens::open(&path, false).unwrap();
        assert_eq!((damaged.scope(), RunScope::parse("all")), (RunScope::Session, RunScope::Session));
    }
}
