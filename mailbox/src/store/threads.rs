//! Conversations: which ids and which people belong to them.

use rusqlite::{Connection, OptionalExtension, params};

use super::item::{Facts, Item, to_json};
use super::{Error, Store, returned};
use crate::subaddress::{self, Detail};
use crate::thread::{self, Claims, Resolution, Standing};

impl Store {
    /// Returns the key of a conversation.
    pub(crate) fn thread_key(&self, thread_id: i64) -> Result<String, Error> {
        self.read("read a conversation", |connection| {
            connection.query_row("SELECT key FROM threads WHERE id = ?", [thread_id], |row| row.get(0))
        })
    }
}

/// Puts a mail into its conversation and its ids into the index.
pub(super) fn join(tx: &Connection, item: &Item, now: i64) -> rusqlite::Result<i64> {
    let sender = item.facts.from.to_lowercase();
    let claims = Claims {
        item_id: &item.id,
        message_id: &item.message_id,
        references: &item.facts.references,
        in_reply_to: &item.facts.in_reply_to,
    };
    let resolution = match by_token(tx, item, &sender)? {
        Some(thread_id) => Resolution::Continues(thread_id),
        None => thread::resolve(&claims, |id| standing(tx, id, &sender))?,
    };
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

/// Finds the conversation by the token in the address that was written to. A forwarded mail hands the token
/// on, so it lets in who has a part already, or who is permitted and proved.
fn by_token(tx: &Connection, item: &Item, sender: &str) -> rusqlite::Result<Option<i64>> {
    let Some(Detail::Thread(token)) = subaddress::read(&item.rcpt) else { return Ok(None) };
    let Some(thread_id) = subaddress::verify(&returned::secret(tx)?, &token) else { return Ok(None) };
    let count = |sql: &str, who: &dyn rusqlite::ToSql| -> rusqlite::Result<bool> {
        tx.prepare_cached(sql)?.query_row(params![thread_id, who], |row| row.get(0))
    };
    let is_there = count("SELECT EXISTS (SELECT 1 FROM threads WHERE id = ?1 AND ?2 NOT NULL)", &sender)?;
    let has_part =
        count("SELECT EXISTS (SELECT 1 FROM participants WHERE thread_id = ? AND address = ?)", &sender)?;
    let is_proved = item.facts.word().is_proof() && !item.facts.rule.is_empty();
    Ok((is_there && (has_part || is_proved)).then_some(thread_id))
}

/// Counts the answers that a conversation had since a time.
pub(super) fn answers_since(tx: &Connection, thread_id: i64, since: i64) -> rusqlite::Result<u32> {
    tx.prepare_cached(
        "SELECT count(*) FROM outbox WHERE thread_id = ? AND kind = 'reply' AND created_at > ?",
    )?
    .query_row(params![thread_id, since], |row| row.get(0))
}

/// Tells what an id is to a sender; of several conversations with a part of his, the newest counts.
pub(super) fn standing(tx: &Connection, message_id: &str, sender: &str) -> rusqlite::Result<Standing> {
    let part: Option<i64> = tx
        .prepare_cached(
            "SELECT thread_id FROM message_ids JOIN participants USING (thread_id)
             WHERE message_id = ? AND address = ? ORDER BY thread_id DESC LIMIT 1",
        )?
        .query_row([message_id, sender], |row| row.get(0))
        .optional()?;
    if let Some(thread_id) = part {
        return Ok(Standing::Part(thread_id));
    }
    let is_known: bool = tx
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM message_ids WHERE message_id = ?)")?
        .query_row([message_id], |row| row.get(0))?;
    Ok(if is_known { Standing::Foreign } else { Standing::Unknown })
}
