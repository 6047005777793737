//! Reading all sessions at start, and `chat-sessions.json`, the one file that older tools know.
//!
//! The unit of writing is one session (`chat-history/<id>/session.json`). The one file is kept as an
//! export; its hash tells whether somebody else has changed it since, in which case its rows win.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use remotelab_config::{InstancePaths, atomic};
use remotelab_protocol::{Session, SessionId};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// All readable sessions, and what could not be read.
#[derive(Debug, Default)]
pub struct Loaded {
    /// Sessions by id.
    pub sessions: BTreeMap<SessionId, Session>,
    /// Ids whose record came from the export and has no file of its own yet.
    pub imported: Vec<SessionId>,
    /// Rows of the export that are no sessions; kept in every later export.
    pub unreadable_rows: Vec<Value>,
    /// Files that could not be read; they are left where they are.
    pub damaged: Vec<PathBuf>,
}

/// Reads all sessions. Blocks.
///
/// # Errors
/// When a folder cannot be listed. One damaged record is not an error.
pub fn load(paths: &InstancePaths) -> io::Result<Loaded> {
    let mut loaded = Loaded::default();
    own_files(paths, &mut loaded)?;
    export_rows(paths, &mut loaded)?;
    Ok(loaded)
}

/// Writes the export and remembers its hash. Blocks.
///
/// # Errors
/// When a file cannot be written.
pub fn export<'a>(
    paths: &InstancePaths,
    sessions: impl Iterator<Item = &'a Session>,
    unreadable_rows: &[Value],
) -> Result<(), atomic::Error> {
    let mut rows: Vec<Value> = sessions.filter_map(|session| serde_json::to_value(session).ok()).collect();
    rows.extend_from_slice(unreadable_rows);
    let path = paths.chat_sessions();
    let bytes = serde_json::to_vec_pretty(&rows)
        .map_err(|error| atomic::Error::new("write", &path, io::Error::from(error)))?;
    // The file that is there and the one that is to come are both ours, should a crash come in between.
    let mut ours = digest(&bytes);
    if let Some(last) =
        fs::read_to_string(mark(paths)).ok().and_then(|text| text.lines().next().map(str::to_owned))
    {
        ours = format!("{ours}\n{last}");
    }
    atomic::write_private(&mark(paths), ours.as_bytes())?;
    atomic::write_private(&path, &bytes)
}

fn own_files(paths: &InstancePaths, loaded: &mut Loaded) -> io::Result<()> {
    for entry in fs::read_dir(paths.chat_history())? {
        let folder = entry?.path();
        let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let Ok(id) = SessionId::parse(name) else {
            continue;
        };
        let file = folder.join("session.json");
        match atomic::read_json::<Session>(&file) {
            Ok(Some(session)) if session.id == id => {
                loaded.sessions.insert(id, session);
            }
            Ok(None) => {}
            Ok(Some(_)) | Err(_) => loaded.damaged.push(file),
        }
    }
    Ok(())
}

fn export_rows(paths: &InstancePaths, loaded: &mut Loaded) -> io::Result<()> {
    let path = paths.chat_sessions();
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let Ok(Value::Array(rows)) = serde_json::from_slice::<Value>(&bytes) else {
        set_aside(&path, loaded);
        return Ok(());
    };
    let digest = digest(&bytes);
    let ours = fs::read_to_string(mark(paths)).is_ok_and(|hashes| hashes.lines().any(|hash| hash == digest));
    for row in rows {
        let Ok(session) = serde_json::from_value::<Session>(row.clone()) else {
            loaded.unreadable_rows.push(row);
            continue;
        };
        let known = loaded.sessions.get(&session.id);
        let newer =
            known.is_none_or(|known| !ours && session.updated_at >= known.updated_at && session != *known);
        if newer {
            loaded.imported.push(session.id.clone());
            loaded.sessions.insert(session.id.clone(), session);
        }
    }
    Ok(())
}

/// Keeps a damaged export for people to look at, since the next export replaces it.
fn set_aside(path: &Path, loaded: &mut Loaded) {
    let aside = path.with_extension("json.damaged");
    if !aside.exists() {
        let _ = fs::copy(path, &aside);
    }
    loaded.damaged.push(aside);
}

fn mark(paths: &InstancePaths) -> PathBuf {
    paths.config().join("chat-sessions.sha256")
}

fn digest(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}
