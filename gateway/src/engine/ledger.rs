//! The log of requests: lines of JSON, written by a thread of its own.

mod batch;
mod entry;
mod file;
mod journal;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use tokio::sync::mpsc;

use super::metrics::Counter;
use crate::settings::Log;
use batch::Batch;
use file::File;
use journal::Journal;

pub(crate) use entry::{End, Entry, Facts, Told, malformed};

/// Who may watch at a time.
const WATCHERS: usize = 4;
/// Lines that wait for a watcher.
const WATCHED: usize = 256;

/// Takes lines and never waits.
#[derive(Debug)]
pub(crate) struct Ledger {
    /// What waits to be written, if somebody writes.
    batch: Option<Arc<Batch>>,
    writer: Mutex<Option<JoinHandle<()>>>,
    /// Of requests that went well one of so many is written.
    sample: u32,
    pub(crate) lost: Counter,
    is_watched: AtomicBool,
    watchers: Mutex<Vec<Watcher>>,
}

/// Somebody who looks at the requests of one tenant.
#[derive(Debug)]
struct Watcher {
    tenant: String,
    lines: mpsc::Sender<String>,
}

impl Ledger {
    /// Starts the writer, if there is to be one.
    pub(crate) fn start(log: &Log) -> Self {
        let (batch, writer) = log.access.then(|| writer(log)).flatten().unzip();
        Self {
            batch,
            writer: Mutex::new(writer),
            sample: log.sample,
            lost: Counter::default(),
            is_watched: AtomicBool::new(false),
            watchers: Mutex::default(),
        }
    }

    /// Tells whether anybody wants lines.
    pub(crate) fn is_wanted(&self) -> bool {
        self.batch.is_some() || self.is_watched.load(Ordering::Relaxed)
    }

    /// Takes a finished line.
    pub(crate) fn take(&self, line: &str, told: Told<'_>) {
        if self.is_watched.load(Ordering::Relaxed) {
            self.show(line, told.tenant);
        }
        let Some(batch) = self.batch.as_ref().filter(|_| told.is_logged) else { return };
        if told.went_well && self.sample > 1 && !told.chance.is_multiple_of(self.sample) {
            return;
        }
        if !batch.push(line) {
            self.lost.add(1);
        }
    }

    /// Watches a tenant; `None` when too many watch already.
    pub(crate) fn watch(&self, tenant: &str) -> Option<mpsc::Receiver<String>> {
        let mut watchers = self.watchers.lock().unwrap_or_else(PoisonError::into_inner);
        watchers.retain(|watcher| !watcher.lines.is_closed());
        if watchers.len() >= WATCHERS {
            return None;
        }
        let (lines, watched) = mpsc::channel(WATCHED);
        watchers.push(Watcher { tenant: tenant.to_owned(), lines });
        self.is_watched.store(true, Ordering::Relaxed);
        Some(watched)
    }

    /// Waits until everything is written. Blocks.
    pub(crate) fn finish(&self) {
        if let Some(batch) = &self.batch {
            batch.close();
        }
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(writer) = writer {
            let _ = writer.join();
        }
    }

    fn show(&self, line: &str, tenant: Option<&str>) {
        let mut watchers = self.watchers.lock().unwrap_or_else(PoisonError::into_inner);
        watchers.retain(|watcher| !watcher.lines.is_closed());
        for watcher in watchers.iter().filter(|watcher| tenant == Some(&*watcher.tenant)) {
            // Whoever reads too slowly misses some.
            let _ = watcher.lines.try_send(line.to_owned());
        }
        self.is_watched.store(!watchers.is_empty(), Ordering::Relaxed);
    }
}

fn writer(log: &Log) -> Option<(Arc<Batch>, JoinHandle<()>)> {
    let batch = Arc::new(Batch::default());
    let lines = Arc::clone(&batch);
    let file = File::new(log.clone());
    let journal = log.journal.then(Journal::system);
    thread::Builder::new()
        .name("access-log".into())
        .spawn(move || write(&lines, file, journal))
        .inspect_err(|error| tracing::error!(%error, "requests are not logged"))
        .ok()
        .map(|thread| (batch, thread))
}

fn write(batch: &Batch, mut file: File, mut journal: Option<Journal>) {
    let mut lines = String::new();
    while batch.swap(&mut lines) {
        if let Some(journal) = &mut journal {
            lines.lines().for_each(|line| journal.send(line));
        }
        file.append(&lines);
    }
}
