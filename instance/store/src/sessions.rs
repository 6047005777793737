//! Reading all sessions at start, and `chat-sessions.json`, the one file that older tools know.
//!
//! The unit of writing is one session (`chat-history/<id>/session.json`). The one file is kept as an
//! export; its hash tells whether somebody else has changed it since, in which case its rows win.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;

use remotelab_config::{InstancePaths, atomic};
use remotelab_protocol::{Session, SessionId, source};
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::damage::Damage;
use crate::history::{History, relative};
use crate::index::{self, Folder, Index};
use crate::journal::Files;
use crate::runs;
use crate::session::{Held, State};

/// A thread is worth starting for this many sessions.
const SESSIONS_PER_THREAD: usize = 256;
const NO_PANIC: &str = "reading does not panic";

/// All readable sessions, and what could not be read.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    /// Sessions by id.
    pub(crate) sessions: BTreeMap<SessionId, Held>,
    /// Ids whose record came from the export and has no good file of its own yet.
    pub(crate) imported: Vec<SessionId>,
    /// Rows of the export that are no sessions; kept in every later export.
    pub(crate) unreadable_rows: Vec<Value>,
    /// Files that could not be read; they are left where they are.
    pub(crate) damaged: Vec<Damage>,
    /// Whether index and export tell everything.
    pub(crate) is_unchanged: bool,
}

/// Reads all sessions. Blocks.
///
/// # Errors
/// When a folder cannot be listed. One damaged record is not an error.
pub(crate) fn load(paths: &InstancePaths) -> io::Result<Loaded> {
    let text = index::read(paths);
    let (export, index, ids) = thread::scope(|scope| {
        // The export tells nothing new where there is an index, but is long and has to be read all the same.
        let export = (!text.is_empty()).then(|| scope.spawn(|| Export::read(paths)));
        let (index, ids) = (Index::parse(&text), list(paths));
        let export = export.map_or_else(|| Export::read(paths), |read| read.join().expect(NO_PANIC));
        (export, index, ids)
    });
    let (export, ids) = (export?, ids?);
    // Another tool that wrote the export has written histories, too, and may have died in between.
    let mut index = if export.is_ours { index } else { Index::default() };
    let mut loaded = Loaded::default();
    let from_index = own_files(paths, &index, &ids, &mut loaded);
    let told_all = from_index == loaded.sessions.len() && from_index == index.len();
    let nothing_amiss = loaded.damaged.is_empty() && index.missing_in(&ids) == 0;
    match index.unreadable_rows.take() {
        Some(rows) if export.is_ours && nothing_amiss => {
            loaded.unreadable_rows = rows;
            loaded.is_unchanged = told_all && export.bytes.is_some();
        }
        _ => export.take_over(paths, &mut loaded),
    }
    Ok(loaded)
}

/// Reads a session's own files again, of which the index told what cannot be understood. When they cannot be
/// understood either, an empty session stands for it, and a copy of its file is kept. Blocks.
pub(crate) fn reread(paths: &InstancePaths, id: &SessionId) -> Box<State> {
    if let Found::InFile(state) = in_file(paths, id) {
        return state;
    }
    tracing::error!(session.id = %id, "the record of a session is damaged; an empty one takes its place");
    set_aside(&paths.chat_history().join(id.as_str()).join("session.json"));
    let session = Session { id: id.clone(), ..Session::new("~".into(), String::new(), "") };
    Box::new(State::new(session, stored(paths, id).meta()))
}

/// Reads a session as its changes so far leave it, carried out or not. Blocks.
pub(crate) fn as_changed(files: &Files, id: &SessionId) -> Option<State> {
    let record: Value = files.read_json(&relative::session(id)).ok()??;
    let session = Session::deserialize(&record).or_else(|_| Session::of_record(record)).ok()?;
    let active = session.active_run_id.as_ref().and_then(|run| runs::load(files, run).ok().flatten());
    Some(State { active, ..State::new(session, History::of(files, id).meta()) })
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
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let share = ids.len().div_ceil(threads).max(SESSIONS_PER_THREAD);
    let folder = Folder::open(paths);
    let look = |ids: &[SessionId]| -> Vec<_> {
        ids.iter().map(|id| (own_file(paths, &folder, index, id), id.clone())).collect()
    };
    let found: Vec<_> = thread::scope(|scope| {
        let mut shares = ids.chunks(share);
        let own = shares.next().unwrap_or_default();
        let others: Vec<_> = shares.map(|ids| scope.spawn(move || look(ids))).collect();
        let own = look(own);
        let others = others.into_iter().map(|other| other.join().expect(NO_PANIC));
        std::iter::once(own).chain(others).flatten().collect()
    });
    let mut from_index = 0;
    let mut sessions = Vec::new();
    for (found, id) in found {
        match found {
            Found::InIndex(held) => {
                from_index += 1;
                sessions.push((id, held));
            }
            Found::InFile(state) => sessions.push((id, Held::Open(state))),
            Found::Nothing => {}
            Found::Damage(damage) => loaded.damaged.push(damage),
        }
    }
    loaded.sessions = sessions.into_iter().collect();
    from_index
}

enum Found {
    InIndex(Held),
    InFile(Box<State>),
    Nothing,
    Damage(Damage),
}

fn own_file(paths: &InstancePaths, folder: &Folder, index: &Index<'_>, id: &SessionId) -> Found {
    if index.len() > 0
        && let Some(held) = index.find(id, folder.stamps(id))
    {
        return Found::InIndex(held);
    }
    in_file(paths, id)
}

fn in_file(paths: &InstancePaths, id: &SessionId) -> Found {
    let path = paths.chat_history().join(id.as_str()).join("session.json");
    match record(&path) {
        Ok(Some(session)) if session.id == *id => {
            Found::InFile(Box::new(State::new(session, stored(paths, id).meta())))
        }
        Ok(None) => Found::Nothing,
        Ok(Some(session)) => Found::Damage(Damage::new(path, format!("it tells of session {}", session.id))),
        Err(error) => Found::Damage(Damage::of(&error)),
    }
}

/// Reads a session's own record; `None` when there is none.
pub(crate) fn record(path: &Path) -> Result<Option<Session>, atomic::Error> {
    match atomic::read_json::<Session>(path) {
        Err(strict) if strict.step == "parse" => match atomic::read_json::<Value>(path)? {
            Some(record) => Session::of_record(record).map(Some).map_err(|_| strict),
            None => Ok(None),
        },
        outcome => outcome,
    }
}

/// Tells of rows that are no sessions.
pub(crate) fn damaged_rows(paths: &InstancePaths, count: usize) -> Option<Damage> {
    let reason = || format!("{count} of its entries are no sessions; they are kept and not shown");
    (count > 0).then(|| Damage::new(paths.chat_sessions(), reason()))
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
            let Ok(mut session) = Session::of_record(row.clone()) else {
                loaded.unreadable_rows.push(row);
                continue;
            };
            source::adopt(&mut session, &row);
            let known = loaded.sessions.get_mut(&session.id).map(|held| held.open(paths, &session.id));
            let wins = known.as_ref().is_none_or(|known| {
                !self.is_ours && session.updated_at >= known.session.updated_at && session != known.session
            });
            if wins {
                session.context_mark = stored(paths, &session.id).context_mark();
                loaded.imported.push(session.id.clone());
                let meta =
                    known.map_or_else(|| stored(paths, &session.id).meta(), |known| known.meta.clone());
                let id = session.id.clone();
                loaded.sessions.insert(id, Held::Open(Box::new(State::new(session, meta))));
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
