//! Records that cannot be read. They are left alone, cost nothing but themselves, and are told of.

mod lists;

use std::fs;
use std::path::{Path, PathBuf};

use remotelab_config::api_tokens::{ApiTokens, TokenFile};
use remotelab_config::{InstancePaths, atomic};
use remotelab_protocol::run::{Manifest, RunResult, RunnerReport};
use remotelab_protocol::session::HistoryMeta;
use remotelab_protocol::{AssetId, Context, Event, Run, Session, SessionId};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::sessions;

/// A file that cannot be read, or not understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The file, or the copy of it that was kept when something older took its place.
    pub path: PathBuf,
    /// Why, for people.
    pub reason: String,
}

impl Damage {
    pub(crate) fn new(path: PathBuf, reason: String) -> Self {
        Self { path, reason }
    }

    pub(crate) fn of(error: &atomic::Error) -> Self {
        Self::new(error.path.clone(), error.source.to_string())
    }
}

/// Reads every record of an instance and returns what is damaged, in path order, also while a server is
/// running there. What cannot be listed counts as damaged, too. Blocks, long where there is much.
#[must_use]
pub fn scan(paths: &InstancePaths) -> Vec<Damage> {
    let mut damaged = Vec::new();
    if let Some(rows) = check::<Vec<Value>>(&paths.chat_sessions(), &mut damaged) {
        let unreadable = rows.into_iter().filter_map(|row| Session::of_record(row).err()).count();
        damaged.extend(sessions::damaged_rows(paths, unreadable));
    }
    for session in entries(&paths.chat_history(), &mut damaged) {
        if let Err(error) = sessions::record(&session.join("session.json")) {
            damaged.push(Damage::of(&error));
        }
        check::<HistoryMeta>(&session.join("meta.json"), &mut damaged);
        check::<Context>(&session.join("context.json"), &mut damaged);
        let events = session.join("events");
        if events.is_dir() {
            for event in entries(&events, &mut damaged).iter().filter(|path| is_json(path)) {
                if let Some(event) = check::<Event>(event, &mut damaged) {
                    check_text(&session.join("bodies"), &event, &mut damaged);
                }
            }
        }
    }
    for run in entries(&paths.chat_runs(), &mut damaged) {
        check::<Manifest>(&run.join("manifest.json"), &mut damaged);
        check::<Run>(&run.join("status.json"), &mut damaged);
        check::<RunnerReport>(&run.join("runner.json"), &mut damaged);
        check::<RunResult>(&run.join("result.json"), &mut damaged);
    }
    in_configuration(paths, &mut damaged);
    if paths.file_assets().is_dir() {
        for asset in entries(&paths.file_assets(), &mut damaged).iter().filter(|path| is_json(path)) {
            check::<Asset>(asset, &mut damaged);
        }
    }
    damaged.sort_by(|a, b| a.path.cmp(&b.path));
    damaged
}

/// As [`scan`], for the few files that stand for the whole instance: its executors, triggers, webhooks and
/// tokens. Blocks, never long.
#[must_use]
pub fn scan_configuration(paths: &InstancePaths) -> Vec<Damage> {
    let mut damaged = Vec::new();
    in_configuration(paths, &mut damaged);
    damaged
}

fn in_configuration(paths: &InstancePaths, damaged: &mut Vec<Damage>) {
    let journal = entries(&paths.config().join("journal"), damaged);
    let bad = journal.into_iter().filter(|path| path.extension().is_some_and(|it| it == "damaged"));
    damaged.extend(bad.map(of_journal));
    check::<ApiTokens>(TokenFile::in_folder(paths.config()).path(), damaged);
    lists::scan(paths, damaged);
}

/// Tells of a journal file that was kept because it went bad.
pub(crate) fn of_journal(path: PathBuf) -> Damage {
    Damage::new(path, "what was stored shortly before the last crash is lost in part".to_owned())
}

/// What the record of a file has at least.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Asset {
    #[serde(rename = "id")]
    _id: AssetId,
    #[serde(rename = "sessionId")]
    _session_id: SessionId,
    #[serde(rename = "status")]
    _status: String,
    #[serde(rename = "storage")]
    _storage: Map<String, Value>,
}

fn check<T: DeserializeOwned>(path: &Path, damaged: &mut Vec<Damage>) -> Option<T> {
    atomic::read_json::<T>(path).unwrap_or_else(|error| {
        damaged.push(Damage::of(&error));
        None
    })
}

/// Compares a long text that left its event with the length that the event knows.
fn check_text(bodies: &Path, event: &Event, damaged: &mut Vec<Damage>) {
    let body = &event.body;
    let (Some(false), Some(name), Some(length)) = (body.body_loaded, &body.body_ref, body.body_bytes) else {
        return;
    };
    let path = bodies.join(format!("{name}.txt"));
    let found = fs::metadata(&path).map_or(0, |file| file.len());
    if found != length {
        damaged.push(Damage::new(path, format!("it holds {found} bytes of {length}")));
    }
}

/// Lists a folder in name order; a missing one is empty.
fn entries(folder: &Path, damaged: &mut Vec<Damage>) -> Vec<PathBuf> {
    let listed = fs::read_dir(folder).and_then(|entries| {
        entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>()
    });
    match listed {
        Ok(mut found) => {
            found.sort();
            found
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => {
            damaged.push(Damage::new(folder.to_owned(), error.to_string()));
            Vec::new()
        }
    }
}

fn is_json(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "json")
}
