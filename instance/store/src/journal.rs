//! The write-ahead journal: durable first, carried out later, many at a time.
//!
//! Two threads are at work. The writer takes every transaction that waits, appends them to the journal file
//! in one write, syncs once and answers all of them. The carrier writes the files behind it, each of them
//! once however often it was changed meanwhile; until then [`Files`] reads them from memory. It also makes the
//! next journal file, which the writer goes on in when one is full; the old one is deleted when what it holds
//! is carried out and the file system has been synced.

mod apply;
mod carrier;
mod changes;
pub(crate) mod disk;
mod files;
mod journal_file;
mod queue;
pub mod record;
mod writer;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use changes::Changes;
use disk::{Disk, RealDisk};
use queue::Queue;
use record::Rest;

pub use files::Files;
pub use record::{Op, Transaction};

/// Why a transaction was not made durable.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The disk refused; nothing is accepted until the folder is opened anew.
    #[error("storage refused a write: {0}")]
    Refused(Arc<str>),
    /// The change is larger than a record may be. It alone is refused.
    #[error("a change is larger than 1 GiB")]
    TooLarge,
    /// The journal was closed.
    #[error("storage is closed")]
    Closed,
}

/// A handle on the journal; cheap to clone. When the last one goes without [`Journal::close`], the next start
/// carries out what is left.
#[derive(Clone, Debug)]
pub struct Journal {
    work: Arc<Work>,
    files: Files,
}

/// The threads and what they work on.
#[derive(Debug)]
struct Work {
    queue: Arc<Queue>,
    threads: Vec<JoinHandle<()>>,
}

/// What was found in the journal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// How many transactions were carried out.
    pub transactions: usize,
    /// Journal files that went bad, with transactions in them that were acknowledged and are lost.
    pub damaged: Vec<PathBuf>,
}

/// A transaction on its way to the disk.
#[derive(Debug)]
#[must_use = "nothing may be acknowledged before its commit is awaited"]
pub struct Commit(oneshot::Receiver<Result<(), Error>>);

impl Journal {
    /// Opens the journal of a root folder: carries out what a crash left behind, then starts the
    /// threads.
    ///
    /// # Errors
    /// When the journal folder cannot be made, read or synced.
    pub fn open(root: &Path) -> io::Result<(Self, Replayed)> {
        Self::open_on(RealDisk, root)
    }

    pub(crate) fn open_on<D: Disk>(disk: D, root: &Path) -> io::Result<(Self, Replayed)> {
        let folder = root.join("journal");
        disk.make_folder(&folder)?;
        let files = journal_files(&folder)?;
        // A number is never used twice, so that nobody takes a new file for an old one.
        let number = files.last().map_or(1, |(last, _)| last + 1);
        let found = replay(&disk, root, &files)?;
        let queue = Arc::new(Queue::new(D::PACE));
        let files = Files::ahead_of(root, &queue);
        let mut work = Work { queue: Arc::clone(&queue), threads: Vec::new() };
        work.threads.push(writer::start(disk.clone(), &folder, number, Arc::clone(&queue))?);
        work.threads.push(carrier::start(disk, root.to_owned(), folder, number, queue)?);
        Ok((Self { work: Arc::new(work), files }, found))
    }

    /// Hands a transaction to the writer. Transactions are in the journal in the order of these calls, and
    /// what they change can be read from [`Journal::files`] at once; when very many wait, the call blocks
    /// until there is room.
    pub fn enqueue(&self, transaction: Transaction) -> Commit {
        self.work.queue.add(transaction)
    }

    /// The files as they are when everything is carried out.
    #[must_use]
    pub fn files(&self) -> &Files {
        &self.files
    }

    /// Waits until everything that was enqueued before is durable. Costs nothing when all is.
    ///
    /// # Errors
    /// When the disk has refused some of it, or the journal is closed meanwhile.
    pub async fn barrier(&self) -> Result<(), Error> {
        if self.work.queue.is_synced() {
            return Ok(());
        }
        self.enqueue(Transaction::default()).durable().await
    }

    /// Asks that everything that was enqueued before be carried out now; the commit waits for that.
    pub fn carry_out(&self) -> Commit {
        self.work.queue.carry_out()
    }

    /// Tells why nothing is accepted any longer; `None` while all is well.
    #[must_use]
    pub fn refusal(&self) -> Option<Error> {
        self.work.queue.refusal()
    }

    /// Waits until something is refused; memory may be ahead of the disk then.
    pub async fn refused(&self) {
        let mut refusing = self.work.queue.refusing();
        // The sender lives as long as the queue.
        let _ = refusing.wait_for(|refused| *refused).await;
    }

    /// Carries out what waits, empties the journal and stops. Blocks.
    ///
    /// # Errors
    /// When the disk has refused something, or the journal was closed before.
    pub fn close(&self) -> Result<(), Error> {
        self.work.queue.close().wait()
    }
}

impl Drop for Work {
    /// Ends the threads, so that whoever opens the folder next has it for himself.
    fn drop(&mut self) {
        self.queue.abandon();
        for thread in self.threads.drain(..) {
            // Its panic was told by itself.
            let _ = thread.join();
        }
    }
}

impl Commit {
    /// Waits until what it stands for has happened: a transaction is durable.
    ///
    /// # Errors
    /// When the disk refused or the journal is closed: the change must then not be acknowledged.
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

/// Tells all who wait when a thread of the journal panics.
struct Watch(Arc<Queue>);

impl Drop for Watch {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.refuse(&Error::Closed);
        }
    }
}

fn refused(error: &io::Error) -> Error {
    tracing::error!(%error, "storage refused a write");
    Error::Refused(error.to_string().into())
}

/// Carries out the transactions of all journal files, oldest first, makes that durable and removes
/// the files. One in which acknowledged transactions cannot be read is kept under another name.
fn replay(disk: &impl Disk, root: &Path, files: &[(u64, PathBuf)]) -> io::Result<Replayed> {
    let mut replayed = Replayed::default();
    let mut done: Vec<(&Path, Rest)> = Vec::new();
    for (_, file) in files {
        let (transactions, rest) = record::decode(&fs::read(file)?);
        if !transactions.is_empty() {
            // Nothing is written to a file before the one before it is whole.
            done.iter_mut()
                .filter(|(_, rest)| *rest == Rest::Torn)
                .for_each(|(_, rest)| *rest = Rest::Damaged);
        }
        done.push((file, rest));
        replayed.transactions += transactions.len();
        let mut changes = Changes::default();
        transactions.into_iter().flat_map(Transaction::into_ops).for_each(|op| changes.add(op));
        apply::apply(disk, root, &changes, || true)?;
    }
    if replayed.transactions > 0 {
        disk.sync_file_system(root)?;
    }
    for (file, rest) in done {
        if rest == Rest::Damaged {
            let kept = file.with_extension("wal.damaged");
            disk.rename(file, &kept)?;
            replayed.damaged.push(kept);
        } else {
            disk.remove(file)?;
        }
    }
    Ok(replayed)
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
