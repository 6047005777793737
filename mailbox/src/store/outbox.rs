//! Outgoing rows: written before the first attempt, leased during each one.

use rusqlite::{Connection, OptionalExtension, Row as SqlRow, params};

use super::item::to_json;
use super::log::note;
use super::{Error, Store};
use crate::letter::Letter;
use crate::state::{self, Failure, Inbound, Outgoing};

/// A letter to send.
#[derive(Clone, Debug)]
pub(crate) struct NewLetter<'a> {
    /// What it answers; a second letter for the same target is not made.
    pub(crate) target: &'a str,
    /// `reply`, `failure` or `manual`.
    pub(crate) kind: &'a str,
    pub(crate) thread_id: Option<i64>,
    pub(crate) letter: &'a Letter,
}

/// The end of a run, for the mails it answers.
#[derive(Clone, Debug)]
pub(crate) struct Answer<'a> {
    /// All mails that the run worked on.
    pub(crate) items: &'a [String],
    /// What becomes of them.
    pub(crate) state: Inbound,
    pub(crate) reason: &'a str,
    /// The letter, when one is to be sent.
    pub(crate) letter: Option<NewLetter<'a>>,
    /// A letter of this kind is left out when the conversation had one since this time.
    pub(crate) unless_since: Option<i64>,
}

/// One outgoing row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) id: String,
    pub(crate) kind: String,
    pub(crate) letter: Letter,
    pub(crate) state: Outgoing,
    pub(crate) attempts: u32,
    pub(crate) created_at: i64,
    pub(crate) due_at: i64,
    pub(crate) last_error: Option<Failure>,
    pub(crate) response: Option<String>,
}

const COLUMNS: &str = "id, kind, letter, state, attempts, created_at, due_at, last_error, response";

/// How long one attempt may take before another process may take the row over.
const LEASE_MS: i64 = 10 * 60 * 1000;

impl Store {
    /// Records what a run led to: the mails' states and the letter in one transaction, so that no
    /// crash comes between them.
    pub(crate) fn answer(&self, answer: &Answer<'_>, now: i64) -> Result<(), Error> {
        self.change("record an answer", |tx| {
            let letter = match &answer.letter {
                Some(new) if !is_too_soon(tx, new, answer.unless_since)? => insert(tx, new, now)?,
                _ => None,
            };
            for id in answer.items {
                let changed = tx.execute(
                    "UPDATE inbound SET state = ?, reason = ?, answered_by = ?, updated_at = ?
                     WHERE id = ? AND state IN ('submitted', 'approved')",
                    params![answer.state.as_str(), answer.reason, letter, now, id],
                )?;
                if changed == 1 {
                    note(tx, now, id, answer.state.as_str(), answer.reason)?;
                }
            }
            Ok(())
        })
    }

    /// Stores a letter that answers no mail, leased at once: whoever stored it sends it first.
    pub(crate) fn queue_leased(&self, new: &NewLetter<'_>, by: &str, now: i64) -> Result<Option<Row>, Error> {
        self.change("store a letter", |tx| {
            let id = insert(tx, new, now)?;
            lease(tx, by, id.as_deref(), now)
        })
    }

    /// Leases the next due letter: from here on the row says that an attempt is under way.
    pub(crate) fn lease_letter(&self, by: &str, now: i64) -> Result<Option<Row>, Error> {
        self.change("lease a letter", |tx| lease(tx, by, None, now))
    }

    /// Records that the text of a letter is about to go out.
    pub(crate) fn text_goes_out(&self, id: &str) -> Result<(), Error> {
        self.change("record an attempt", |tx| {
            tx.execute("UPDATE outbox SET text_out = 1 WHERE id = ? AND state = 'sending'", [id])?;
            Ok(())
        })
    }

    /// Records how an attempt ended. `due_at` counts for [`Outgoing::Pending`].
    pub(crate) fn finish_attempt(
        &self,
        id: &str,
        state: Outgoing,
        provider: &str,
        due_at: i64,
        outcome: Result<&str, &Failure>,
        now: i64,
    ) -> Result<(), Error> {
        self.change("record an attempt", |tx| {
            tx.execute("UPDATE outbox SET provider = ? WHERE id = ?", [provider, id])?;
            finish(tx, id, state, due_at, outcome, now)
        })
    }

    /// Records that a letter was taken for some of its recipients, and stores what is left to do as a
    /// letter of its own, due later.
    pub(crate) fn finish_partly(
        &self,
        id: &str,
        response: &str,
        left: &Letter,
        due_at: i64,
        now: i64,
    ) -> Result<(), Error> {
        self.change("record an attempt", |tx| {
            finish(tx, id, Outgoing::Sent, now, Ok(response), now)?;
            let (kind, thread_id): (String, Option<i64>) =
                tx.query_row("SELECT kind, thread_id FROM outbox WHERE id = ?", [id], |row| {
                    Ok((row.get(0)?, row.get(1)?))
                })?;
            let target = format!("rest:{id}");
            // One key belongs to one letter.
            let left = &Letter { bounce: None, ..left.clone() };
            insert(tx, &NewLetter { target: &target, kind: &kind, thread_id, letter: left }, now)?;
            tx.execute("UPDATE outbox SET due_at = ? WHERE target = ?", params![due_at, target])?;
            Ok(())
        })
    }

    /// Puts a letter back that could not be tried at all.
    pub(crate) fn return_letter(&self, id: &str, due_at: i64, why: &str, now: i64) -> Result<(), Error> {
        self.change("return a letter", |tx| {
            let error = to_json(&Failure { code: 0, text: why.to_owned() })?;
            tx.execute(
                "UPDATE outbox SET state = 'pending', attempts = attempts - 1, due_at = ?, last_error = ?,
                     lease_by = NULL, lease_until = NULL, updated_at = ? WHERE id = ? AND state = 'sending'",
                params![due_at, error, now, id],
            )?;
            Ok(())
        })
    }

    /// Takes over letters whose process died. `is_dead` tells of the holder of a lease whether it
    /// lives no more; a lease that ran out says so itself.
    pub(crate) fn recover_letters(&self, is_dead: impl Fn(&str) -> bool, now: i64) -> Result<(), Error> {
        let any: bool = self.read("find letters", |connection| {
            connection
                .prepare_cached("SELECT EXISTS (SELECT 1 FROM outbox WHERE state = 'sending')")?
                .query_row([], |row| row.get(0))
        })?;
        // Asked once a second for each mailbox: the write lock is taken only when there is work.
        if !any {
            return Ok(());
        }
        self.change("recover letters", |tx| {
            let mut query = tx.prepare(
                "SELECT id, text_out, crashes, lease_by, lease_until FROM outbox WHERE state = 'sending'",
            )?;
            let rows = query
                .query_map([], |row| {
                    Ok((
                        row.get::<_, String>(0)?,
                        row.get::<_, bool>(1)?,
                        row.get::<_, u32>(2)?,
                        row.get::<_, Option<String>>(3)?,
                        row.get::<_, Option<i64>>(4)?,
                    ))
                })?
                .collect::<rusqlite::Result<Vec<_>>>()?;
            for (id, text_out, crashes, by, until) in rows {
                let ran_out = until.is_none_or(|until| until < now);
                if ran_out || by.is_none_or(|by| is_dead(&by)) {
                    tx.execute(
                        "UPDATE outbox SET state = ?, crashes = crashes + ?, due_at = ?, lease_by = NULL,
                             lease_until = NULL, updated_at = ? WHERE id = ?",
                        params![state::after_crash(text_out, crashes).as_str(), text_out, now, now, id],
                    )?;
                }
            }
            Ok(())
        })
    }

    /// The earliest time at which a letter wants attention.
    pub(crate) fn next_letter_due(&self) -> Result<Option<i64>, Error> {
        self.read("find the next letter", |connection| {
            connection.query_row(
                "SELECT min(coalesce(CASE state WHEN 'sending' THEN lease_until END, due_at)) FROM outbox
                 WHERE state IN ('pending', 'sending')",
                [],
                |row| row.get(0),
            )
        })
    }

    /// Finds one letter.
    pub(crate) fn letter(&self, id: &str) -> Result<Option<Row>, Error> {
        self.read("read a letter", |connection| find(connection, id))
    }

    /// Counts the letters of each state.
    pub(crate) fn letter_counts(&self) -> Result<Vec<(Outgoing, u64)>, Error> {
        self.read("count letters", |connection| {
            let mut query = connection.prepare("SELECT state, count(*) FROM outbox GROUP BY state")?;
            let rows = query.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)))?;
            rows.filter_map(|row| {
                row.map(|(state, count)| {
                    Some((Outgoing::parse(&state)?, u64::try_from(count).unwrap_or_default()))
                })
                .transpose()
            })
            .collect()
        })
    }
}

fn lease(tx: &Connection, by: &str, only: Option<&str>, now: i64) -> rusqlite::Result<Option<Row>> {
    let id: Option<String> = tx
        .prepare_cached(
            "SELECT id FROM outbox WHERE state = 'pending' AND due_at <= ?1
                 AND (?2 IS NULL OR id = ?2) ORDER BY due_at, rowid LIMIT 1",
        )?
        .query_row(params![now, only], |row| row.get(0))
        .optional()?;
    let Some(id) = id else { return Ok(None) };
    let row = match find(tx, &id) {
        // One damaged row must not stop those behind it.
        Err(rusqlite::Error::FromSqlConversionFailure(..)) => {
            tx.execute("UPDATE outbox SET state = 'dead' WHERE id = ?", [&id])?;
            None
        }
        found => found?,
    };
    let Some(row) = row else { return Ok(None) };
    tx.execute(
        "UPDATE outbox SET state = 'sending', attempts = attempts + 1, text_out = 0, lease_by = ?,
             lease_until = ?, updated_at = ? WHERE id = ?",
        params![by, now + LEASE_MS, now, row.id],
    )?;
    Ok(Some(Row { state: Outgoing::Sending, attempts: row.attempts + 1, ..row }))
}

pub(super) fn find(connection: &Connection, id: &str) -> rusqlite::Result<Option<Row>> {
    connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM outbox WHERE id = ?"))?
        .query_row([id], from_row)
        .optional()
}

pub(super) fn is_too_soon(
    tx: &Connection,
    new: &NewLetter<'_>,
    since: Option<i64>,
) -> rusqlite::Result<bool> {
    let Some(since) = since else { return Ok(false) };
    tx.query_row(
        "SELECT EXISTS (SELECT 1 FROM outbox WHERE thread_id = ? AND kind = ? AND created_at > ?)",
        params![new.thread_id, new.kind, since],
        |row| row.get(0),
    )
}

/// Inserts a letter and returns its id, or the id of the one that already answers the target.
pub(super) fn insert(tx: &Connection, new: &NewLetter<'_>, now: i64) -> rusqlite::Result<Option<String>> {
    let id = format!("out_{now}_{:016x}", rand::random::<u64>());
    tx.execute(
        "INSERT INTO outbox (id, target, kind, thread_id, letter, created_at, updated_at, state, due_at, bounce_key)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, 'pending', ?6, ?7) ON CONFLICT (target) DO NOTHING",
        params![
            id,
            new.target,
            new.kind,
            new.thread_id,
            to_json(new.letter)?,
            now,
            new.letter.bounce.as_ref().map(|bounce| &bounce.key)
        ],
    )?;
    let id: String =
        tx.query_row("SELECT id FROM outbox WHERE target = ?", [new.target], |row| row.get(0))?;
    for file in &new.letter.files {
        tx.execute(
            "INSERT OR IGNORE INTO letter_files (letter_id, sha256) VALUES (?, ?)",
            [&id, &file.sha256],
        )?;
    }
    if let Some(thread_id) = new.thread_id {
        remember(tx, &new.letter.message_id, thread_id)?;
        for to in &new.letter.to {
            tx.execute(
                "INSERT OR IGNORE INTO participants (thread_id, address) VALUES (?, ?)",
                params![thread_id, to.key()],
            )?;
        }
    }
    Ok(Some(id))
}

fn finish(
    tx: &Connection,
    id: &str,
    state: Outgoing,
    due_at: i64,
    outcome: Result<&str, &Failure>,
    now: i64,
) -> rusqlite::Result<()> {
    let error = outcome.err().map(to_json).transpose()?;
    tx.execute(
        "UPDATE outbox SET state = ?1, due_at = ?2, last_error = ?3, response = ?4, lease_by = NULL,
             lease_until = NULL, updated_at = ?5, sent_at = CASE ?1 WHEN 'sent' THEN ?5 END
         WHERE id = ?6 AND state = 'sending'",
        params![state.as_str(), due_at, error, outcome.ok(), now, id],
    )?;
    match outcome {
        Ok(response) => learn_ids(tx, id, response),
        Err(_) => Ok(()),
    }
}

/// Some relays replace the Message-ID and tell theirs in the last line; answers will name it.
fn learn_ids(tx: &Connection, id: &str, response: &str) -> rusqlite::Result<()> {
    let thread: Option<i64> =
        tx.query_row("SELECT thread_id FROM outbox WHERE id = ?", [id], |row| row.get(0))?;
    let Some(thread_id) = thread else {
        return Ok(());
    };
    for learned in crate::scan::message_ids(response).iter().filter(|id| id.contains('@')).take(1) {
        remember(tx, learned, thread_id)?;
    }
    Ok(())
}

fn remember(tx: &Connection, message_id: &str, thread_id: i64) -> rusqlite::Result<()> {
    tx.execute(
        "INSERT OR IGNORE INTO message_ids (message_id, thread_id, direction) VALUES (?, ?, 'out')",
        params![message_id, thread_id],
    )?;
    Ok(())
}

fn from_row(row: &SqlRow<'_>) -> rusqlite::Result<Row> {
    let letter: String = row.get("letter")?;
    let state: String = row.get("state")?;
    let last_error: Option<String> = row.get("last_error")?;
    let broken = |error: serde_json::Error| {
        rusqlite::Error::FromSqlConversionFailure(2, rusqlite::types::Type::Text, error.into())
    };
    Ok(Row {
        id: row.get("id")?,
        kind: row.get("kind")?,
        letter: serde_json::from_str(&letter).map_err(broken)?,
        state: Outgoing::parse(&state).unwrap_or(Outgoing::Dead),
        attempts: row.get("attempts")?,
        created_at: row.get("created_at")?,
        due_at: row.get("due_at")?,
        last_error: last_error.and_then(|text| serde_json::from_str(&text).ok()),
        response: row.get("response")?,
    })
}
