//! The thread that owns the journal file.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use super::disk::Disk;
use super::queue::{Queue, Request};

/// Starts the writer's thread with a new file of that number; it ends with the queue.
pub(super) fn start<D: Disk>(
    disk: D,
    folder: PathBuf,
    number: u64,
    queue: Arc<Queue>,
) -> io::Result<JoinHandle<()>> {
    let current = JournalFile::create(&disk, &folder, number)?;
    let mut writer = Writer { disk, folder, current, queue };
    std::thread::Builder::new().name("journal".into()).spawn(move || writer.run())
}

struct Writer<D> {
    disk: D,
    folder: PathBuf,
    current: JournalFile,
    queue: Arc<Queue>,
}

struct JournalFile {
    path: PathBuf,
    file: File,
    number: u64,
    /// Up to where it holds acknowledged records.
    length: u64,
}

impl<D: Disk> Writer<D> {
    fn run(&mut self) {
        let _watch = super::Watch(Arc::clone(&self.queue));
        while let Some(batch) = self.queue.next_batch() {
            let outcome = self.append(&batch).map_err(|error| {
                // Memory is now ahead of the disk: accept nothing until a restart reads the disk again.
                let JournalFile { path, file, length, .. } = &self.current;
                let _ = self.disk.cut(path, file, *length);
                super::refused(&error)
            });
            match &outcome {
                Ok(()) => self.queue.synced(batch.len()),
                Err(error) => self.queue.refuse(error),
            }
            for Request { done, .. } in batch {
                // The caller may have stopped waiting; the change stands all the same.
                let _ = done.send(outcome.clone());
            }
            if outcome.is_ok() && self.current.length > D::JOURNAL_LIMIT {
                self.begin_next();
            }
        }
    }

    /// Appends the records of a batch and makes them durable.
    fn append(&mut self, batch: &[Request]) -> io::Result<()> {
        let records: Option<Vec<&[u8]>> = batch.iter().map(|request| request.record.as_deref()).collect();
        let too_large = || io::Error::new(io::ErrorKind::FileTooLarge, "a change is larger than 1 GiB");
        let bytes = records.ok_or_else(too_large)?.concat();
        if bytes.is_empty() {
            return Ok(());
        }
        let JournalFile { path, file, length, .. } = &mut self.current;
        self.disk.write(path, file, *length, &bytes)?;
        self.disk.sync(path, file)?;
        *length += bytes.len() as u64;
        Ok(())
    }

    fn begin_next(&mut self) {
        match JournalFile::create(&self.disk, &self.folder, self.current.number + 1) {
            Ok(next) => {
                self.current = next;
                self.queue.begun(self.current.number);
            }
            Err(error) => tracing::warn!(%error, "cannot begin a new journal file"),
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
