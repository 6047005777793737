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
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::damage::Damage;
use crate::history::History;
use crate::index::{self, Index, Record, Stamps};
use crate::journal::Files;

/// A thread is worth starting for this many sessions.
const SESSIONS_PER_THREAD: usize = 256;

/// All readable sessions, and what could not be read.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    /// Sessions by id.
    pub(crate) sessions: BTreeMap<SessionId, Box<Record>>,
    /// Ids whose record came from the export and has no good file of its own yet.
    pub(crate) imported: Vec<SessionId>,
    /// Rows of the export that are no sessions; kept in every later export.
    pub(crate) unreadable_rows: Vec<Value>,
    /// Files that could not be read; they are left where they are.
    pub(crate) damaged: Vec<Damage>,
    /// Whether the index told everything.
    pub(crate) index_is_complete: bool,
}

/// Reads all sessions. Blocks.
///
/// # Errors
/// When a folder cannot be listed. One damaged record is not an error.
pub(crate) fn load(paths: &InstancePaths) -> io::Result<Loaded> {
    let export = Export::read(paths)?;
    // Another tool that wrote the export has written histories, too, and may have died in between.
    let text = if export.is_ours { index::read(paths) } else { String::new() };
    let mut index = Index::parse(&text);
    let mut loaded = Loaded::default();
    let ids = list(paths)?;
    let from_index = own_files(paths, &index, &ids, &mut loaded);
    loaded.index_is_complete = from_index == loaded.sessions.len() && from_index == index.len();
    let nothing_amiss = loaded.damaged.is_empty() && index.missing_in(&ids) == 0;
    match index.unreadable_rows.take() {
        Some(rows) if export.is_ours && nothing_amiss => loaded.unreadable_rows = rows,
        _ => export.take_over(paths, &mut loaded),
    }
    Ok(loaded)
}

/// Writes the export and remembers its hash. Blocks.
///
/// # Errors
/// When a file cannot be written.
pub(crate) fn export<'a>(
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
    if let Some(last) = our_digests(paths).lines().next() {
        ours = format!("{ours}\n{last}");
    }
    atomic::write_private(&mark(paths), ours.as_bytes())?;
    atomic::write_private(&path, &bytes)
}

/// Lists the sessions that have a folder.
fn list(paths: &InstancePaths) -> io::Result<Vec<SessionId>> {
    let mut ids = Vec::new();
    for entry in fs::read_dir(paths.chat_history())? {
        let name = entry?.file_name();
        ids.extend(name.to_str().and_then(|name| SessionId::parse(name).ok()));
    }
    Ok(ids)
}

/// Reads the sessions' own files, or what the index tells of them. Returns for how many it told.
fn own_files(paths: &InstancePaths, index: &Index<'_>, ids: &[SessionId], loaded: &mut Loaded) -> usize {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let share = ids.len().div_ceil(threads).max(SESSIONS_PER_THREAD);
    let look =
        |ids: &[SessionId]| ids.iter().map(|id| (own_file(paths, index, id), id.clone())).collect::<Vec<_>>();
    let found: Vec<_> = std::thread::scope(|scope| {
        let mut shares = ids.chunks(share);
        let own = shares.next().unwrap_or_default();
        let others: Vec<_> = shares.map(|ids| scope.spawn(move || look(ids))).collect();
        let own = look(own);
        let others = others.into_iter().map(|other| other.join().expect("reading does not panic"));
        std::iter::once(own).chain(others).flatten().collect()
    });
    let mut from_index = 0;
    let mut sessions = Vec::new();
    for (found, id) in found {
        match found {
            Found::InIndex(record) => {
                from_index += 1;
                sessions.push((id, record));
            }
            Found::InFile(record) => sessions.push((id, record)),
            Found::Nothing => {}
            Found::Damage(damage) => loaded.damaged.push(damage),
        }
    }
    loaded.sessions = sessions.into_iter().collect();
    from_index
}

enum Found {
    InIndex(Box<Record>),
    InFile(Box<Record>),
    Nothing,
    Damage(Damage),
}

fn own_file(paths: &InstancePaths, index: &Index<'_>, id: &SessionId) -> Found {
    let folder = paths.chat_history().join(id.as_str());
    if index.len() > 0
        && let Some(record) = index.record(id, Stamps::of(&folder))
    {
        return Found::InIndex(Box::new(record));
    }
    let path = folder.join("session.json");
    match atomic::read_json::<Session>(&path) {
        Ok(Some(session)) if session.id == *id => {
            Found::InFile(Box::new(Record { session, meta: stored(paths, id).meta() }))
        }
        Ok(None) => Found::Nothing,
        Ok(Some(session)) => Found::Damage(Damage::new(path, format!("it tells of session {}", session.id))),
        Err(error) => Found::Damage(Damage::of(&error)),
    }
}

/// `chat-sessions.json` as it was found.
struct Export {
    bytes: Option<Vec<u8>>,
    /// Whether it is absent or as we wrote it.
    is_ours: bool,
}

impl Export {
    fn read(paths: &InstancePaths) -> io::Result<Self> {
        match fs::read(paths.chat_sessions()) {
            Ok(bytes) => {
                let digest = digest(&bytes);
                let is_ours = our_digests(paths).lines().any(|hash| hash == digest);
                Ok(Self { bytes: Some(bytes), is_ours })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self { bytes: None, is_ours: true }),
            Err(error) => Err(error),
        }
    }

    /// Adds the sessions that only the export tells of; a foreign one's rows also win over older records.
    fn take_over(self, paths: &InstancePaths, loaded: &mut Loaded) {
        let Some(bytes) = self.bytes else {
            return;
        };
        let rows = match serde_json::from_slice::<Vec<Value>>(&bytes) {
            Ok(rows) => rows,
            Err(error) => {
                let path = set_aside(&paths.chat_sessions());
                return loaded.damaged.push(Damage::new(path, error.to_string()));
            }
        };
        for row in rows {
            let Ok(mut session) = Session::deserialize(&row) else {
                loaded.unreadable_rows.push(row);
                continue;
            };
            let known = loaded.sessions.get(&session.id);
            let wins = known.is_none_or(|known| {
                !self.is_ours && session.updated_at >= known.session.updated_at && session != known.session
            });
            if wins {
                session.context_mark = stored(paths, &session.id).context_mark();
                loaded.imported.push(session.id.clone());
                let meta =
                    known.map_or_else(|| stored(paths, &session.id).meta(), |known| known.meta.clone());
                loaded.sessions.insert(session.id.clone(), Box::new(Record { session, meta }));
            }
        }
        // A record that the export replaces is kept for people to look at.
        for damage in &mut loaded.damaged {
            let id = damage.path.parent().and_then(Path::file_name).and_then(|name| name.to_str());
            if id.is_some_and(|id| loaded.imported.iter().any(|imported| imported.as_str() == id)) {
                damage.path = set_aside(&damage.path);
                damage.reason.push_str("; an older copy took its place");
            }
        }
    }
}

/// A session's history as it is on the disk.
fn stored(paths: &InstancePaths, session: &SessionId) -> History {
    History::of(&Files::on_disk(paths.config()), session)
}

/// Copies a damaged file that is going to be replaced; returns the copy's path.
fn set_aside(path: &Path) -> PathBuf {
    let aside = path.with_added_extension("damaged");
    if !aside.exists() {
        // Without a copy the file is replaced all the same: the instance has to start.
        let _ = fs::copy(path, &aside);
    }
    aside
}

fn our_digests(paths: &InstancePaths) -> String {
    fs::read_to_string(mark(paths)).unwrap_or_default()
}

fn mark(paths: &InstancePaths) -> PathBuf {
    paths.config().join("chat-sessions.sha256")
}

fn digest(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}
