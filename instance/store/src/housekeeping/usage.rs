//! What takes the room of an instance.

use std::collections::BTreeMap;
use std::path::Path;

use remotelab_config::{InstancePaths, atomic};
use serde::Serialize;
use serde_json::Value;

use super::{File, walk};

/// What takes the room, in bytes on the disk.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    /// Everything below the instance's folder.
    pub total_bytes: u64,
    /// What is left on the disk for its user.
    pub free_bytes: u64,
    /// The room by what is in it.
    pub kinds: BTreeMap<&'static str, u64>,
    /// The largest sessions: their history and their runs.
    pub sessions: Vec<SessionRoom>,
}

/// What one session takes.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionRoom {
    /// Its id.
    pub session_id: String,
    /// Its name.
    pub name: String,
    /// History and runs together.
    pub bytes: u64,
    /// Its history.
    pub history_bytes: u64,
    /// Its runs.
    pub runs_bytes: u64,
}

/// Adds up what an instance takes, with the `top` largest sessions. Blocks, long where there is much.
#[must_use]
pub fn usage(paths: &InstancePaths, top: usize) -> Usage {
    let config = paths.config();
    let mut usage = Usage { free_bytes: free(config), ..Usage::default() };
    let mut sessions: BTreeMap<String, SessionRoom> = BTreeMap::new();
    let mut runs: BTreeMap<String, u64> = BTreeMap::new();
    walk(config, &mut |File { path, bytes }| {
        let Ok(relative) = path.strip_prefix(config) else { return };
        let parts: Vec<&str> = relative.iter().map(|part| part.to_str().unwrap_or_default()).collect();
        usage.total_bytes += bytes;
        *usage.kinds.entry(kind(&parts)).or_default() += bytes;
        match parts.as_slice() {
            ["chat-history", session, _, ..] => {
                sessions.entry((*session).to_owned()).or_default().history_bytes += bytes;
            }
            ["chat-runs", run, _, ..] => *runs.entry((*run).to_owned()).or_default() += bytes,
            _ => {}
        }
    });
    for (run, bytes) in runs {
        let session = field(&paths.chat_runs().join(run).join("status.json"), "sessionId");
        sessions.entry(session).or_default().runs_bytes += bytes;
    }
    let mut sessions: Vec<SessionRoom> = sessions
        .into_iter()
        .map(|(session_id, room)| SessionRoom {
            bytes: room.history_bytes + room.runs_bytes,
            session_id,
            ..room
        })
        .collect();
    sessions.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.session_id.cmp(&b.session_id)));
    sessions.truncate(top);
    for room in &mut sessions {
        room.name = field(&paths.chat_history().join(&room.session_id).join("session.json"), "name");
    }
    Usage { sessions, ..usage }
}

/// Returns what is left on the disk of a folder for its user; 0 when nobody can tell.
#[must_use]
pub fn free(folder: &Path) -> u64 {
    rustix::fs::statvfs(folder).map_or(0, |disk| disk.f_bavail.saturating_mul(disk.f_frsize))
}

fn kind(parts: &[&str]) -> &'static str {
    match parts {
        ["chat-history", ..] => "history",
        ["chat-runs", _, "artifacts", _, ..] => "artifacts",
        ["chat-runs", _, "spool.jsonl"] => "spools",
        ["chat-runs", ..] => "runs",
        ["images", ..] => "images",
        ["file-assets", ..] => "fileAssets",
        ["file-assets-cache", ..] => "cache",
        ["shared-snapshots", ..] => "shares",
        ["api-logs" | "logs", ..] => "logs",
        ["agent-mailbox", ..] => "mail",
        ["provider-runtime-homes", ..] => "executorHomes",
        ["journal", ..] => "journal",
        _ => "other",
    }
}

fn field(record: &Path, key: &str) -> String {
    let record: Option<Value> = atomic::read_json(record).ok().flatten();
    record.and_then(|record| record[key].as_str().map(str::to_owned)).unwrap_or_default()
}
