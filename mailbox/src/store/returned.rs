//! What comes back for letters of ours.

use rusqlite::{Connection, OptionalExtension, params};

use super::log::note;
use super::{Error, Store};
use crate::dsn::Report;

impl Store {
    /// Tells whether mail to an address came back.
    pub(crate) fn is_suppressed(&self, address: &str) -> Result<bool, Error> {
        self.read("look up an address", |connection| {
            connection
                .prepare_cached("SELECT EXISTS (SELECT 1 FROM suppressed WHERE address = ?)")?
                .query_row([address], |row| row.get(0))
        })
    }

    /// Records a report about a letter. By the key of its envelope it is believed whole: nobody else knows the
    /// key. By its Message-ID, which everybody in the conversation knows, it is only noted that it came back.
    /// Returns the letter.
    pub(crate) fn bounced(
        &self,
        key: Option<&str>,
        report: &Report,
        now: i64,
    ) -> Result<Option<String>, Error> {
        self.change("record a report", |tx| {
            let by_key = key.map(|key| letter_of(tx, "bounce_key = ?", key)).transpose()?.flatten();
            let by_id = || {
                let id = report.original_id.as_deref()?;
                letter_of(tx, "json_extract(letter, '$.messageId') = ? ORDER BY created_at DESC", id)
                    .transpose()
            };
            let is_certain = by_key.is_some();
            let Some(letter) = by_key.map_or_else(|| by_id().transpose(), |id| Ok(Some(id)))? else {
                return Ok(None);
            };
            let failed: Vec<_> = report.recipients.iter().filter(|one| one.action == "failed").collect();
            if failed.is_empty() {
                return Ok(Some(letter));
            }
            let why = failed
                .iter()
                .map(|one| format!("{} {}", one.status, one.diagnostic))
                .collect::<Vec<_>>()
                .join("; ");
            let error =
                serde_json::json!({"code": 0, "text": crate::message::one_line(&why, 300)}).to_string();
            tx.execute(
                "UPDATE outbox SET state = 'bounced', last_error = ?, updated_at = ?
                 WHERE id = ? AND state IN ('sent', 'sent_unconfirmed', 'bounced')",
                params![error, now, letter],
            )?;
            let mut query = tx.prepare("SELECT id FROM inbound WHERE answered_by = ?")?;
            let items: Vec<String> =
                query.query_map([&letter], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
            for item in items {
                note(tx, now, &item, "bounced", &crate::message::one_line(&why, 300))?;
            }
            for one in failed.iter().filter(|one| is_certain && one.is_final()) {
                if let Some(address) = &one.address {
                    suppress(tx, &letter, address.key(), &one.status, now)?;
                }
            }
            Ok(Some(letter))
        })
    }

    /// What conversation tokens of this mailbox are proved with.
    pub(crate) fn thread_secret(&self) -> Result<Vec<u8>, Error> {
        self.read("read a secret", secret)
    }
}

/// What conversation tokens are proved with.
pub(super) fn secret(connection: &Connection) -> rusqlite::Result<Vec<u8>> {
    connection.query_row("SELECT value FROM secrets WHERE name = 'thread'", [], |row| row.get(0))
}

/// Somebody who writes can be reached again.
pub(super) fn welcome_back(tx: &Connection, address: &str) -> rusqlite::Result<()> {
    tx.prepare_cached("DELETE FROM suppressed WHERE address = ?")?.execute([address])?;
    Ok(())
}

/// Only whom the letter was for: a report cannot speak of others.
fn suppress(tx: &Connection, letter: &str, address: &str, reason: &str, now: i64) -> rusqlite::Result<()> {
    let recipients: String = tx.query_row(
        "SELECT lower(json_extract(letter, '$.to')) FROM outbox WHERE id = ?",
        [letter],
        |row| row.get(0),
    )?;
    let recipients: Vec<String> = serde_json::from_str(&recipients).unwrap_or_default();
    if recipients.iter().any(|to| to == address) {
        tx.execute(
            "INSERT OR REPLACE INTO suppressed (address, since, reason) VALUES (?, ?, ?)",
            params![address, now, reason],
        )?;
    }
    Ok(())
}

fn letter_of(tx: &Connection, which: &str, value: &str) -> rusqlite::Result<Option<String>> {
    tx.prepare_cached(&format!("SELECT id FROM outbox WHERE {which} LIMIT 1"))?
        .query_row([value], |row| row.get(0))
        .optional()
}
