//! The history of each mail, one line a step.

use rusqlite::{Connection, params};

pub(super) fn note(
    tx: &Connection,
    at: i64,
    item_id: &str,
    event: &str,
    detail: &str,
) -> rusqlite::Result<()> {
    tx.prepare_cached("INSERT INTO events (at, item_id, event, detail) VALUES (?, ?, ?, ?)")?
        .execute(params![at, item_id, event, detail])?;
    Ok(())
}
