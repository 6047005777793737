//! The thread that carries out what the journal holds, and removes journal files that are of no more use.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use super::apply::apply;
use super::disk::Disk;
use super::journal_file::JournalFile;
use super::journal_files;
use super::queue::{Queue, Round};

/// Starts the carrier's thread beside a journal file of that number; it ends with the queue.
pub(super) fn start<D: Disk>(
    disk: D,
    root: PathBuf,
    folder: PathBuf,
    number: u64,
    queue: Arc<Queue>,
) -> io::Result<JoinHandle<()>> {
    let mut carrier = Carrier { disk, root, folder, number, queue, retiring: None, needed: 0, retired: 0 };
    std::thread::Builder::new().name("journal-carry".into()).spawn(move || carrier.run())
}

struct Carrier<D> {
    disk: D,
    root: PathBuf,
    folder: PathBuf,
    /// The last journal file that was made.
    number: u64,
    queue: Arc<Queue>,
    retiring: Option<JoinHandle<()>>,
    /// The first journal file that is needed, and the one before which they are being removed.
    needed: u64,
    retired: u64,
}

impl<D: Disk> Carrier<D> {
    fn run(&mut self) {
        let _watch = super::Watch(Arc::clone(&self.queue));
        loop {
            match self.queue.next_round() {
                Round::Carry(changes) => {
                    match apply(&self.disk, &self.root, &changes, || !self.queue.is_abandoned()) {
                        // Some of it may be left.
                        Ok(()) if self.queue.is_abandoned() => {}
                        Ok(()) => self.needed = self.queue.carried().unwrap_or(self.needed),
                        // What was acknowledged is in the journal: the next start carries it out.
                        Err(error) => self.queue.refuse(&super::refused(&error)),
                    }
                    self.make_spare();
                    self.retire_old();
                }
                Round::Close => {
                    self.wait_for_retiring();
                    retire(&self.disk, &self.root, &self.folder, u64::MAX);
                    return self.queue.closed();
                }
                Round::Leave => return self.wait_for_retiring(),
            }
        }
    }

    /// Makes the next journal file. Without one the writer goes on in the one it has.
    fn make_spare(&mut self) {
        if self.queue.refusal().is_some() || !self.queue.wants_spare() {
            return;
        }
        // What a failure leaves of a file is not touched again.
        self.number += 1;
        match JournalFile::create_filled(&self.disk, &self.folder, self.number) {
            Ok(spare) => self.queue.put_spare(spare),
            Err(error) => tracing::warn!(%error, "cannot make a new journal file"),
        }
    }

    /// Removes the journal files that are not needed, beside what is to be carried out meanwhile.
    fn retire_old(&mut self) {
        let is_busy = self.retiring.as_ref().is_some_and(|thread| !thread.is_finished());
        if is_busy || self.retired == self.needed {
            return;
        }
        let (disk, root, folder, before) =
            (self.disk.clone(), self.root.clone(), self.folder.clone(), self.needed);
        let retiring = move || retire(&disk, &root, &folder, before);
        match std::thread::Builder::new().name("journal-retire".into()).spawn(retiring) {
            Ok(thread) => (self.retiring, self.retired) = (Some(thread), before),
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
