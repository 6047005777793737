//! The write-ahead journal: durable first, carried out second, many at a time.
//!
//! One thread owns the journal file. It takes every transaction that waits, appends them in one write,
//! syncs once, carries out their file writes in order and answers all of them. When a file has grown
//! past its limit a new one is begun; the old one is deleted after the file system has been synced.

mod apply;
pub(crate) mod disk;
pub mod record;
mod writer;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};

use tokio::sync::oneshot;

use disk::{Disk, RealDisk};

pub use record::{Op, Transaction};

/// How many transactions may wait for the writer before callers are held back.
const QUEUE: usize = 1024;

/// Why a transaction was not made durable.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The disk refused; nothing is accepted until the instance is restarted.
    #[error("storage refused a write: {0}")]
    Refused(Arc<str>),
    /// The writer has stopped.
    #[error("storage is closed")]
    Closed,
}

/// A handle on the journal; cheap to clone.
#[derive(Clone, Debug)]
pub struct Journal {
    queue: SyncSender<writer::Request>,
    enqueued: Arc<AtomicU64>,
    applied: Arc<AtomicU64>,
}

/// A transaction on its way to the disk.
#[derive(Debug)]
#[must_use = "nothing may be acknowledged before its commit is awaited"]
pub struct Commit(oneshot::Receiver<Result<(), Error>>);

impl Journal {
    /// Opens the journal of a root folder: carries out what a crash left behind, then starts the
    /// writer. Returns how many transactions were found.
    ///
    /// # Errors
    /// When the journal folder cannot be made, read or synced.
    pub fn open(root: &Path) -> io::Result<(Self, usize)> {
        Self::open_on(RealDisk, root)
    }

    pub(crate) fn open_on(disk: impl Disk, root: &Path) -> io::Result<(Self, usize)> {
        let folder = root.join("journal");
        disk.make_folder(&folder)?;
        let files = journal_files(&folder)?;
        // A number is never used twice, so that nobody takes a new file for an old one.
        let number = files.last().map_or(1, |(last, _)| last + 1);
        let found = replay(&disk, root, &files)?;
        let (queue, requests) = sync_channel(QUEUE);
        let applied = Arc::new(AtomicU64::new(0));
        writer::start(disk, root.to_owned(), folder, number, requests, Arc::clone(&applied))?;
        Ok((Self { queue, enqueued: Arc::new(AtomicU64::new(0)), applied }, found))
    }

    /// Hands a transaction to the writer. Transactions are carried out in the order of these calls;
    /// when very many wait, the call blocks until there is room.
    pub fn enqueue(&self, transaction: Transaction) -> Commit {
        self.send(transaction, false)
    }

    /// Carries out what waits, empties the journal and stops the writer. Blocks.
    ///
    /// # Errors
    /// When the writer refused or had stopped.
    pub fn close(&self) -> Result<(), Error> {
        self.send(Transaction::default(), true).wait()
    }

    /// Waits until everything that was enqueued before is carried out. Costs nothing when all is.
    ///
    /// # Errors
    /// When the writer refused or stopped.
    pub async fn barrier(&self) -> Result<(), Error> {
        if self.applied.load(Ordering::SeqCst) >= self.enqueued.load(Ordering::SeqCst) {
            return Ok(());
        }
        self.enqueue(Transaction::default()).durable().await
    }

    fn send(&self, transaction: Transaction, last: bool) -> Commit {
        let (done, commit) = oneshot::channel();
        self.enqueued.fetch_add(1, Ordering::SeqCst);
        // A closed writer drops the sender, and the commit then says so.
        let _ = self.queue.send(writer::Request { transaction, done, last });
        Commit(commit)
    }
}

impl Commit {
    /// Waits until the transaction is synced and carried out.
    ///
    /// # Errors
    /// When the writer refused or stopped: the change must then not be acknowledged.
    pub async fn durable(self) -> Result<(), Error> {
        self.0.await.unwrap_or(Err(Error::Closed))
    }

    /// As [`Commit::durable`], blocking the calling thread; for use outside the async runtime.
    ///
    /// # Errors
    /// As [`Commit::durable`].
    pub fn wait(self) -> Result<(), Error> {
        self.0.blocking_recv().unwrap_or(Err(Error::Closed))
    }
}

/// Carries out the transactions of all journal files, oldest first, makes that durable and removes
/// the files.
fn replay(disk: &impl Disk, root: &Path, files: &[(u64, PathBuf)]) -> io::Result<usize> {
    let mut found = 0;
    for (_, file) in files {
        // A torn tail was never acknowledged: decoding stops there.
        for transaction in record::decode_all(&fs::read(file)?) {
            apply::apply(disk, root, &transaction)?;
            found += 1;
        }
    }
    if found > 0 {
        disk.sync_file_system(root)?;
    }
    files.iter().try_for_each(|(_, file)| disk.remove(file))?;
    Ok(found)
}

/// Lists the journal files with their numbers, in order.
fn journal_files(folder: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let number = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok());
        if let (Some(number), Some("wal")) = (number, path.extension().and_then(|ext| ext.to_str())) {
            files.push((number, path));
        }
    }
    files.sort();
    Ok(files)
}
