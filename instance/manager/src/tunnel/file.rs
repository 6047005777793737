//! The file of the settings: changed under a lock, with the old one kept, and only when nobody else changed it.

use std::fmt;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use remotelab_config::lock::{self, FileLock};
use remotelab_config::{Env, OwnerPaths, atomic};

use super::{Document, Error, find};
use crate::backup;
use crate::outside::Tool;

/// How long one command waits for another.
const PATIENCE: Duration = Duration::from_secs(10);

/// Settings of a tunnel that there is.
#[derive(Clone)]
pub struct Settings {
    path: PathBuf,
    lock: PathBuf,
    /// There while the client has not read what was changed.
    stale: PathBuf,
    home: PathBuf,
    env: Env,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The environment holds secrets.
        f.debug_struct("Settings").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Settings {
    /// Finds them; `None` where there is no tunnel.
    #[must_use]
    pub fn find(paths: &OwnerPaths, env: &Env) -> Option<Self> {
        Some(Self {
            path: find(paths.home())?,
            lock: paths.runtime().join("tunnel.lock"),
            stale: paths.runtime().join("tunnel-stale"),
            home: paths.home().to_owned(),
            env: env.clone(),
        })
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads them.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn read(&self) -> Result<Document, Error> {
        let bytes = atomic::read(&self.path)?.unwrap_or_default();
        let text = String::from_utf8(bytes).map_err(|_| self.odd("it is not UTF-8".to_owned()))?;
        Document::parse(&text).map_err(|reason| self.odd(reason))
    }

    /// Leads a host name to a service, and tells whether that changed anything.
    ///
    /// # Errors
    /// See [`Error`]; nothing is changed then.
    pub fn set(&self, hostname: &str, service: &str) -> Result<bool, Error> {
        self.change(|document| document.set(hostname, service))
    }

    /// Leads a host name nowhere, and tells whether that changed anything.
    ///
    /// # Errors
    /// As [`Settings::set`].
    pub fn remove(&self, hostname: &str) -> Result<bool, Error> {
        self.change(|document| document.remove(hostname))
    }

    /// Whether the client has still to read what was changed.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        self.stale.exists()
    }

    /// Has the client read what was changed, if anything was: one that runs as a service is started anew.
    ///
    /// # Errors
    /// [`Error::Client`] when it cannot be.
    pub fn reconnect(&self) -> Result<(), Error> {
        if !self.is_stale() {
            return Ok(());
        }
        super::client::restart(&self.home, &self.env).map_err(Error::Client)?;
        fs::remove_file(&self.stale).map_err(|error| atomic::Error::new("remove", &self.stale, error).into())
    }

    fn change(&self, change: impl Fn(&Document) -> Result<Document, String>) -> Result<bool, Error> {
        let _lock = FileLock::acquire(&self.lock, PATIENCE).map_err(|error| match error {
            lock::Error::Held(_) => Error::Busy,
            lock::Error::File(error) => Error::File(error),
        })?;
        let before = self.read()?;
        let after = change(&before).map_err(|reason| self.odd(reason))?;
        if after == before {
            return Ok(false);
        }
        after.validate().map_err(Error::Invalid)?;
        // First of all: a client that is started anew once too often does less harm than one that is not.
        atomic::write_private(&self.stale, b"")?;
        self.replace(&before.text(), &after.text())?;
        Ok(true)
    }

    /// Puts another text in the place of this one. Owner, rights and a link stay.
    fn replace(&self, before: &str, after: &str) -> Result<(), Error> {
        let cannot = |error| atomic::Error::new("write", &self.path, error);
        // A link of the operator's stays one.
        let real = fs::canonicalize(&self.path).map_err(cannot)?;
        let data = fs::metadata(&real).map_err(cannot)?;
        let fresh = real.with_extension("yml.new");
        // A leftover of a killed command.
        let _ = fs::remove_file(&fresh);
        let write = || -> std::io::Result<File> {
            let mode = data.mode() & 0o777;
            let mut file = File::options().write(true).create_new(true).mode(mode).open(&fresh)?;
            file.write_all(after.as_bytes())?;
            file.set_permissions(data.permissions())?;
            if (file.metadata()?.uid(), file.metadata()?.gid()) != (data.uid(), data.gid()) {
                std::os::unix::fs::fchown(&file, Some(data.uid()), Some(data.gid()))?;
            }
            file.sync_all()?;
            Ok(file)
        };
        let outcome = write().map_err(|error| Error::from(cannot(error))).and_then(|_| {
            self.judge(&fresh)?;
            if fs::read_to_string(&real).map_err(cannot)? != before {
                return Err(Error::Changed(self.path.clone()));
            }
            let kept = backup::place(&real, Timestamp::now());
            atomic::write_private(&kept, before.as_bytes())?;
            backup::prune(&real);
            fs::rename(&fresh, &real).map_err(cannot)?;
            if let Some(folder) = real.parent() {
                atomic::sync_dir(folder).map_err(cannot)?;
            }
            Ok(())
        });
        if outcome.is_err() {
            let _ = fs::remove_file(&fresh);
        }
        outcome
    }

    /// Asks the client what it thinks of a file, where it is installed.
    fn judge(&self, file: &Path) -> Result<(), Error> {
        let Some(client) = Tool::find("cloudflared", &self.env) else {
            return Ok(());
        };
        let path = file.to_string_lossy();
        let said =
            client.run(&["tunnel", "--config", &path, "ingress", "validate"]).map_err(Error::Client)?;
        if said.is_well {
            return Ok(());
        }
        let words = said.stderr.trim().lines().next_back().or(said.stdout.trim().lines().next_back());
        Err(Error::Invalid(words.unwrap_or("it does not say why").to_owned()))
    }

    fn odd(&self, reason: String) -> Error {
        Error::Odd { path: self.path.clone(), reason }
    }
}
