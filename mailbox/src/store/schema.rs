//! The tables, as the steps that made them.

use rusqlite::{Connection, TransactionBehavior};

/// One step for each format. A database is brought up to date by the steps that it lacks.
const STEPS: [&str; 3] =
    [include_str!("schema/one.sql"), include_str!("schema/two.sql"), include_str!("schema/three.sql")];

/// The format this version writes.
pub(super) const VERSION: i64 = 3;

/// Makes the tables that a database lacks, all in one transaction, and returns the format found
/// afterwards.
pub(super) fn migrate(connection: &mut Connection) -> rusqlite::Result<i64> {
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found: i64 = tx.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if found >= VERSION {
        return Ok(found);
    }
    for step in STEPS.iter().skip(usize::try_from(found).unwrap_or_default()) {
        tx.execute_batch(step)?;
    }
    tx.pragma_update(None, "user_version", VERSION)?;
    tx.commit()?;
    Ok(VERSION)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::Inbound;

    #[test]
    fn each_format_has_its_step() {
        assert_eq!(usize::try_from(VERSION), Ok(STEPS.len()));
    }

    #[test]
    fn the_database_and_listings_agree_on_queues() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection).unwrap();
        for state in Inbound::ALL {
            let word = state.as_str();
            let sql =
                "INSERT INTO inbound (id, instance, rcpt, message_id, fingerprint, sha256, size, source,
                received_at, updated_at, state) VALUES (?1, '', '', ?1, '', '', 0, '', 0, 0, ?1)";
            connection.execute(sql, [word]).unwrap();
            let queue: String = connection
                .query_row("SELECT queue FROM inbound WHERE id = ?", [word], |row| row.get(0))
                .unwrap();
            assert_eq!(queue, state.queue(), "{word}");
        }
    }
}
