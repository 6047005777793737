//! Letters for targets that others named: written down once, some of them held for a person.

use rusqlite::{Connection, OptionalExtension, params};

use super::item::to_json;
use super::log::note;
use super::outbox::{NewLetter, Row, find, insert, is_too_soon};
use super::threads::standing;
use super::{Done, Error, Store};
use crate::state::{Failure, Outgoing};
use crate::thread::Standing;

impl Store {
    /// Finds the letter for a target.
    pub(crate) fn letter_for(&self, target: &str) -> Result<Option<Row>, Error> {
        self.read("read a letter", |connection| find_for(connection, target))
    }

    /// Writes a letter down, or finds the one that is there for its target. `None` when its conversation had one
    /// of its kind since a time.
    pub(crate) fn take(
        &self,
        new: &NewLetter<'_>,
        held: bool,
        unless_since: Option<i64>,
        now: i64,
    ) -> Result<Option<Row>, Error> {
        self.change("store a letter", |tx| {
            if let Some(row) = find_for(tx, new.target)? {
                return Ok(Some(row));
            }
            if is_too_soon(tx, new, unless_since)? {
                return Ok(None);
            }
            insert(tx, new, now)?;
            if held {
                let held = Outgoing::Held.as_str();
                tx.execute("UPDATE outbox SET state = ? WHERE target = ?", params![held, new.target])?;
            }
            find_for(tx, new.target)
        })
    }

    /// Finds the conversation of some mails in which somebody takes part.
    pub(crate) fn conversation_of(&self, ids: &[String], address: &str) -> Result<Option<i64>, Error> {
        self.read("find a conversation", |connection| {
            for id in ids.iter().rev() {
                if let Standing::Part(thread) = standing(connection, id, address)? {
                    return Ok(Some(thread));
                }
            }
            Ok(None)
        })
    }

    /// Lets a letter go that is held, or gives it up.
    pub(crate) fn judge_letter(&self, id: &str, goes: bool, reviewer: &str, now: i64) -> Result<Done, Error> {
        self.change("decide about a letter", |tx| {
            let Some(row) = find(tx, id)? else { return Ok(Done::Unknown) };
            if row.state != Outgoing::Held {
                return Ok(Done::No);
            }
            let (state, word) =
                if goes { (Outgoing::Pending, "released") } else { (Outgoing::Dead, "rejected") };
            let refused = Failure { code: 0, text: format!("refused by {reviewer}") };
            let error = if goes { None } else { Some(to_json(&refused)?) };
            tx.execute(
                "UPDATE outbox SET state = ?, last_error = ?, due_at = 0, updated_at = ? WHERE id = ?",
                params![state.as_str(), error, now, id],
            )?;
            note(tx, now, id, word, reviewer)?;
            Ok(Done::Yes)
        })
    }

    /// Lists letters, the newest first.
    pub(crate) fn letters(&self, state: Option<Outgoing>, limit: usize) -> Result<Vec<Row>, Error> {
        self.read("list letters", |connection| {
            let mut query = connection.prepare(
                "SELECT id FROM outbox WHERE ?1 IS NULL OR state = ?1 ORDER BY created_at DESC, rowid DESC LIMIT ?2",
            )?;
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let ids = query.query_map(params![state.map(Outgoing::as_str), limit], |row| row.get(0))?;
            let ids: Vec<String> = ids.collect::<rusqlite::Result<_>>()?;
            // One that is damaged costs itself.
            Ok(ids.iter().filter_map(|id| find(connection, id).ok().flatten()).collect())
        })
    }
}

fn find_for(connection: &Connection, target: &str) -> rusqlite::Result<Option<Row>> {
    let id: Option<String> = connection
        .prepare_cached("SELECT id FROM outbox WHERE target = ?")?
        .query_row([target], |row| row.get(0))
        .optional()?;
    Ok(id.map(|id| find(connection, &id)).transpose()?.flatten())
}
