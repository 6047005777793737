//! Inbound rows: stored once, then moved from state to state.

use rusqlite::{Connection, OptionalExtension, params};

use super::item::{Admitted, COLUMNS, Delivery, Facts, Filter, Item, NewItem, Stored, from_row, to_json};
use super::log::note;
use super::{Error, Store, returned, threads};
use crate::admission;
use crate::scan::Scan;
use crate::state::Inbound;

/// A mail waits for the earlier ones of its conversation.
const IS_BLOCKED: &str = "(item.state = 'approved' AND EXISTS (SELECT 1 FROM inbound AS earlier
    WHERE earlier.thread_id = item.thread_id AND earlier.state = 'approved' AND earlier.rowid < item.rowid))";

/// Rows handled in one pass.
const BATCH: usize = 50;

impl Store {
    /// Stores a message whose bytes are already durable. The same mail for the same recipient is
    /// stored once, however many deliver it at the same time.
    pub(crate) fn insert(&self, new: NewItem, blob: super::Blob, now: i64) -> Result<Stored, Error> {
        self.change_together("store a mail", move |tx| store(tx, &new, &blob.scan, now))
    }

    /// Records the fate of a mail that was read. Admitted mail gets its conversation in the same
    /// transaction. Does nothing when somebody else was faster.
    pub(crate) fn settle(&self, id: &str, admitted: Admitted, now: i64) -> Result<(), Error> {
        let id = id.to_owned();
        self.change_together("settle a mail", move |tx| settle(tx, &id, &admitted, now))
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
                threads::join(tx, &item, now)?;
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
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.read("list mails", |connection| {
            let mut query = connection.prepare_cached(&listing(filter))?;
            match filter {
                Filter::All => query.query_map([limit], from_row)?.collect(),
                Filter::Queue(queue) => query.query_map(params![limit, queue], from_row)?.collect(),
            }
        })
    }

    /// Tells whether as many mails as this wait to be read or handed over.
    pub(crate) fn is_waiting(&self, count: usize) -> Result<bool, Error> {
        let offset = i64::try_from(count.saturating_sub(1)).unwrap_or(i64::MAX);
        self.read("count waiting mails", |connection| {
            connection
                .prepare_cached(
                    "SELECT EXISTS (SELECT 1 FROM inbound WHERE state IN ('received', 'approved')
                         LIMIT 1 OFFSET ?)",
                )?
                .query_row([offset], |row| row.get(0))
        })
    }

    /// Counts what came since a time, of one envelope sender or of all.
    pub(crate) fn came_since(&self, from: Option<&str>, since: i64) -> Result<u32, Error> {
        self.read("count what came", |connection| {
            connection
                .prepare_cached(
                    "SELECT count(*) FROM inbound WHERE received_at > ?1
                         AND (?2 IS NULL OR mail_from = ?2 COLLATE NOCASE)",
                )?
                .query_row(params![since, from], |row| row.get(0))
        })
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
        // The state is written out, so that the index of open rows is found to fit.
        let state = state.as_str();
        self.read("find due mails", |connection| {
            let mut query = connection.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM inbound AS item WHERE state = '{state}' AND due_at <= ?1
                     AND NOT {IS_BLOCKED} ORDER BY rowid LIMIT {BATCH}"
            ))?;
            query.query_map([now], from_row)?.collect()
        })
    }

    /// The earliest time at which a row in a state wants attention.
    pub(crate) fn next_due(&self, state: Inbound) -> Result<Option<i64>, Error> {
        let state = state.as_str();
        self.read("find the next due mail", |connection| {
            connection
                .prepare_cached(&format!(
                    "SELECT min(due_at) FROM inbound AS item WHERE state = '{state}' AND NOT {IS_BLOCKED}"
                ))?
                .query_row([], |row| row.get(0))
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
        self.change("postpone a mail", |tx| {
            let values = params![due_at, attempts, error, item.id, item.state.as_str()];
            tx.prepare_cached(sql)?.execute(values)?;
            Ok(())
        })
    }
}

fn store(tx: &Connection, new: &NewItem, scan: &Scan, now: i64) -> rusqlite::Result<Stored> {
    let id = format!("mail_{now}_{}_{:08x}", &scan.sha256[..12], rand::random::<u32>());
    let key = params![new.instance, new.rcpt, scan.message_id, scan.fingerprint];
    let deleted: Option<String> = tx
        .prepare_cached(
            "SELECT item_id FROM tombstones
             WHERE instance = ? AND rcpt = ? AND message_id = ? AND fingerprint = ?",
        )?
        .query_row(key, |row| row.get(0))
        .optional()?;
    if let Some(id) = deleted {
        return Ok(Stored { id, duplicate: true });
    }
    let id_reuse: bool = tx
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM inbound WHERE instance = ? AND rcpt = ? AND message_id = ?)",
        )?
        .query_row(params![new.instance, new.rcpt, scan.message_id], |row| row.get(0))?;
    let facts = to_json(&Facts { id_reuse, ..Facts::default() })?;
    let inserted = tx
        .prepare_cached(
            "INSERT INTO inbound (id, instance, rcpt, mail_from, message_id, fingerprint, sha256, size, door,
                 source, received_at, updated_at, state, facts)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?11, 'received', ?12)
             ON CONFLICT (instance, rcpt, message_id, fingerprint) DO NOTHING",
        )?
        .execute(params![
            id,
            new.instance,
            new.rcpt,
            new.mail_from,
            scan.message_id,
            scan.fingerprint,
            scan.sha256,
            i64::try_from(scan.size).unwrap_or(i64::MAX),
            new.door.as_str(),
            new.source,
            now,
            facts,
        ])?;
    if inserted == 1 {
        note(tx, now, &id, "ingested", &new.source)?;
        return Ok(Stored { id, duplicate: false });
    }
    let id: String = tx
        .prepare_cached(
            "SELECT id FROM inbound WHERE instance = ? AND rcpt = ? AND message_id = ? AND fingerprint = ?",
        )?
        .query_row(key, |row| row.get(0))?;
    note(tx, now, &id, "duplicate_ignored", &new.source)?;
    Ok(Stored { id, duplicate: true })
}

fn settle(tx: &Connection, id: &str, admitted: &Admitted, now: i64) -> rusqlite::Result<()> {
    let Some(item) = find(tx, id)?.filter(|item| item.state.may_become(admitted.state)) else {
        return Ok(());
    };
    let facts = Facts { id_reuse: item.facts.id_reuse, ..admitted.facts.clone() };
    tx.prepare_cached(
        "UPDATE inbound SET state = ?, reason = ?, facts = ?, reviewer = ?, updated_at = ?, due_at = 0,
             attempts = 0, last_error = NULL WHERE id = ?",
    )?
    .execute(params![
        admitted.state.as_str(),
        admitted.reason,
        to_json(&facts)?,
        admitted.reviewer,
        now,
        id
    ])?;
    note(tx, now, id, admitted.state.as_str(), &admitted.reason)?;
    if !matches!(admitted.state, Inbound::PendingReview | Inbound::Approved) {
        return Ok(());
    }
    if facts.word().is_proof() {
        returned::welcome_back(tx, &facts.from.to_lowercase())?;
    }
    // What is read again stays where it was.
    let thread_id = match item.thread_id {
        Some(thread_id) => thread_id,
        None => threads::join(tx, &Item { facts, ..item }, now)?,
    };
    let answers = threads::answers_since(tx, thread_id, now - admission::RALLY_WINDOW)?;
    if admitted.state == Inbound::Approved && admission::is_rally(answers) {
        let (state, reason) = (Inbound::PendingReview.as_str(), "too_many_answers");
        tx.execute(
            "UPDATE inbound SET state = ?, reason = ?, reviewer = NULL WHERE id = ?",
            params![state, reason, id],
        )?;
        note(tx, now, id, state, reason)?;
    }
    Ok(())
}

/// The statement of a listing; its order is that of an index.
fn listing(filter: Filter<'_>) -> String {
    let wanted = match filter {
        Filter::All => "",
        Filter::Queue(_) => "WHERE queue = ?2",
    };
    format!("SELECT {COLUMNS} FROM inbound {wanted} ORDER BY received_at DESC, rowid DESC LIMIT ?1")
}

pub(super) fn find(connection: &Connection, id: &str) -> rusqlite::Result<Option<Item>> {
    connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM inbound WHERE id = ?"))?
        .query_row([id], from_row)
        .optional()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rare_queue_is_listed_without_reading_the_rest() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        for (filter, index) in
            [(Filter::All, "inbound_listing"), (Filter::Queue("review"), "inbound_queue (queue=?)")]
        {
            let plan: Vec<String> = store
                .read("explain", |connection| {
                    let mut query = connection.prepare(&format!("EXPLAIN QUERY PLAN {}", listing(filter)))?;
                    if matches!(filter, Filter::Queue(_)) {
                        query.raw_bind_parameter(2, "review")?;
                    }
                    query.raw_bind_parameter(1, 10)?;
                    let mut rows = query.raw_query();
                    let mut plan = Vec::new();
                    while let Some(row) = rows.next()? {
                        plan.push(row.get("detail")?);
                    }
                    Ok(plan)
                })
                .unwrap();
            assert!(plan.len() == 1 && plan[0].ends_with(index), "{plan:?}");
        }
    }

    #[test]
    fn too_much_waits_when_it_is_neither_read_nor_handed_over() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        for state in Inbound::ALL {
            let sql =
                "INSERT INTO inbound (id, instance, rcpt, message_id, fingerprint, sha256, size, source,
                received_at, updated_at, state) VALUES (?1, '', '', ?1, '', '', 0, '', 0, 0, ?1)";
            store.change("insert", |tx| tx.execute(sql, [state.as_str()])).unwrap();
        }
        assert!(store.is_waiting(2).unwrap(), "one just came, one is approved");
        assert!(!store.is_waiting(3).unwrap());
    }

    #[test]
    fn reading_never_changes_anything() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let written = store.read("write", |connection| connection.execute("DELETE FROM inbound", []));
        assert!(written.is_err());
    }
}
