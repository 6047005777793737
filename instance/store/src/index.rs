//! `sessions.index`: a copy of all records in one file, so that a start need not open every session's
//! files. It is written on a clean stop and may be deleted at any time.
//!
//! An entry counts only while the files it was made of are what they were: the same file of the same
//! size, not changed since. A first line tells the moment and the checksum of the rest, a second one
//! the rows of the export that are no sessions; then there is one line for each session.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use remotelab_config::{InstancePaths, atomic};
use remotelab_protocol::session::HistoryMeta;
use remotelab_protocol::{Session, SessionId};
use serde_json::Value;

const FORMAT: &str = "remotelab-sessions-1";

/// A file changed so shortly before the index was written may have been changed again within the same
/// tick of the file system's clock. Tests are too quick to wait for that.
const TICK: Duration = if cfg!(test) { Duration::ZERO } else { Duration::from_secs(2) };

/// What is known of a session when it is not in use.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) session: Session,
    pub(crate) meta: HistoryMeta,
}

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
    changed: u128,
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
    record: &'a str,
}

/// Writes the index of records, each with stamps that are older than the record. Blocks.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn write(
    paths: &InstancePaths,
    unreadable_rows: &[Value],
    records: impl Iterator<Item = (Stamps, Record)>,
) -> Result<(), atomic::Error> {
    let path = path(paths);
    let failed = |error: serde_json::Error| atomic::Error::new("write", &path, io::Error::from(error));
    let now = since_1970(SystemTime::now());
    let mut body = serde_json::to_string(unreadable_rows).map_err(failed)?;
    body.push('\n');
    for (stamps, Record { session, meta }) in records.filter(|(stamps, _)| stamps.are_settled(now)) {
        let record = serde_json::to_string(&(&session, &meta)).map_err(failed)?;
        let Stamps { session: s, meta: m } = stamps;
        let stamps = format!("{} {} {} {} {} {}", s.inode, s.size, s.changed, m.inode, m.size, m.changed);
        body.push_str(&format!("{} {stamps} {record}\n", session.id));
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

    /// Returns a session's record, unless its files were changed.
    pub(crate) fn record(&self, id: &SessionId, stamps: Stamps) -> Option<Record> {
        let entry = self.entries.get(id.as_str()).filter(|entry| entry.stamps == stamps)?;
        let (session, meta) = serde_json::from_str(entry.record).ok()?;
        Some(Record { session, meta })
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

impl Stamps {
    /// Looks at a session's folder. Blocks.
    pub(crate) fn of(folder: &Path) -> Self {
        Self { session: Stamp::of(&folder.join("session.json")), meta: Stamp::of(&folder.join("meta.json")) }
    }

    fn are_settled(&self, now: Duration) -> bool {
        [self.session, self.meta].iter().all(|stamp| stamp.changed + TICK.as_nanos() < now.as_nanos())
    }
}

impl Stamp {
    fn of(path: &Path) -> Self {
        let Ok(meta) = fs::metadata(path) else {
            return Self::default();
        };
        let changed = u128::try_from(meta.ctime()).unwrap_or_default() * 1_000_000_000
            + u128::try_from(meta.ctime_nsec()).unwrap_or_default();
        Self { inode: meta.ino(), size: meta.len(), changed }
    }
}

fn entry(line: &str) -> Option<(&str, Entry<'_>)> {
    let mut parts = line.splitn(8, ' ');
    let id = parts.next()?;
    let mut stamp = || {
        let (inode, size, changed) = (parts.next()?, parts.next()?, parts.next()?);
        Some(Stamp { inode: inode.parse().ok()?, size: size.parse().ok()?, changed: changed.parse().ok()? })
    };
    let stamps = Stamps { session: stamp()?, meta: stamp()? };
    Some((id, Entry { stamps, record: parts.next()? }))
}

fn path(paths: &InstancePaths) -> PathBuf {
    paths.config().join("sessions.index")
}

fn since_1970(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
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
            let loaded = sessions::load(&paths).unwrap();
            ids.iter().map(|id| loaded.sessions[id].session.name.clone()).collect()
        };
        assert!(sessions::load(&paths).unwrap().index_is_complete);
        let whole = names();

        // Somebody edits a record while nobody is looking.
        let record = paths.chat_history().join(ids[1].as_str()).join("session.json");
        let text = fs::read_to_string(&record).unwrap().replace("new session", "new passion");
        fs::write(&record, text).unwrap();
        assert!(!sessions::load(&paths).unwrap().index_is_complete);
        assert_eq!(names(), ["new session", "new passion", "new session"]);

        let damaged = read(&paths).replacen("new session", "bad session", 1);
        fs::write(path(&paths), damaged).unwrap();
        assert_eq!(names(), ["new session", "new passion", "new session"]);
        fs::remove_file(path(&paths)).unwrap();
        assert_eq!(names()[0], whole[0]);
    }
}
