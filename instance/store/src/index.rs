//! `sessions.index`: a copy of all records in one file, so that a start need not open every session's
//! files. It is written on a clean stop and may be deleted at any time.
//!
//! An entry counts only while the files it was made of are what they were: the same file of the same
//! size, not changed since. A first line tells the moment and the checksum of the rest, a second one
//! the rows of the export that are no sessions; then there is one line for each session. A record is understood
//! only when somebody asks for it: with very many sessions that is most of the work of a start.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use remotelab_config::{InstancePaths, atomic};
use remotelab_protocol::SessionId;
use rustix::fs::{AtFlags, statat};
use serde_json::Value;

use crate::session::{Held, State};
use crate::triggers;

/// Records are read back by the version that wrote them and by no other.
const FORMAT: &str = concat!("remotelab-sessions-2-", env!("CARGO_PKG_VERSION"));

/// A file changed so shortly before the index was written may have been changed again within the same
/// tick of the file system's clock. Tests are too quick to wait for that.
const TICK: Duration = if cfg!(test) { Duration::ZERO } else { Duration::from_secs(2) };

/// The folder of all sessions. It is kept open, so that a look at one of very many files does not have to
/// find its way to it.
#[derive(Debug)]
pub(crate) struct Folder(Option<File>);

/// Tells whether the files of a session's record are still what they were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamps {
    session: Stamp,
    meta: Stamp,
}

/// A file as the file system knows it; all 0 when there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    size: u64,
    /// Nanoseconds since 1970 of the last change of any kind, which no program can set.
    changed: i128,
}

/// A file that was read.
#[derive(Debug, Default)]
pub(crate) struct Index<'a> {
    entries: HashMap<&'a str, Entry<'a>>,
    /// Rows of the export that are no sessions; none when there is no usable index.
    pub(crate) unreadable_rows: Option<Vec<Value>>,
}

#[derive(Debug)]
struct Entry<'a> {
    stamps: Stamps,
    is_unfinished: bool,
    key: &'a str,
    record: &'a str,
}

/// A session's record that nobody has asked for yet. There is nothing to go on with in it.
#[derive(Debug)]
pub(crate) struct Packed {
    /// The key by which the session is found.
    pub(crate) key: Option<String>,
    record: Box<str>,
}

/// Writes the index of records, each with stamps that are older than the record. Blocks.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn write(
    paths: &InstancePaths,
    unreadable_rows: &[Value],
    records: impl Iterator<Item = (Stamps, State)>,
) -> Result<(), atomic::Error> {
    let path = path(paths);
    let failed = |error: serde_json::Error| atomic::Error::new("write", &path, io::Error::from(error));
    let now = since_1970(SystemTime::now());
    let mut body = serde_json::to_string(unreadable_rows).map_err(failed)?;
    body.push('\n');
    for (stamps, State { session, meta, .. }) in records.filter(|(stamps, _)| stamps.are_settled(now)) {
        let record = serde_json::to_string(&(&session, &meta)).map_err(failed)?;
        let key = serde_json::to_string(&triggers::key_of(&session)).map_err(failed)?;
        let unfinished = u8::from(session.is_unfinished());
        let Stamps { session: s, meta: m } = stamps;
        let stamps = format!("{} {} {} {} {} {}", s.inode, s.size, s.changed, m.inode, m.size, m.changed);
        // JSON has no tab outside of white space.
        body.push_str(&format!("{} {stamps} {unfinished} {key}\t{record}\n", session.id));
    }
    let head = format!("{FORMAT} {:08x}\n", crc32fast::hash(body.as_bytes()));
    atomic::write_private(&path, (head + &body).as_bytes())
}

/// Reads the index's file, if there is one. Blocks.
pub(crate) fn read(paths: &InstancePaths) -> String {
    fs::read_to_string(path(paths)).unwrap_or_default()
}

impl<'a> Index<'a> {
    /// Understands a file; a damaged one tells nothing.
    pub(crate) fn parse(text: &'a str) -> Self {
        Self::parse_whole(text).unwrap_or_default()
    }

    /// Returns what it tells of a session, unless the session's files were changed.
    pub(crate) fn find(&self, id: &SessionId, stamps: Stamps) -> Option<Held> {
        let entry = self.entries.get(id.as_str()).filter(|entry| entry.stamps == stamps)?;
        if entry.is_unfinished {
            return understand(entry.record).map(Held::Open);
        }
        Some(Held::Packed(Packed { key: serde_json::from_str(entry.key).ok()?, record: entry.record.into() }))
    }

    /// Returns the number of sessions it tells of.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns how many sessions that it tells of are not in a list without duplicates.
    pub(crate) fn missing_in(&self, ids: &[SessionId]) -> usize {
        let listed = ids.iter().filter(|id| self.entries.contains_key(id.as_str())).count();
        self.entries.len() - listed
    }

    fn parse_whole(text: &'a str) -> Option<Self> {
        let (head, body) = text.split_once('\n')?;
        let (format, sum) = head.split_once(' ')?;
        if format != FORMAT || sum != format!("{:08x}", crc32fast::hash(body.as_bytes())) {
            return None;
        }
        let (rows, body) = body.split_once('\n')?;
        let entries = body.lines().map(entry).collect::<Option<_>>()?;
        Some(Self { entries, unreadable_rows: Some(serde_json::from_str(rows).ok()?) })
    }
}

impl Folder {
    /// Opens it; without it there are no files. Blocks.
    pub(crate) fn open(paths: &InstancePaths) -> Self {
        Self(File::open(paths.chat_history()).ok())
    }

    /// Looks at the files of a session's record. Blocks.
    pub(crate) fn stamps(&self, id: &SessionId) -> Stamps {
        Stamps { session: self.stamp(id, "session.json"), meta: self.stamp(id, "meta.json") }
    }

    fn stamp(&self, id: &SessionId, name: &str) -> Stamp {
        let looked = self.0.as_ref().map(|folder| statat(folder, format!("{id}/{name}"), AtFlags::empty()));
        let Some(Ok(found)) = looked else {
            return Stamp::default();
        };
        Stamp {
            inode: found.st_ino,
            size: u64::try_from(found.st_size).unwrap_or_default(),
            changed: i128::from(found.st_ctime) * 1_000_000_000 + i128::from(found.st_ctime_nsec),
        }
    }
}

impl Packed {
    /// Understands the record.
    pub(crate) fn open(&self) -> Option<Box<State>> {
        understand(&self.record)
    }
}

impl Stamps {
    fn are_settled(&self, now: Duration) -> bool {
        let settled = i128::try_from(now.saturating_sub(TICK).as_nanos()).unwrap_or_default();
        [self.session, self.meta].iter().all(|stamp| stamp.changed < settled)
    }
}

fn entry(line: &str) -> Option<(&str, Entry<'_>)> {
    let mut parts = line.splitn(9, ' ');
    let id = parts.next()?;
    let mut stamp = || {
        let (inode, size, changed) = (parts.next()?, parts.next()?, parts.next()?);
        Some(Stamp { inode: inode.parse().ok()?, size: size.parse().ok()?, changed: changed.parse().ok()? })
    };
    let stamps = Stamps { session: stamp()?, meta: stamp()? };
    let is_unfinished = parts.next()? != "0";
    let (key, record) = parts.next()?.split_once('\t')?;
    Some((id, Entry { stamps, is_unfinished, key, record }))
}

fn understand(record: &str) -> Option<Box<State>> {
    let (session, meta) = serde_json::from_str(record).ok()?;
    Some(Box::new(State::new(session, meta)))
}

fn path(paths: &InstancePaths) -> PathBuf {
    paths.config().join("sessions.index")
}

fn since_1970(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;
    use std::path::Path;

    use remotelab_protocol::Session;

    use super::*;
    use crate::{Inserted, Store, sessions};

    const NOW: &str = "2026-11-22T07:26:39.203Z";

    /// Cut anywhere, or with any bit turned, it tells nothing rather than something else.
    #[test]
    fn a_damaged_index_tells_nothing() {
        let root = tempfile::tempdir().unwrap();
        let paths = InstancePaths::below(root.path());
        let store = Store::open(&paths).unwrap().0;
        for name in ["one", "zwei \u{e4}"] {
            let session = Session { name: name.into(), ..Session::new("~".into(), "codex".into(), NOW) };
            assert!(matches!(store.find_or_insert(session).1, Inserted::New(_)));
        }
        store.close().unwrap();
        let text = read(&paths);
        assert_eq!(Index::parse(&text).len(), 2);
        let tells = |bytes: &[u8]| std::str::from_utf8(bytes).is_ok_and(|text| Index::parse(text).len() > 0);
        for cut in 0..text.len() {
            assert!(!tells(&text.as_bytes()[..cut]), "cut to {cut}");
        }
        for bit in 0..text.len() * 8 {
            let mut turned = text.clone().into_bytes();
            turned[bit / 8] ^= 1 << (bit % 8);
            assert!(!tells(&turned), "bit {bit}");
        }
    }

    #[test]
    fn an_index_is_used_only_while_it_tells_the_truth() {
        let root = tempfile::tempdir().unwrap();
        let paths = InstancePaths::below(root.path());
        let store = Store::open(&paths).unwrap().0;
        let ids: Vec<SessionId> = (0..3)
            .map(|_| {
                let (cell, inserted) = store.find_or_insert(Session::new("~".into(), "codex".into(), NOW));
                assert!(matches!(inserted, Inserted::New(_)));
                cell.id().clone()
            })
            .collect();
        store.close().unwrap();
        let names = || -> Vec<String> {
            let mut loaded = sessions::load(&paths).unwrap();
            let mut name = |id| loaded.sessions.get_mut(id).unwrap().open(&paths, id).session.name.clone();
            ids.iter().map(&mut name).collect()
        };
        assert!(sessions::load(&paths).unwrap().is_unchanged);
        let whole = names();

        // Somebody edits a record while nobody is looking.
        let record = paths.chat_history().join(ids[1].as_str()).join("session.json");
        let text = fs::read_to_string(&record).unwrap().replace("new session", "new passion");
        fs::write(&record, text).unwrap();
        assert!(!sessions::load(&paths).unwrap().is_unchanged);
        assert_eq!(names(), ["new session", "new passion", "new session"]);

        let damaged = read(&paths).replacen("new session", "bad session", 1);
        fs::write(path(&paths), damaged).unwrap();
        assert_eq!(names(), ["new session", "new passion", "new session"]);
        fs::remove_file(path(&paths)).unwrap();
        assert_eq!(names()[0], whole[0]);
    }

    /// Records are understood when somebody asks, and what has to be known before is known without them.
    #[test]
    fn a_start_understands_only_what_it_goes_on_with() {
        let root = tempfile::tempdir().unwrap();
        let paths = InstancePaths::below(root.path());
        let store = Store::open(&paths).unwrap().0;
        let keyed = |key: &str| Session {
            external_trigger_id: Some(key.into()),
            ..Session::new("~".into(), "codex".into(), NOW)
        };
        let cells = ["plain", "with \t and \u{e4}", "busy"].map(|key| store.find_or_insert(keyed(key)).0);
        let (_, commit) = cells[2]
            .change(|draft| draft.session_mut().runs_with_results.push(remotelab_protocol::RunId::random()));
        commit.wait().unwrap();
        store.close().unwrap();

        let again = Store::open(&paths).unwrap().0;
        let ids = |cells: &[std::sync::Arc<crate::SessionCell>]| -> Vec<SessionId> {
            cells.iter().map(|cell| cell.id().clone()).collect()
        };
        assert_eq!(ids(&again.unfinished()), ids(&cells[2..]));
        let (found, inserted) = again.find_or_insert(keyed("with \t and \u{e4}"));
        assert!(matches!(inserted, Inserted::Found));
        assert_eq!((found.id(), found.revision(), found.is_open()), (cells[1].id(), 0, false));
        assert_eq!(found.snapshot().session, cells[1].snapshot().session);
        assert!(found.is_open());
        again.open_records();
        assert_eq!(again.unfinished().len(), 3);
    }

    #[test]
    fn a_stop_after_nothing_writes_nothing() {
        let root = tempfile::tempdir().unwrap();
        let paths = InstancePaths::below(root.path());
        let reopened = || Store::open(&paths).unwrap().0;
        let store = reopened();
        let (cell, _) = store.find_or_insert(Session::new("~".into(), "codex".into(), NOW));
        store.close().unwrap();
        let stamp = |path: &Path| fs::metadata(path).map(|about| about.ino()).ok();
        let written = || (stamp(&path(&paths)), stamp(&paths.chat_sessions()));
        let before = written();
        reopened().close().unwrap();
        assert_eq!(written(), before);

        // Older tools find the export, also when somebody took it away.
        fs::remove_file(paths.chat_sessions()).unwrap();
        reopened().close().unwrap();
        assert_ne!(written().1, None);
        let store = reopened();
        let changed = store.session(cell.id()).unwrap();
        changed.change(|draft| draft.session_mut().name = "changed".into()).1.wait().unwrap();
        store.close().unwrap();
        assert!(fs::read_to_string(paths.chat_sessions()).unwrap().contains("changed"));
        assert!(read(&paths).contains("changed"));
    }

    #[test]
    fn a_record_that_nobody_understands_is_read_from_its_file() {
        let root = tempfile::tempdir().unwrap();
        let paths = InstancePaths::below(root.path());
        let store = Store::open(&paths).unwrap().0;
        let session = Session { name: "kept".into(), ..Session::new("~".into(), "codex".into(), NOW) };
        let (cell, _) = store.find_or_insert(session);
        let id = cell.id();
        store.close().unwrap();
        let held = || Held::Packed(Packed { key: None, record: "[]".into() });
        assert_eq!(held().open(&paths, id).session, cell.snapshot().session);

        let file = paths.chat_history().join(id.as_str()).join("session.json");
        fs::write(&file, "{ broken").unwrap();
        assert_eq!(held().open(&paths, id).session.id, *id);
        assert_eq!(fs::read_to_string(file.with_added_extension("damaged")).unwrap(), "{ broken");
    }
}
