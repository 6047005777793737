//! The mailbox of one instance on disk: raw mail as blobs, everything else as rows of one SQLite
//! database. What a method has returned `Ok` for survives the loss of power.
//!
//! All methods block; asynchronous callers go through a blocking thread.

mod blob;
mod carried;
mod inbound;
mod item;
mod log;
mod outbox;
mod returned;
mod schema;
mod tending;
mod threads;
mod together;

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use remotelab_config::atomic;
use rusqlite::{Connection, OpenFlags};

pub(crate) use blob::{Blob, Incoming};
pub(crate) use item::{Admitted, Delivery, Facts, Filter, Item, NewItem, Stored};
pub(crate) use outbox::{Answer, NewLetter, Row};
pub(crate) use tending::Done;
use together::Together;

/// How long a writer waits for another process's transaction.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// An open mailbox.
#[derive(Debug)]
pub(crate) struct Store {
    root: PathBuf,
    /// Device and number of the database file that is open.
    file: (u64, u64),
    writer: Together,
    /// A connection for reading alone: a listing never holds up mail that comes in.
    reader: Mutex<Connection>,
}

/// Why the store failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder of the mailbox.
    #[error(transparent)]
    File(#[from] atomic::Error),
    /// The database.
    #[error("cannot {step} in the mailbox database {}", path.display())]
    Database {
        /// What was being done.
        step: &'static str,
        /// The database file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: rusqlite::Error,
    },
    /// The database was written by a later version.
    #[error("{} was written by a newer version of remotelab (format {format})", path.display())]
    Newer {
        /// The database file.
        path: PathBuf,
        /// Its format.
        format: i64,
    },
}

impl Store {
    /// Opens the mailbox below a root, making it when there is none.
    pub(crate) fn open(root: &Path) -> Result<Self, Error> {
        let path = database(root);
        if !path.exists() {
            found(root, &path)?;
        }
        let file = identity(&path)?;
        let fail = |step| {
            let path = path.clone();
            move |source| Error::Database { step, path, source }
        };
        let mut connection = Connection::open(&path).map_err(fail("open"))?;
        connection.busy_timeout(BUSY_TIMEOUT).map_err(fail("open"))?;
        connection
            .execute_batch("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;")
            .map_err(fail("open"))?;
        let format = schema::migrate(&mut connection).map_err(fail("migrate"))?;
        if format > schema::VERSION {
            return Err(Error::Newer { path, format });
        }
        let flags = OpenFlags::default() - OpenFlags::SQLITE_OPEN_CREATE;
        let reader = Connection::open_with_flags(&path, flags).map_err(fail("open"))?;
        reader.busy_timeout(BUSY_TIMEOUT).map_err(fail("open"))?;
        reader.pragma_update(None, "query_only", true).map_err(fail("open"))?;
        Ok(Self {
            root: root.to_owned(),
            file,
            writer: Together::new(connection),
            reader: Mutex::new(reader),
        })
    }

    /// Tells whether there is a mailbox below a root.
    pub(crate) fn exists(root: &Path) -> bool {
        database(root).is_file()
    }

    /// Tells whether the open database is still the one at its path.
    pub(crate) fn is_in_place(&self) -> bool {
        identity(&database(&self.root)).is_ok_and(|file| file == self.file)
    }

    fn read<T>(
        &self,
        step: &'static str,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, Error> {
        // A panic in between changed nothing.
        let reader: MutexGuard<'_, Connection> = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        read(&reader).map_err(|source| self.failed(step, source))
    }

    /// Runs a change in a transaction that holds the write lock from its beginning.
    fn change<T>(
        &self,
        step: &'static str,
        change: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, Error> {
        self.writer.alone(change).map_err(|source| self.failed(step, source))
    }

    /// Runs a change as [`Store::change`] does, in one transaction with those of other threads.
    fn change_together<T: Send + 'static>(
        &self,
        step: &'static str,
        change: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        self.writer.join(change).map_err(|source| self.failed(step, source))
    }

    fn failed(&self, step: &'static str, source: rusqlite::Error) -> Error {
        Error::Database { step, path: database(&self.root), source }
    }
}

/// Makes the folders and the empty database durable. The file is made here and not by SQLite, which
/// would follow the umask.
fn found(root: &Path, path: &Path) -> Result<(), Error> {
    atomic::create_private_dir(root)?;
    atomic::create_private_dir(&root.join("blobs"))?;
    blob::create_private_file(path)?;
    for folder in [Some(root), root.parent()].into_iter().flatten() {
        atomic::sync_dir(folder).map_err(|source| atomic::Error::new("sync", folder, source))?;
    }
    Ok(())
}

fn identity(path: &Path) -> Result<(u64, u64), Error> {
    let metadata = std::fs::metadata(path).map_err(|source| atomic::Error::new("read", path, source))?;
    Ok((metadata.dev(), metadata.ino()))
}

fn database(root: &Path) -> PathBuf {
    root.join("mailbox.db")
}
