//! Inbound rows: stored once, then moved from state to state.

use rusqlite::{Connection, OptionalExtension, Row as SqlRow, Transaction, params};
use serde::{Deserialize, Serialize};

use super::log::note;
use super::{Error, Store};
use crate::automated::Class;
use crate::state::Inbound;
use crate::thread::{self, Claims, Resolution, Thread};

/// A message to store.
#[derive(Debug)]
pub(crate) struct NewItem<'a> {
    /// Instance name; empty for the owner.
    pub(crate) instance: &'a str,
    pub(crate) rcpt: &'a str,
    pub(crate) mail_from: Option<&'a str>,
    /// Where it came from, for people.
    pub(crate) source: &'a str,
}

/// What storing a message led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) id: String,
    pub(crate) duplicate: bool,
}

/// What was read off a mail.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Facts {
    /// The verified-by-grammar sender as written, empty when nobody can be named.
    pub(crate) from: String,
    pub(crate) reply_to: String,
    pub(crate) subject: String,
    pub(crate) date: String,
    pub(crate) in_reply_to: Vec<String>,
    pub(crate) references: Vec<String>,
    pub(crate) class: Option<Class>,
    /// Hops between installations so far.
    pub(crate) hops: u32,
    /// The allow-list entry that let the sender in: `email`, `domain` or empty.
    pub(crate) rule: String,
    /// It named a conversation its sender has no part in.
    pub(crate) claim_rejected: bool,
    /// Another mail with this Message-ID and other content came before.
    pub(crate) id_reuse: bool,
}

/// The fate of a mail that has been read.
#[derive(Clone, Debug)]
pub(crate) struct Admitted {
    pub(crate) state: Inbound,
    pub(crate) reason: String,
    pub(crate) facts: Facts,
    pub(crate) reviewer: Option<String>,
}

/// One inbound row.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Item {
    pub(crate) id: String,
    pub(crate) instance: String,
    pub(crate) rcpt: String,
    pub(crate) mail_from: Option<String>,
    pub(crate) message_id: String,
    pub(crate) sha256: String,
    pub(crate) size: i64,
    pub(crate) source: String,
    pub(crate) received_at: i64,
    pub(crate) updated_at: i64,
    pub(crate) state: Inbound,
    pub(crate) reason: String,
    pub(crate) facts: Facts,
    pub(crate) thread_id: Option<i64>,
    pub(crate) reviewer: Option<String>,
    /// How often a person has had it run again after a failed run.
    pub(crate) round: u32,
    pub(crate) attempts: u32,
    pub(crate) due_at: i64,
    pub(crate) last_error: Option<String>,
    pub(crate) session_id: Option<String>,
    pub(crate) run_id: Option<String>,
    pub(crate) submitted_at: Option<i64>,
}

/// Where a mail went.
#[derive(Clone, Debug)]
pub(crate) struct Delivery<'a> {
    pub(crate) session_id: &'a str,
    pub(crate) run_id: Option<&'a str>,
    /// [`Inbound::Submitted`], or [`Inbound::NoReply`] when no answer is wanted.
    pub(crate) state: Inbound,
}

/// Which rows a listing shows.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Filter<'a> {
    All,
    Queue(&'a str),
}

const COLUMNS: &str = "id, instance, rcpt, mail_from, message_id, sha256, size, source, received_at, \
    updated_at, state, reason, facts, thread_id, reviewer, round, attempts, due_at, last_error, session_id, \
    run_id, submitted_at";

/// A mail waits for the earlier ones of its conversation.
const IS_BLOCKED: &str = "(item.state = 'approved' AND EXISTS (SELECT 1 FROM inbound AS earlier
    WHERE earlier.thread_id = item.thread_id AND earlier.state = 'approved' AND earlier.rowid < item.rowid))";

/// Rows handled in one pass.
const BATCH: usize = 50;

impl Store {
    /// Stores a message whose bytes are already durable. The same mail for the same recipient is
    /// stored once, however many deliver it at the same time.
    pub(crate) fn insert(&self, new: &NewItem<'_>, blob: &super::Blob, now: i64) -> Result<Stored, Error> {
        let scan = &blob.scan;
        let id = format!("mail_{now}_{}_{:08x}", &scan.sha256[..12], rand::random::<u32>());
        self.change("store a mail", |tx| {
            let id_reuse: bool = tx.query_row(
                "SELECT EXISTS (SELECT 1 FROM inbound WHERE instance = ? AND rcpt = ? AND message_id = ?)",
                params![new.instance, new.rcpt, scan.message_id],
                |row| row.get(0),
            )?;
            let facts = to_json(&Facts { id_reuse, ..Facts::default() })?;
            let inserted = tx.execute(
                "INSERT INTO inbound (id, instance, rcpt, mail_from, message_id, fingerprint, sha256, size,
                     source, received_at, updated_at, state, facts)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?10, 'received', ?11)
                 ON CONFLICT (instance, rcpt, message_id, fingerprint) DO NOTHING",
                params![
                    id, new.instance, new.rcpt, new.mail_from, scan.message_id, scan.fingerprint,
                    scan.sha256, i64::try_from(scan.size).unwrap_or(i64::MAX), new.source, now, facts,
                ],
            )?;
            if inserted == 1 {
                note(tx, now, &id, "ingested", new.source)?;
                return Ok(Stored { id: id.clone(), duplicate: false });
            }
            let id: String = tx.query_row(
                "SELECT id FROM inbound WHERE instance = ? AND rcpt = ? AND message_id = ? AND fingerprint = ?",
                params![new.instance, new.rcpt, scan.message_id, scan.fingerprint],
                |row| row.get(0),
            )?;
            note(tx, now, &id, "duplicate_ignored", new.source)?;
            Ok(Stored { id, duplicate: true })
        })
    }

    /// Records the fate of a mail that was read. Admitted mail gets its conversation in the same
    /// transaction. Does nothing when somebody else was faster.
    pub(crate) fn settle(&self, id: &str, admitted: &Admitted, now: i64) -> Result<(), Error> {
        self.change("settle a mail", |tx| {
            let Some(item) = find(tx, id)?.filter(|item| item.state.may_become(admitted.state)) else {
                return Ok(());
            };
            let facts = Facts { id_reuse: item.facts.id_reuse, ..admitted.facts.clone() };
            tx.execute(
                "UPDATE inbound SET state = ?, reason = ?, facts = ?, reviewer = ?, updated_at = ? WHERE id = ?",
                params![
                    admitted.state.as_str(), admitted.reason, to_json(&facts)?, admitted.reviewer, now, id
                ],
            )?;
            if matches!(admitted.state, Inbound::PendingReview | Inbound::Approved) {
                join_thread(tx, &Item { facts, ..item }, now)?;
            }
            note(tx, now, id, admitted.state.as_str(), &admitted.reason)
        })
    }

    /// Moves a mail by a person's decision. `false`: its state does not allow it.
    pub(crate) fn review(
        &self,
        id: &str,
        from: &[Inbound],
        next: Inbound,
        reviewer: &str,
        now: i64,
    ) -> Result<bool, Error> {
        self.change("review a mail", |tx| {
            let Some(item) =
                find(tx, id)?.filter(|item| from.contains(&item.state) && item.state.may_become(next))
            else {
                return Ok(false);
            };
            tx.execute(
                "UPDATE inbound SET state = ?, reviewer = ?, updated_at = ?, due_at = 0, attempts = 0,
                     last_error = NULL, round = round + ?, run_id = NULL WHERE id = ?",
                params![next.as_str(), reviewer, now, item.state == Inbound::Failed, id],
            )?;
            if next == Inbound::Approved && item.thread_id.is_none() {
                join_thread(tx, &item, now)?;
            }
            note(tx, now, id, next.as_str(), reviewer)?;
            Ok(true)
        })
    }

    /// Finds one row.
    pub(crate) fn item(&self, id: &str) -> Result<Option<Item>, Error> {
        self.read("read a mail", |connection| find(connection, id))
    }

    /// Lists rows, newest first.
    pub(crate) fn items(&self, filter: Filter<'_>, limit: usize) -> Result<Vec<Item>, Error> {
        let items = self.read("list mails", |connection| {
            let mut query = connection
                .prepare(&format!("SELECT {COLUMNS} FROM inbound ORDER BY received_at DESC, rowid DESC"))?;
            let wanted = |item: &Item| match filter {
                Filter::All => true,
                Filter::Queue(queue) => item.state.queue() == queue,
            };
            let rows = query.query_map([], from_row)?;
            rows.filter(|row| row.as_ref().map_or(true, wanted)).take(limit).collect()
        })?;
        Ok(items)
    }

    /// Counts the rows of each state.
    pub(crate) fn counts(&self) -> Result<Vec<(Inbound, u64)>, Error> {
        self.read("count mails", |connection| {
            let mut query = connection.prepare("SELECT state, count(*) FROM inbound GROUP BY state")?;
            let rows = query.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)))?;
            let known = rows.filter_map(|row| {
                row.map(|(state, count)| {
                    Some((Inbound::parse(&state)?, u64::try_from(count).unwrap_or_default()))
                })
                .transpose()
            });
            known.collect()
        })
    }

    /// Rows in a state whose time has come, oldest first.
    pub(crate) fn due(&self, state: Inbound, now: i64) -> Result<Vec<Item>, Error> {
        self.read("find due mails", |connection| {
            let mut query = connection.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM inbound AS item WHERE state = ?1 AND due_at <= ?2
                     AND NOT {IS_BLOCKED} ORDER BY rowid LIMIT {BATCH}"
            ))?;
            query.query_map(params![state.as_str(), now], from_row)?.collect()
        })
    }

    /// The earliest time at which a row wants attention.
    pub(crate) fn next_due(&self) -> Result<Option<i64>, Error> {
        self.read("find the next due mail", |connection| {
            connection.query_row(
                &format!(
                    "SELECT min(due_at) FROM inbound AS item
                     WHERE state IN ('received', 'approved', 'submitted') AND NOT {IS_BLOCKED}"
                ),
                [],
                |row| row.get(0),
            )
        })
    }

    /// Returns the key of a conversation.
    pub(crate) fn thread_key(&self, thread_id: i64) -> Result<String, Error> {
        self.read("read a conversation", |connection| {
            connection.query_row("SELECT key FROM threads WHERE id = ?", [thread_id], |row| row.get(0))
        })
    }

    /// Records that the instance has the mail.
    pub(crate) fn delivered(&self, item: &Item, delivery: &Delivery<'_>, now: i64) -> Result<(), Error> {
        self.change("record a delivery", |tx| {
            tx.execute(
                "UPDATE inbound SET state = ?, session_id = ?, run_id = ?, submitted_at = ?4, updated_at = ?4,
                     due_at = ?4, attempts = 0, last_error = NULL WHERE id = ? AND state = 'approved'",
                params![delivery.state.as_str(), delivery.session_id, delivery.run_id, now, item.id],
            )?;
            tx.execute(
                "UPDATE threads SET session_id = ? WHERE id = ?",
                params![delivery.session_id, item.thread_id],
            )?;
            note(tx, now, &item.id, delivery.state.as_str(), delivery.session_id)
        })
    }

    /// Records which run works on the mail.
    pub(crate) fn found_run(&self, id: &str, run_id: &str, now: i64) -> Result<(), Error> {
        self.change("record a run", |tx| {
            tx.execute(
                "UPDATE inbound SET run_id = ?, updated_at = ? WHERE id = ? AND state = 'submitted'",
                params![run_id, now, id],
            )?;
            note(tx, now, id, "run", run_id)
        })
    }

    /// Puts a row off. `error` counts as a failed attempt.
    pub(crate) fn postpone(&self, item: &Item, due_at: i64, error: Option<&str>) -> Result<(), Error> {
        let sql = "UPDATE inbound SET due_at = ?1, attempts = attempts + ?2,
            last_error = coalesce(?3, last_error) WHERE id = ?4 AND state = ?5";
        let attempts = i64::from(error.is_some());
        self.read("postpone a mail", |connection| {
            connection.prepare_cached(sql)?.execute(params![
                due_at,
                attempts,
                error,
                item.id,
                item.state.as_str()
            ])
        })?;
        Ok(())
    }
}

/// Puts a mail into its conversation and its ids into the index.
fn join_thread(tx: &Transaction<'_>, item: &Item, now: i64) -> rusqlite::Result<()> {
    let sender = item.facts.from.to_lowercase();
    let claims = Claims {
        item_id: &item.id,
        message_id: &item.message_id,
        references: &item.facts.references,
        in_reply_to: &item.facts.in_reply_to,
        sender: &sender,
    };
    let resolution = thread::resolve(&claims, |id| find_thread(tx, id))?;
    let (thread_id, claim_rejected) = match resolution {
        Resolution::Continues(id) => (id, false),
        Resolution::Opens { key, claim_rejected } => {
            tx.execute("INSERT INTO threads (key, created_at) VALUES (?, ?)", params![key, now])?;
            (tx.last_insert_rowid(), claim_rejected)
        }
    };
    let facts = Facts { claim_rejected, ..item.facts.clone() };
    tx.execute(
        "UPDATE inbound SET thread_id = ?, facts = ? WHERE id = ?",
        params![thread_id, to_json(&facts)?, item.id],
    )?;
    tx.execute(
        "INSERT OR IGNORE INTO participants (thread_id, address) VALUES (?, ?)",
        params![thread_id, sender],
    )?;
    tx.execute(
        "INSERT OR IGNORE INTO message_ids (message_id, thread_id, direction) VALUES (?, ?, 'in')",
        params![item.message_id, thread_id],
    )?;
    Ok(())
}

fn find_thread(tx: &Transaction<'_>, message_id: &str) -> rusqlite::Result<Option<Thread>> {
    let id: Option<i64> = tx
        .prepare_cached("SELECT thread_id FROM message_ids WHERE message_id = ?")?
        .query_row([message_id], |row| row.get(0))
        .optional()?;
    let Some(id) = id else { return Ok(None) };
    let mut query = tx.prepare_cached("SELECT address FROM participants WHERE thread_id = ?")?;
    let participants = query.query_map([id], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    Ok(Some(Thread { id, participants }))
}

fn find(connection: &Connection, id: &str) -> rusqlite::Result<Option<Item>> {
    connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM inbound WHERE id = ?"))?
        .query_row([id], from_row)
        .optional()
}

fn from_row(row: &SqlRow<'_>) -> rusqlite::Result<Item> {
    let state: String = row.get("state")?;
    let facts: String = row.get("facts")?;
    Ok(Item {
        id: row.get("id")?,
        instance: row.get("instance")?,
        rcpt: row.get("rcpt")?,
        mail_from: row.get("mail_from")?,
        message_id: row.get("message_id")?,
        sha256: row.get("sha256")?,
        size: row.get("size")?,
        source: row.get("source")?,
        received_at: row.get("received_at")?,
        updated_at: row.get("updated_at")?,
        // A row that another version wrote or that is damaged waits for a person.
        state: Inbound::parse(&state).unwrap_or(Inbound::ParseFailed),
        reason: row.get("reason")?,
        facts: serde_json::from_str(&facts).unwrap_or_default(),
        thread_id: row.get("thread_id")?,
        reviewer: row.get("reviewer")?,
        round: row.get("round")?,
        attempts: row.get("attempts")?,
        due_at: row.get("due_at")?,
        last_error: row.get("last_error")?,
        session_id: row.get("session_id")?,
        run_id: row.get("run_id")?,
        submitted_at: row.get("submitted_at")?,
    })
}

pub(super) fn to_json<T: Serialize>(value: &T) -> rusqlite::Result<String> {
    serde_json::to_string(value).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}
