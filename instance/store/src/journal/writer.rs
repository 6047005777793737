//! The thread that owns the journal file.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Receiver;
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use super::apply::apply;
use super::disk::Disk;
use super::record::{self, Transaction};
use super::{Error, journal_files};

/// How many transactions share one sync.
const BATCH: usize = 256;

/// A transaction and who waits for it.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) transaction: Transaction,
    pub(super) done: oneshot::Sender<Result<(), Error>>,
    /// Whether this is the last one: the journal is then emptied.
    pub(super) last: bool,
}

/// Starts the writer's thread with a new file of that number; it ends when every handle on the journal
/// is gone.
pub(super) fn start<D: Disk>(
    disk: D,
    root: PathBuf,
    folder: PathBuf,
    number: u64,
    requests: Receiver<Request>,
    applied: Arc<AtomicU64>,
) -> io::Result<()> {
    let current = JournalFile::create(&disk, &folder, number)?;
    let mut writer = Writer { disk, root, folder, current, applied, refused: None, retiring: None };
    std::thread::Builder::new().name("journal".into()).spawn(move || writer.run(&requests))?;
    Ok(())
}

struct Writer<D> {
    disk: D,
    root: PathBuf,
    folder: PathBuf,
    current: JournalFile,
    applied: Arc<AtomicU64>,
    refused: Option<Error>,
    retiring: Option<JoinHandle<()>>,
}

struct JournalFile {
    path: PathBuf,
    file: File,
    number: u64,
    /// Up to where it holds acknowledged records.
    length: u64,
}

impl<D: Disk> Writer<D> {
    fn run(&mut self, requests: &Receiver<Request>) {
        while let Ok(first) = requests.recv() {
            let mut batch = vec![first];
            batch.extend(requests.try_iter().take(BATCH - 1));
            let outcome = self.commit(&batch);
            self.applied.fetch_add(batch.len() as u64, Ordering::SeqCst);
            let last = batch.iter().any(|request| request.last);
            if last && outcome.is_ok() {
                self.wait_for_retiring();
                retire(&self.disk, &self.root, &self.folder, u64::MAX);
            }
            for request in batch {
                // The caller may have stopped waiting; the change stands all the same.
                let _ = request.done.send(outcome.clone());
            }
            if last {
                return;
            }
            if outcome.is_ok() && self.current.length > D::JOURNAL_LIMIT {
                self.rotate();
            }
        }
    }

    fn commit(&mut self, batch: &[Request]) -> Result<(), Error> {
        if let Some(error) = &self.refused {
            return Err(error.clone());
        }
        self.try_commit(batch).map_err(|error| {
            // Memory is now ahead of the disk: accept nothing until a restart reads the disk again.
            tracing::error!(%error, "storage refused a write; restart the instance after making room");
            let JournalFile { path, file, length, .. } = &self.current;
            let _ = self.disk.cut(path, file, *length);
            let error = Error::Refused(error.to_string().into());
            self.refused = Some(error.clone());
            error
        })
    }

    fn try_commit(&mut self, batch: &[Request]) -> io::Result<()> {
        let mut bytes = Vec::new();
        for Request { transaction, .. } in batch {
            if !transaction.fits() {
                return Err(io::Error::new(io::ErrorKind::FileTooLarge, "a change is larger than 1 GiB"));
            }
            record::encode(transaction, &mut bytes);
        }
        if bytes.is_empty() {
            return Ok(());
        }
        let JournalFile { path, file, length, .. } = &mut self.current;
        self.disk.write(path, file, *length, &bytes)?;
        self.disk.sync(path, file)?;
        *length += bytes.len() as u64;
        batch.iter().try_for_each(|request| apply(&self.disk, &self.root, &request.transaction))
    }

    /// Begins a new file and retires the old ones once their writes are durable by themselves.
    fn rotate(&mut self) {
        if self.retiring.as_ref().is_some_and(|thread| !thread.is_finished()) {
            return;
        }
        match JournalFile::create(&self.disk, &self.folder, self.current.number + 1) {
            Ok(next) => self.current = next,
            Err(error) => return tracing::warn!(%error, "cannot begin a new journal file"),
        }
        let (disk, root, folder) = (self.disk.clone(), self.root.clone(), self.folder.clone());
        let current = self.current.number;
        let retiring = move || retire(&disk, &root, &folder, current);
        match std::thread::Builder::new().name("journal-retire".into()).spawn(retiring) {
            Ok(thread) => self.retiring = Some(thread),
            Err(error) => tracing::warn!(%error, "cannot retire old journal files"),
        }
    }

    fn wait_for_retiring(&mut self) {
        if let Some(thread) = self.retiring.take() {
            // It only ever ends with a warning; a panic in it leaves old files, which is safe.
            let _ = thread.join();
        }
    }
}

impl JournalFile {
    fn create(disk: &impl Disk, folder: &Path, number: u64) -> io::Result<Self> {
        let path = folder.join(format!("{number:09}.wal"));
        let file = disk.create_new(&path)?;
        disk.sync_folder(folder)?;
        Ok(Self { path, file, number, length: 0 })
    }
}

/// Deletes the files before a number once what they tell is durable by itself, oldest first: what a
/// crash leaves of them is then always the latest part.
fn retire(disk: &impl Disk, root: &Path, folder: &Path, before: u64) {
    let retired = disk.sync_file_system(root).and_then(|()| {
        let old = journal_files(folder)?.into_iter().filter(|(number, _)| *number < before);
        old.map(|(_, path)| path).try_for_each(|path| disk.remove(&path))
    });
    if let Err(error) = retired {
        tracing::warn!(%error, "cannot retire old journal files");
    }
}
