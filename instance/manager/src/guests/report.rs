//! Who uses what: conversations, runs, room and when somebody was last there. Read from the files alone.

use std::fs;
use std::path::Path;
use std::time::SystemTime;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use remotelab_config::containment::Level;
use remotelab_config::limits::{Quota, size};
use remotelab_config::registry::{Record, Registry};
use remotelab_config::{InstancePaths, atomic};
use remotelab_protocol::time;
use remotelab_store::housekeeping;
use serde::Serialize;
use serde_json::{Value, json};

use super::{Error, Guests, pattern};

/// A guest with work within these many days is active.
const ACTIVE_DAYS: i64 = 2;
/// One with work within these is in use.
const OCCUPIED_DAYS: i64 = 14;
const DAY_SECONDS: i64 = 86_400;
/// The first line of the table.
const HEAD: [&str; 8] = ["NAME", "STATUS", "CHATS", "LOGINS", "RUNS", "TODAY", "DISK", "LAST"];

/// All of the guests that were asked about.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// When: ISO-8601 UTC.
    pub generated_at: String,
    /// A guest each, in natural order.
    pub rows: Vec<Row>,
}

/// What one guest uses.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// Its name.
    pub name: String,
    /// `empty`, `opened`, `active`, `occupied` or `stale`.
    pub status: &'static str,
    /// Conversations.
    pub session_count: usize,
    /// Browsers that are signed in.
    pub auth_session_count: usize,
    /// When a conversation last changed, or nothing.
    pub last_session_at: Option<String>,
    /// Runs that there is a record of.
    pub run_count: usize,
    /// Those that began today (UTC).
    pub runs_today: usize,
    /// What its files take, in bytes.
    pub disk_bytes: u64,
    /// What it may use.
    pub quota: Quota,
    /// Whether its runs are contained.
    pub contain: Level,
    /// When it was made.
    pub created_at: String,
}

impl Guests {
    /// Reports on all guests, or those whose names fit a pattern. Reads much where there is much.
    ///
    /// # Errors
    /// [`Error::NoneLike`] and others.
    pub fn report(&self, pattern: Option<&str>) -> Result<Report, Error> {
        let mut guests = Registry::load(&self.paths.registry())?.guests;
        if let Some(wanted) = pattern {
            guests.retain(|record| pattern::fits(wanted, record.name.as_str()));
            if guests.is_empty() {
                return Err(Error::NoneLike(wanted.to_owned()));
            }
        }
        let now = Timestamp::now();
        let rows = guests.iter().map(|record| row(record, now)).collect();
        Ok(Report { generated_at: time::iso(now), rows })
    }
}

impl Report {
    /// A table for people.
    #[must_use]
    pub fn text(&self) -> String {
        let lines: Vec<Vec<String>> = std::iter::once(HEAD.map(str::to_owned).to_vec())
            .chain(self.rows.iter().map(Row::cells))
            .collect();
        let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..HEAD.len()).map(width).collect();
        let line = |cells: &Vec<String>| {
            let padded: Vec<String> =
                cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
            padded.join("  ").trim_end().to_owned() + "\n"
        };
        lines.iter().map(line).collect()
    }

    /// All of it, for programs.
    #[must_use]
    pub fn json(&self) -> Value {
        let count = |status: &str| self.rows.iter().filter(|row| row.status == status).count();
        json!({
            "generatedAt": self.generated_at,
            "summary": {
                "totalCount": self.rows.len(),
                "occupiedCount": self.rows.iter().filter(|row| row.session_count > 0).count(),
                "openedCount": count("opened"),
                "emptyCount": count("empty"),
                "staleCount": count("stale"),
                "diskBytes": self.rows.iter().map(|row| row.disk_bytes).sum::<u64>(),
            },
            "instances": self.rows,
        })
    }
}

impl Row {
    fn cells(&self) -> Vec<String> {
        let of = |used: String, most: Option<String>| match most {
            Some(most) => format!("{used} of {most}"),
            None => used,
        };
        // Minutes are enough for people.
        let last = self.last_session_at.as_deref().and_then(|at| Some(format!("{}Z", at.get(..16)?)));
        vec![
            self.name.clone(),
            self.status.to_owned(),
            self.session_count.to_string(),
            self.auth_session_count.to_string(),
            self.run_count.to_string(),
            of(self.runs_today.to_string(), self.quota.runs_per_day.map(|runs| runs.to_string())),
            of(size(self.disk_bytes), self.quota.disk.map(size)),
            last.unwrap_or_else(|| "-".to_owned()),
        ]
    }
}

fn row(record: &Record, now: Timestamp) -> Row {
    let paths = record.paths();
    let (session_count, last) = sessions(&paths);
    let logins: Value = atomic::read_json(&paths.auth_sessions()).ok().flatten().unwrap_or_default();
    let auth_session_count = logins.as_object().map_or(0, serde_json::Map::len);
    let begun = changes(&paths.chat_runs(), "manifest.json");
    let day = |time: Timestamp| time.to_zoned(TimeZone::UTC).date();
    // Folders elsewhere are beside the root, not in it.
    let apart = [paths.config(), paths.memory()];
    let apart = apart.iter().filter(|folder| !folder.starts_with(&record.instance_root));
    Row {
        name: record.name.to_string(),
        status: status(session_count, auth_session_count, last, now),
        session_count,
        auth_session_count,
        last_session_at: last.map(time::iso),
        run_count: begun.len(),
        runs_today: begun.iter().filter(|&&begun| day(begun) == day(now)).count(),
        disk_bytes: housekeeping::taken(&record.instance_root)
            + apart.map(|folder| housekeeping::taken(folder)).sum::<u64>(),
        quota: record.quota,
        contain: record.containment.level,
        created_at: record.created_at.clone(),
    }
}

/// How many conversations there are, and when one last changed.
fn sessions(paths: &InstancePaths) -> (usize, Option<Timestamp>) {
    let changed = changes(&paths.chat_history(), "session.json");
    if !changed.is_empty() {
        return (changed.len(), changed.into_iter().max());
    }
    // Of a server of an earlier version.
    let stored: Value = atomic::read_json(&paths.chat_sessions()).ok().flatten().unwrap_or_default();
    let rows = stored.as_array().or_else(|| stored["sessions"].as_array()).map_or(&[][..], Vec::as_slice);
    let at = |row: &Value| {
        let named = ["updatedAt", "lastMessageAt", "createdAt", "created"];
        named.iter().filter_map(|key| time::parse_iso(row[*key].as_str()?)).max()
    };
    (rows.len(), rows.iter().filter_map(at).max())
}

/// When the files of a name in the folders of a folder last changed.
fn changes(folder: &Path, name: &str) -> Vec<Timestamp> {
    let folders = fs::read_dir(folder).into_iter().flatten().flatten();
    let changed = |path: &Path| -> Option<SystemTime> { path.join(name).metadata().ok()?.modified().ok() };
    folders.filter_map(|entry| Timestamp::try_from(changed(&entry.path())?).ok()).collect()
}

fn status(sessions: usize, logins: usize, last: Option<Timestamp>, now: Timestamp) -> &'static str {
    let days = last.map(|last| (now.as_second() - last.as_second()) / DAY_SECONDS);
    match (sessions, logins, days) {
        (0, 0, _) => "empty",
        (0, ..) => "opened",
        (_, _, Some(days)) if days < ACTIVE_DAYS => "active",
        (_, _, Some(days)) if days >= OCCUPIED_DAYS => "stale",
        _ => "occupied",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_is_what_is_going_on_in_it() {
        let at = |day: i64| Some(Timestamp::from_second(day * DAY_SECONDS).unwrap());
        let now = at(100).unwrap();
        let cases = [
            ((0, 0, None), "empty"),
            ((0, 2, None), "opened"),
            ((1, 0, at(99)), "active"),
            ((1, 0, at(98)), "occupied"),
            ((1, 0, None), "occupied"),
            ((1, 0, at(86)), "stale"),
        ];
        for ((sessions, logins, last), expected) in cases {
            assert_eq!(status(sessions, logins, last, now), expected, "{last:?}");
        }
    }

    #[test]
    fn what_a_guest_uses_is_read_from_its_files() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("config/auth-sessions.json", r#"{"a":{"expiry":1}}"#);
        write("config/chat-sessions.json", r#"[{"updatedAt":"2026-01-02T00:00:00.000Z"},{}]"#);
        write("config/chat-runs/run_1/manifest.json", "{}");
        let record: Record =
            serde_json::from_value(json!({"name": "t", "port": 1, "instanceRoot": root.path(),
            "quota": {"disk": 1_073_741_824_u64, "runsPerDay": 5}}))
            .unwrap();
        let row = row(&record, Timestamp::now());
        assert_eq!((row.session_count, row.auth_session_count, row.run_count, row.runs_today), (2, 1, 1, 1));
        assert_eq!(row.last_session_at.as_deref(), Some("2026-01-02T00:00:00.000Z"));
        let report = Report { generated_at: String::new(), rows: vec![Row { disk_bytes: 2048, ..row }] };
        assert_eq!(
            report.text(),
            "NAME  STATUS  CHATS  LOGINS  RUNS  TODAY   DISK            LAST\n\
             t     stale   2      1       1     1 of 5  2 KiB of 1 GiB  2026-01-02T00:00Z\n"
        );
        assert_eq!(report.json()["summary"]["staleCount"], 1);
        // A session of ours counts by its own file.
        write("config/chat-history/s/session.json", "{}");
        assert_eq!(sessions(&record.paths()).0, 1);
    }
}
