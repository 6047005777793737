//! `guest-instances.json`: the guests of this machine. Readable and writable by older tools too.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use crate::containment::Containment;
use crate::limits::{self, Limits, Quota};
use crate::lock::{self, FileLock};
use crate::{InstanceName, InstancePaths, atomic};

/// How long a command waits for another one that is changing the registry.
const LOCK_PATIENCE: Duration = Duration::from_secs(30);

/// One guest. Unknown fields survive a rewrite.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// The normalised name.
    pub name: InstanceName,
    /// The service label.
    #[serde(default)]
    pub label: String,
    /// The port its chat server listens on.
    #[serde(deserialize_with = "port")]
    pub port: u16,
    /// The public host name, or empty.
    #[serde(default)]
    pub hostname: String,
    /// The folder that holds `config/` and `memory/`.
    #[serde(default)]
    pub instance_root: PathBuf,
    /// The configuration folder.
    #[serde(default)]
    pub config_dir: PathBuf,
    /// The memory folder.
    #[serde(default)]
    pub memory_dir: PathBuf,
    /// The mailbox folder.
    #[serde(default)]
    pub mailbox_root: PathBuf,
    /// Where its token is.
    #[serde(default)]
    pub auth_file: PathBuf,
    /// The service definition, whatever kind it is (the key's name is historical).
    #[serde(default)]
    pub launch_agent_path: PathBuf,
    /// Log file.
    #[serde(default)]
    pub log_path: PathBuf,
    /// Error log file.
    #[serde(default)]
    pub error_log_path: PathBuf,
    /// `https://<hostname>` or empty.
    #[serde(default)]
    pub public_base_url: String,
    /// `http://127.0.0.1:<port>`.
    #[serde(default)]
    pub local_base_url: String,
    /// Days that a login lasts.
    #[serde(default = "thirty")]
    pub session_expiry_days: u32,
    /// ISO-8601 UTC with milliseconds.
    #[serde(default)]
    pub created_at: String,
    /// Opaque stable id, by which a probe tells who answers.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// How far its creation or removal has come; absent in records of older tools, which are ready.
    #[serde(default, skip_serializing_if = "State::is_ready")]
    pub state: State,
    /// Whether the operator has stopped it: it then stays so, until it is started by hand.
    #[serde(default, skip_serializing_if = "is_false", deserialize_with = "flag")]
    pub stopped: bool,
    /// How far its runs are kept to its own files.
    #[serde(
        default,
        skip_serializing_if = "Containment::is_unset",
        deserialize_with = "Containment::lenient"
    )]
    pub containment: Containment,
    /// What its runs may take at a time. `limits` are those of the front door.
    #[serde(
        rename = "runLimits",
        default,
        skip_serializing_if = "Limits::is_unset",
        deserialize_with = "limits::lenient"
    )]
    pub limits: Limits,
    /// What it may use before it is told to wait.
    #[serde(default, skip_serializing_if = "Quota::is_unset", deserialize_with = "limits::lenient")]
    pub quota: Quota,
    /// Fields of other versions.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// How far a guest's creation or removal has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Its name and port are taken, the rest is being made.
    Creating,
    /// Usable.
    #[default]
    Ready,
    /// Being removed.
    Deleting,
}

impl State {
    /// Tells whether the guest may be routed to and started.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        *self == Self::Ready
    }
}

impl Record {
    /// Returns where its token is.
    #[must_use]
    pub fn auth_path(&self) -> PathBuf {
        if self.auth_file.as_os_str().is_empty() { self.paths().auth() } else { self.auth_file.clone() }
    }

    /// Returns the guest's folders, derived from its root where a record does not name them.
    #[must_use]
    pub fn paths(&self) -> InstancePaths {
        let or_below_root = |path: &Path, name: &str| {
            if path.as_os_str().is_empty() { self.instance_root.join(name) } else { path.to_owned() }
        };
        InstancePaths::new(
            or_below_root(&self.config_dir, "config"),
            or_below_root(&self.memory_dir, "memory"),
        )
    }
}

/// The registry as read: its guests in natural order, and the rows that are not guests.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Registry {
    /// Readable records.
    pub guests: Vec<Record>,
    /// Rows that could not be understood; kept on every rewrite, never silently dropped.
    pub unreadable: Vec<Value>,
}

/// Why the registry could not be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read or written, or is not JSON.
    #[error(transparent)]
    File(#[from] atomic::Error),
    /// The file is JSON, but no list.
    #[error("{} is not a list of guests", .0.display())]
    NotAList(PathBuf),
    /// Another command holds the registry.
    #[error(transparent)]
    Lock(#[from] lock::Error),
}

impl Registry {
    /// Reads the file; a missing one is an empty registry.
    ///
    /// # Errors
    /// [`Error::File`] or [`Error::NotAList`]; one unreadable row is not an error, see
    /// [`Registry::unreadable`].
    pub fn load(path: &Path) -> Result<Self, Error> {
        match atomic::read_json::<Value>(path)? {
            None => Ok(Self::default()),
            Some(Value::Array(rows)) => Ok(Self::from_rows(rows)),
            Some(_) => Err(Error::NotAList(path.to_owned())),
        }
    }

    /// Finds a guest by name.
    #[must_use]
    pub fn find(&self, name: &InstanceName) -> Option<&Record> {
        self.guests.iter().find(|record| record.name == *name)
    }

    /// Changes the registry under its lock and writes it when the change succeeds. Blocks; the lock is
    /// held while `change` runs.
    ///
    /// # Errors
    /// What `change` returns, or an [`Error`] of reading, locking or writing.
    pub fn update<T, E: From<Error>>(
        path: &Path,
        change: impl FnOnce(&mut Self) -> Result<T, E>,
    ) -> Result<T, E> {
        let _lock = FileLock::acquire(&lock_path(path), LOCK_PATIENCE).map_err(Error::from)?;
        let mut registry = Self::load(path)?;
        let outcome = change(&mut registry)?;
        registry.save(path)?;
        Ok(outcome)
    }

    fn from_rows(rows: Vec<Value>) -> Self {
        let mut registry = Self::default();
        let mut names = HashSet::new();
        for row in rows {
            match Record::deserialize(&row) {
                Ok(record) if names.insert(record.name.clone()) => registry.guests.push(record),
                _ => registry.unreadable.push(row),
            }
        }
        registry.guests.sort_by(|a, b| a.name.cmp(&b.name));
        registry
    }

    fn save(&self, path: &Path) -> Result<(), Error> {
        let mut guests: Vec<&Record> = self.guests.iter().collect();
        guests.sort_by(|a, b| a.name.cmp(&b.name));
        let rows = guests
            .into_iter()
            .map(serde_json::to_value)
            .chain(self.unreadable.iter().cloned().map(Ok))
            .collect::<Result<Vec<Value>, _>>()
            .and_then(|rows| serde_json::to_vec_pretty(&rows))
            .map_err(|source| atomic::Error::new("write", path, io::Error::from(source)))?;
        Ok(atomic::write_private(path, &rows)?)
    }
}

fn lock_path(registry: &Path) -> PathBuf {
    registry.with_extension("lock")
}

fn is_false(flag: &bool) -> bool {
    !flag
}

/// Reads a flag; anything but `true` is none, and no reason to lose the guest.
fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Ok(Value::deserialize(deserializer)? == Value::Bool(true))
}

fn thirty() -> u32 {
    30
}

/// Reads a port as a number or as text that begins with digits, as older tools wrote it.
fn port<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u16, D::Error> {
    let number = match Value::deserialize(deserializer)? {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => {
            let text = text.trim();
            let end = text.bytes().take_while(u8::is_ascii_digit).count();
            text[..end].parse().ok()
        }
        _ => None,
    };
    number
        .and_then(|number| u16::try_from(number).ok())
        .filter(|&port| port != 0)
        .ok_or_else(|| serde::de::Error::custom("port is not 1–65535"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn keeps_unknown_fields_broken_rows_and_key_order() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("guest-instances.json");
        let rows = json!([
            {"name": "trial10", "port": "7698abc", "future": {"x": 1}},
            {"name": "trial2", "port": 7697, "state": "creating", "stopped": 1},
            {"name": "", "port": 1},
            "nonsense"
        ]);
        std::fs::write(&path, rows.to_string()).unwrap();
        Registry::update::<_, Error>(&path, |registry| {
            registry.guests[0].hostname = "t.example.com".into();
            Ok(())
        })
        .unwrap();
        let written: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        assert_eq!(written[0]["name"], "trial2");
        assert_eq!(written[0]["hostname"], "t.example.com");
        assert_eq!(written[0]["state"], "creating");
        assert_eq!(written[1]["port"], 7698);
        assert_eq!(written[1]["future"], json!({"x": 1}));
        assert_eq!(written[2], json!({"name": "", "port": 1}));
        assert_eq!(written[3], "nonsense");
    }

    #[test]
    fn a_failed_change_writes_nothing() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("guest-instances.json");
        let outcome = Registry::update::<(), Error>(&path, |registry| {
            registry.unreadable.push(json!(1));
            Err(Error::NotAList(PathBuf::new()))
        });
        assert!(outcome.is_err());
        assert!(!path.exists());
        std::fs::write(&path, "{}").unwrap();
        assert!(matches!(Registry::load(&path), Err(Error::NotAList(_))));
        std::fs::write(&path, "[{").unwrap();
        assert!(matches!(Registry::load(&path), Err(Error::File(_))));
    }
}
