//! `guest-links.json`: links that let people into an instance for a while, so many times. The file holds hashes only;
//! the server counts and the command line changes, both under a lock.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::atomic;
use crate::lock::{self, FileLock};
use crate::secret::Secret;

/// What the secret of every link begins with.
pub const PREFIX: &str = "rgl_";

/// The longest label, in characters.
const LABEL_CHARS: usize = 80;
/// How many links an instance has at most.
const MAX_LINKS: usize = 500;
/// How long another process may hold the lock.
const PATIENCE: Duration = Duration::from_secs(5);

/// A link as it is known after its creation: everything but its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GuestLink {
    /// `link_` and 16 hex digits.
    pub id: String,
    /// Whom it is for, in the operator's words; may be empty.
    #[serde(default)]
    pub label: String,
    /// When it was made.
    pub created: Timestamp,
    /// From when on it lets nobody in.
    #[serde(default)]
    pub expires: Option<Timestamp>,
    /// How many times it lets somebody in; any number without it.
    #[serde(default)]
    pub uses: Option<u32>,
    /// How many times it has.
    #[serde(default)]
    pub used: u32,
}

impl GuestLink {
    /// `good`, `expired` or `used`.
    #[must_use]
    pub fn state(&self, now: Timestamp) -> &'static str {
        if self.expires.is_some_and(|end| now >= end) {
            "expired"
        } else if self.uses.is_some_and(|uses| self.used >= uses) {
            "used"
        } else {
            "good"
        }
    }
}

/// Why the links cannot be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A label is too long, or no line of text.
    #[error("a label has at most {LABEL_CHARS} characters and is one line")]
    Label,
    /// There are as many as there may be.
    #[error("there are {MAX_LINKS} links already; revoke one first")]
    TooMany,
    /// The file cannot be read or written.
    #[error(transparent)]
    File(#[from] atomic::Error),
    /// Another process holds the file.
    #[error(transparent)]
    Lock(#[from] lock::Error),
}

/// The links of an instance at one moment.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct GuestLinks {
    #[serde(default)]
    links: Vec<Stored>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Stored {
    #[serde(flatten)]
    link: GuestLink,
    sha256: String,
}

impl GuestLinks {
    /// Returns the link whose secret somebody presents, in whatever state it is.
    #[must_use]
    pub fn find(&self, presented: &str) -> Option<&GuestLink> {
        let hash = hash(presented.strip_prefix(PREFIX)?);
        let known = self.links.iter().find(|stored| {
            // Never by text: a damaged hash in the file must match nothing.
            Secret::parse(&stored.sha256).is_ok_and(|stored| stored.matches(&hash))
        });
        known.map(|stored| &stored.link)
    }

    /// Tells whether a link exists: it is gone when it was revoked.
    #[must_use]
    pub fn has(&self, id: &str) -> bool {
        self.links.iter().any(|stored| stored.link.id == id)
    }

    /// Lists all links in the order of their creation.
    pub fn list(&self) -> impl Iterator<Item = &GuestLink> {
        self.links.iter().map(|stored| &stored.link)
    }
}

/// Where an instance keeps its links. Everything blocks.
#[derive(Clone, Debug)]
pub struct LinkFile {
    path: PathBuf,
}

impl LinkFile {
    /// Names the file; it need not exist.
    #[must_use]
    pub fn in_folder(config: &Path) -> Self {
        Self { path: config.join("guest-links.json") }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads all links; no file means no links.
    ///
    /// # Errors
    /// When the file cannot be read or is damaged.
    pub fn load(&self) -> Result<GuestLinks, atomic::Error> {
        Ok(atomic::read_json(&self.path)?.unwrap_or_default())
    }

    /// Makes a link. Its secret is returned this once and stored nowhere.
    ///
    /// # Errors
    /// [`Error`]; then there is no new link.
    pub fn create(
        &self,
        label: &str,
        expires: Option<Timestamp>,
        uses: Option<u32>,
        now: Timestamp,
    ) -> Result<(GuestLink, String), Error> {
        let label = label.trim();
        if label.chars().count() > LABEL_CHARS || label.chars().any(char::is_control) {
            return Err(Error::Label);
        }
        let _lock = self.lock()?;
        let mut all = self.load()?;
        if all.links.len() >= MAX_LINKS {
            return Err(Error::TooMany);
        }
        let secret = Secret::random().reveal();
        let link = GuestLink {
            id: format!("link_{:016x}", rand::random::<u64>()),
            label: label.to_owned(),
            created: now,
            expires,
            uses,
            used: 0,
        };
        all.links.push(Stored { link: link.clone(), sha256: hash(&secret) });
        atomic::write_json(&self.path, &all)?;
        Ok((link, format!("{PREFIX}{secret}")))
    }

    /// Lets somebody in by a secret and counts that; `None` when it lets nobody in, or no longer. Of many at once no
    /// more are let in than it is for.
    ///
    /// # Errors
    /// [`Error`]; then nobody was let in.
    pub fn enter(&self, presented: &str, now: Timestamp) -> Result<Option<GuestLink>, Error> {
        let _lock = self.lock()?;
        let mut all = self.load()?;
        let Some(id) =
            all.find(presented).filter(|link| link.state(now) == "good").map(|link| link.id.clone())
        else {
            return Ok(None);
        };
        let mut entered = None;
        for stored in all.links.iter_mut().filter(|stored| stored.link.id == id) {
            stored.link.used = stored.link.used.saturating_add(1);
            entered = Some(stored.link.clone());
        }
        atomic::write_json(&self.path, &all)?;
        Ok(entered)
    }

    /// Ends a link, and with it the logins that came by it; `None` when there is none of that id.
    ///
    /// # Errors
    /// [`Error`]; then the link is as it was.
    pub fn revoke(&self, id: &str) -> Result<Option<GuestLink>, Error> {
        let _lock = self.lock()?;
        let mut all = self.load()?;
        let Some(place) = all.links.iter().position(|stored| stored.link.id == id) else { return Ok(None) };
        let revoked = all.links.remove(place).link;
        atomic::write_json(&self.path, &all)?;
        Ok(Some(revoked))
    }

    fn lock(&self) -> Result<FileLock, lock::Error> {
        FileLock::acquire(&self.path.with_file_name("run/guest-links.lock"), PATIENCE)
    }
}

fn hash(text: &str) -> String {
    hex::encode(Sha256::digest(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_link_lets_in_so_many_and_no_more() {
        let root = tempfile::tempdir().unwrap();
        let file = LinkFile::in_folder(root.path());
        let (link, text) = file.create(" Ann ", None, Some(2), at(1)).unwrap();
        assert_eq!((link.label.as_str(), text.len()), ("Ann", PREFIX.len() + 64));
        let stored = std::fs::read_to_string(file.path()).unwrap();
        assert!(!stored.contains(&text[PREFIX.len()..]), "{stored}");
        assert_eq!(std::fs::metadata(file.path()).unwrap().permissions().mode() & 0o777, 0o600);
        // Looking uses nothing up.
        assert_eq!(file.load().unwrap().find(&text), Some(&link));
        let enter = || file.enter(&text, at(2)).unwrap().map(|link| link.used);
        assert_eq!((enter(), enter(), enter()), (Some(1), Some(2), None));
        assert_eq!(file.load().unwrap().find(&text).unwrap().state(at(2)), "used");
        for wrong in ["", PREFIX, &text[..text.len() - 1], &text[PREFIX.len()..]] {
            assert_eq!(file.enter(wrong, at(2)).unwrap(), None);
        }
    }

    #[test]
    fn a_link_ends_when_it_expires_or_is_revoked() {
        let root = tempfile::tempdir().unwrap();
        let file = LinkFile::in_folder(root.path());
        let (link, text) = file.create("", Some(at(100)), None, at(1)).unwrap();
        assert!(file.enter(&text, at(99)).unwrap().is_some());
        assert_eq!(file.enter(&text, at(100)).unwrap(), None);
        assert_eq!(file.load().unwrap().find(&text).unwrap().state(at(100)), "expired");
        assert!(file.load().unwrap().has(&link.id));
        assert!(file.revoke(&link.id).unwrap().is_some() && file.revoke(&link.id).unwrap().is_none());
        assert!(file.enter(&text, at(50)).unwrap().is_none() && !file.load().unwrap().has(&link.id));
        assert!(matches!(file.create("a\nb", None, None, at(1)), Err(Error::Label)));
    }
}
