//! What an operator does with stored mail beside reviewing it: its history, another try, reading it
//! anew, deleting it.

use std::time::{Duration, SystemTime};

use rusqlite::{Connection, OptionalExtension, params};

use super::inbound::find;
use super::log::note;
use super::{Error, Store, blob};
use crate::state::{Inbound, Outgoing};

/// A raw mail that nobody refers to is removed when it is older: younger ones may be on their way in,
/// between file and row.
const UNDERWAY: Duration = Duration::from_secs(3600);

/// Mails deleted in one transaction.
const BATCH: usize = 200;

/// One line of a mail's history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) at: i64,
    pub(crate) event: String,
    pub(crate) detail: String,
}

/// What became of a wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Done {
    Yes,
    /// Its state does not allow it.
    No,
    Unknown,
}

impl Store {
    /// Reads a mail's history, oldest first.
    pub(crate) fn history(&self, id: &str) -> Result<Vec<Event>, Error> {
        self.read("read a history", |connection| {
            let mut query =
                connection.prepare("SELECT at, event, detail FROM events WHERE item_id = ? ORDER BY id")?;
            let event = |row: &rusqlite::Row<'_>| {
                Ok(Event { at: row.get(0)?, event: row.get(1)?, detail: row.get(2)? })
            };
            query.query_map([id], event)?.collect()
        })
    }

    /// Lets what waits for its next attempt be tried at once.
    pub(crate) fn hurry(&self, id: &str, now: i64) -> Result<Done, Error> {
        self.change("hurry a mail", |tx| {
            let Some(item) = find(tx, id)? else { return Ok(Done::Unknown) };
            if !matches!(item.state, Inbound::Approved | Inbound::Submitted) {
                return Ok(Done::No);
            }
            tx.execute("UPDATE inbound SET due_at = 0 WHERE id = ?", [id])?;
            note(tx, now, id, "hurried", "")?;
            Ok(Done::Yes)
        })
    }

    /// Lets a letter that waits or was given up go out at once.
    pub(crate) fn resend(&self, id: &str, now: i64) -> Result<Done, Error> {
        self.change("hurry a letter", |tx| {
            let state: Option<String> =
                tx.query_row("SELECT state FROM outbox WHERE id = ?", [id], |row| row.get(0)).optional()?;
            let Some(state) = state else { return Ok(Done::Unknown) };
            let state = Outgoing::parse(&state);
            if !matches!(
                state,
                Some(Outgoing::Pending | Outgoing::Dead | Outgoing::Unconfirmed | Outgoing::Bounced)
            ) {
                return Ok(Done::No);
            }
            let attempts = if state == Some(Outgoing::Pending) { "attempts" } else { "0" };
            tx.execute(
                &format!(
                    "UPDATE outbox SET state = 'pending', due_at = 0, attempts = {attempts}, crashes = 0,
                         text_out = 0, updated_at = ? WHERE id = ?"
                ),
                params![now, id],
            )?;
            Ok(Done::Yes)
        })
    }

    /// Has a mail read anew, with the settings of now and as if it had just come; in its session it will
    /// be another message.
    pub(crate) fn replay(&self, id: &str, now: i64) -> Result<Done, Error> {
        self.change("replay a mail", |tx| {
            let Some(item) = find(tx, id)? else { return Ok(Done::Unknown) };
            if matches!(item.state, Inbound::Received | Inbound::Approved | Inbound::Submitted) {
                return Ok(Done::No);
            }
            tx.execute(
                "UPDATE inbound SET state = 'received', reason = '', reviewer = NULL, round = round + 1,
                     run_id = NULL, answered_by = NULL, attempts = 0, due_at = 0, last_error = NULL,
                     updated_at = ? WHERE id = ?",
                params![now, id],
            )?;
            note(tx, now, id, "replayed", "")?;
            Ok(Done::Yes)
        })
    }

    /// Deletes a mail: its row, its history and its raw bytes. When it comes again it is a duplicate.
    pub(crate) fn delete(&self, id: &str, now: i64) -> Result<Done, Error> {
        let outcome = self.change("delete a mail", |tx| {
            let Some(item) = find(tx, id)? else { return Ok((Done::Unknown, None)) };
            if matches!(item.state, Inbound::Received | Inbound::Approved | Inbound::Submitted) {
                return Ok((Done::No, None));
            }
            bury(tx, id, now)?;
            Ok((Done::Yes, Some(item.sha256)))
        })?;
        if let (_, Some(sha256)) = &outcome {
            self.remove_unused(sha256)?;
        }
        Ok(outcome.0)
    }

    /// Deletes the mails in some states that came before a time. Returns how many there were.
    pub(crate) fn prune(&self, states: &[Inbound], before: i64, now: i64) -> Result<u64, Error> {
        let words: Vec<String> = states.iter().map(|state| format!("'{}'", state.as_str())).collect();
        let sql = format!(
            "SELECT id, sha256 FROM inbound WHERE state IN ({}) AND received_at < ? LIMIT {BATCH}",
            words.join(", ")
        );
        let mut deleted = 0;
        loop {
            let gone = self.change("delete old mails", |tx| {
                let mut query = tx.prepare(&sql)?;
                let found = query.query_map([before], |row| Ok((row.get(0)?, row.get(1)?)))?;
                let found: Vec<(String, String)> = found.collect::<rusqlite::Result<_>>()?;
                for (id, _) in &found {
                    bury(tx, id, now)?;
                }
                Ok(found)
            })?;
            for (_, sha256) in &gone {
                self.remove_unused(sha256)?;
            }
            deleted += gone.len() as u64;
            if gone.len() < BATCH {
                return Ok(deleted);
            }
        }
    }

    /// Counts the mails that [`Store::prune`] would delete.
    pub(crate) fn count_old(&self, states: &[Inbound], before: i64) -> Result<u64, Error> {
        let words: Vec<String> = states.iter().map(|state| format!("'{}'", state.as_str())).collect();
        let sql =
            format!("SELECT count(*) FROM inbound WHERE state IN ({}) AND received_at < ?", words.join(", "));
        let count: i64 = self
            .read("count old mails", |connection| connection.query_row(&sql, [before], |row| row.get(0)))?;
        Ok(u64::try_from(count).unwrap_or_default())
    }

    /// Removes the raw mails that no row names and that no row will name.
    pub(crate) fn sweep_unused(&self) -> Result<(), Error> {
        for sha256 in self.raw_names() {
            self.remove_unused(&sha256)?;
        }
        Ok(())
    }

    fn remove_unused(&self, sha256: &str) -> Result<(), Error> {
        // Under the write lock: no row can come to name it meanwhile.
        self.change("remove a raw mail", |tx| {
            let is_used: bool = tx.query_row(
                "SELECT EXISTS (SELECT 1 FROM inbound WHERE sha256 = ?1)
                         OR EXISTS (SELECT 1 FROM letter_files WHERE sha256 = ?1)",
                [sha256],
                |row| row.get(0),
            )?;
            let path = blob::place(&self.root.join("blobs"), sha256);
            let since = std::fs::metadata(&path).and_then(|about| about.modified()).ok();
            let is_old = since
                .is_some_and(|since| SystemTime::now().duration_since(since).is_ok_and(|age| age > UNDERWAY));
            if !is_used && is_old {
                let _ = std::fs::remove_file(path);
            }
            Ok(())
        })
    }
}

fn bury(tx: &Connection, id: &str, now: i64) -> rusqlite::Result<()> {
    tx.execute(
        "INSERT OR IGNORE INTO tombstones (instance, rcpt, message_id, fingerprint, item_id, at)
         SELECT instance, rcpt, message_id, fingerprint, id, ? FROM inbound WHERE id = ?",
        params![now, id],
    )?;
    tx.execute("DELETE FROM events WHERE item_id = ?", [id])?;
    tx.execute("DELETE FROM inbound WHERE id = ?", [id])?;
    note(tx, now, id, "deleted", "")
}
