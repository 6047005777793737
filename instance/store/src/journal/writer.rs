//! The thread that owns the journal file.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use super::disk::Disk;
use super::journal_file::JournalFile;
use super::queue::{Queue, Request};

/// Starts the writer's thread with a new file of that number; it ends with the queue.
pub(super) fn start<D: Disk>(
    disk: D,
    folder: &Path,
    number: u64,
    queue: Arc<Queue>,
) -> io::Result<JoinHandle<()>> {
    let current = JournalFile::create(&disk, folder, number)?;
    let mut writer = Writer { disk, current, queue };
    std::thread::Builder::new().name("journal".into()).spawn(move || writer.run())
}

struct Writer<D> {
    disk: D,
    current: JournalFile,
    queue: Arc<Queue>,
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
            if outcome.is_ok() {
                self.change_files();
            }
        }
    }

    /// Appends the records of a batch and makes them durable.
    fn append(&mut self, batch: &[Request]) -> io::Result<()> {
        let records: Vec<&[u8]> = batch.iter().map(|request| request.record.as_slice()).collect();
        let bytes = records.concat();
        if bytes.is_empty() {
            return Ok(());
        }
        let JournalFile { path, file, length, .. } = &mut self.current;
        self.disk.write(path, file, *length, &bytes)?;
        self.disk.sync(path, file)?;
        *length += bytes.len() as u64;
        Ok(())
    }

    /// Goes on in the next file when this one is full or not filled, as soon as there is one.
    fn change_files(&mut self) {
        if self.current.is_filled && self.current.length <= D::JOURNAL_LIMIT {
            return;
        }
        if let Some(spare) = self.queue.take_spare() {
            self.current = spare;
        }
    }
}
