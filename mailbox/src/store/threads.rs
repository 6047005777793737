//! Conversations: which ids and which people belong to them.

use rusqlite::{OptionalExtension, Transaction, params};

use super::item::{Facts, Item, to_json};
use super::{Error, Store};
use crate::thread::{self, Claims, Resolution, Thread};

impl Store {
    /// Returns the key of a conversation.
    pub(crate) fn thread_key(&self, thread_id: i64) -> Result<String, Error> {
        self.read("read a conversation", |connection| {
            connection.query_row("SELECT key FROM threads WHERE id = ?", [thread_id], |row| row.get(0))
        })
    }
}

/// Puts a mail into its conversation and its ids into the index.
pub(super) fn join(tx: &Transaction<'_>, item: &Item, now: i64) -> rusqlite::Result<i64> {
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
    Ok(thread_id)
}

/// Counts the answers that a conversation had since a time.
pub(super) fn answers_since(tx: &Transaction<'_>, thread_id: i64, since: i64) -> rusqlite::Result<u32> {
    tx.prepare_cached(
        "SELECT count(*) FROM outbox WHERE thread_id = ? AND kind = 'reply' AND created_at > ?",
    )?
    .query_row(params![thread_id, since], |row| row.get(0))
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
