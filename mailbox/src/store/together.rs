//! Changes that become durable together. Whoever holds the connection makes the changes of all who
//! wait for it, so that one sync of the disk serves them all.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, Error, Result, TransactionBehavior};

/// Most changes in one transaction.
const GROUP: usize = 256;

/// The connection that writes.
pub(super) struct Together {
    connection: Mutex<Connection>,
    waiting: Mutex<VecDeque<Box<dyn Change>>>,
}

/// A change that waits, whatever it returns.
trait Change: Send {
    /// Makes it; `false`: nothing of it may stay.
    fn make(&mut self, connection: &Connection) -> bool;
    fn fail(&mut self, error: Error);
}

type Answer<T> = Arc<Mutex<Option<Result<T>>>>;

struct Waiting<F, T> {
    change: Option<F>,
    answer: Answer<T>,
}

impl Together {
    pub(super) fn new(connection: Connection) -> Self {
        Self { connection: Mutex::new(connection), waiting: Mutex::default() }
    }

    /// Makes a change in a transaction of its own, which holds the write lock from its beginning.
    pub(super) fn alone<T>(&self, change: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        let mut connection = lock(&self.connection);
        let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let outcome = change(&tx)?;
        tx.commit()?;
        Ok(outcome)
    }

    /// Makes a change in one transaction with those of other threads. One that fails takes nobody
    /// along.
    pub(super) fn join<T, F>(&self, change: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T> + Send + 'static,
    {
        let answer = Answer::default();
        let waiting = Waiting { change: Some(change), answer: Arc::clone(&answer) };
        lock(&self.waiting).push_back(Box::new(waiting));
        loop {
            let mut connection = lock(&self.connection);
            // Answers are written and read under this lock alone: what is here is committed.
            if let Some(answer) = lock(&answer).take() {
                return answer;
            }
            self.make_next(&mut connection);
        }
    }

    fn make_next(&self, connection: &mut Connection) {
        let mut group: Vec<_> = {
            let mut waiting = lock(&self.waiting);
            let count = waiting.len().min(GROUP);
            waiting.drain(..count).collect()
        };
        if let Err(error) = make(connection, &mut group) {
            group.iter_mut().for_each(|change| change.fail(copy(&error)));
        }
    }
}

impl std::fmt::Debug for Together {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Together").finish_non_exhaustive()
    }
}

impl<T, F> Change for Waiting<F, T>
where
    T: Send,
    F: FnOnce(&Connection) -> Result<T> + Send,
{
    fn make(&mut self, connection: &Connection) -> bool {
        let Some(change) = self.change.take() else { return false };
        let outcome = catch_unwind(AssertUnwindSafe(|| change(connection)))
            .unwrap_or_else(|_| Err(Error::ToSqlConversionFailure("the change was cut off".into())));
        let stays = outcome.is_ok();
        *lock(&self.answer) = Some(outcome);
        stays
    }

    fn fail(&mut self, error: Error) {
        *lock(&self.answer) = Some(Err(error));
    }
}

fn make(connection: &mut Connection, group: &mut [Box<dyn Change>]) -> Result<()> {
    let mut tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for change in group {
        let savepoint = tx.savepoint()?;
        // Dropped, it takes back what was changed since.
        if change.make(&savepoint) {
            savepoint.commit()?;
        }
    }
    tx.commit()
}

/// The same error once more: all of a group have to hear of it.
fn copy(error: &Error) -> Error {
    match error {
        Error::SqliteFailure(code, text) => Error::SqliteFailure(*code, text.clone()),
        other => Error::ToSqlConversionFailure(other.to_string().into()),
    }
}

/// A panic in between rolled its transaction back.
fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A table of numbers in a file, so that others can look into it; 13 refers to nothing.
    fn numbers(folder: &tempfile::TempDir) -> Arc<Together> {
        let connection = open(folder);
        let sql =
            "PRAGMA journal_mode=WAL; PRAGMA foreign_keys=ON; CREATE TABLE numbers (n INTEGER PRIMARY KEY,
            other INTEGER REFERENCES numbers(n) DEFERRABLE INITIALLY DEFERRED)";
        connection.execute_batch(sql).unwrap();
        Arc::new(Together::new(connection))
    }

    fn open(folder: &tempfile::TempDir) -> Connection {
        Connection::open(folder.path().join("numbers.db")).unwrap()
    }

    fn count(connection: &Connection) -> i64 {
        connection.query_row("SELECT count(*) FROM numbers", [], |row| row.get(0)).unwrap()
    }

    fn stored(together: &Together) -> Vec<i64> {
        let all = |connection: &Connection| {
            let mut query = connection.prepare("SELECT n FROM numbers ORDER BY n")?;
            query.query_map([], |row| row.get(0))?.collect()
        };
        together.alone(all).unwrap()
    }

    /// Lets changes pile up behind the connection, then makes them all.
    fn pile_up(
        together: &Arc<Together>,
        numbers: &[i64],
        look: impl Fn() + Clone + Send + 'static,
    ) -> Vec<Result<i64>> {
        let held = lock(&together.connection);
        let threads: Vec<_> = numbers
            .iter()
            .map(|&n| {
                let (together, look) = (Arc::clone(together), look.clone());
                std::thread::spawn(move || {
                    together.join(move |connection| {
                        assert!(n >= 0, "a change that panics");
                        let other = if n == 13 { 0 } else { n };
                        connection.execute("INSERT INTO numbers (n, other) VALUES (?, ?)", [n, other])?;
                        look();
                        Ok(n)
                    })
                })
            })
            .collect();
        while lock(&together.waiting).len() < numbers.len() {
            std::thread::yield_now();
        }
        drop(held);
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    }

    #[test]
    fn many_changes_are_one_commit() {
        let folder = tempfile::tempdir().unwrap();
        let together = numbers(&folder);
        let outside = Arc::new(Mutex::new(open(&folder)));
        let look = move || assert_eq!(count(&lock(&outside)), 0, "nothing is committed before the last");
        let wanted: Vec<i64> = (1..=9).collect();
        let answers: Vec<i64> = pile_up(&together, &wanted, look).into_iter().map(Result::unwrap).collect();
        assert_eq!((answers, stored(&together)), (wanted.clone(), wanted));
    }

    #[test]
    fn a_change_that_fails_takes_nobody_along() {
        let folder = tempfile::tempdir().unwrap();
        let together = numbers(&folder);
        let answers = pile_up(&together, &[1, 1, -1, 2], || ());
        assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 2);
        assert_eq!(stored(&together), [1, 2]);
    }

    #[test]
    fn a_commit_that_fails_is_told_to_all() {
        let folder = tempfile::tempdir().unwrap();
        let together = numbers(&folder);
        assert!(pile_up(&together, &[1, 13], || ()).iter().all(Result::is_err));
        assert_eq!(pile_up(&together, &[3], || ()).len(), 1);
        assert_eq!(stored(&together), [3]);
    }
}
