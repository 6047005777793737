//! The log of requests: lines of JSON, written by a thread of its own.

mod entry;
mod file;
mod journal;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::mpsc;

use super::metrics::Counter;
use crate::settings::Log;
use file::File;
use journal::Journal;

pub(crate) use entry::{End, Entry, Facts, Told, malformed};

/// Lines that wait to be written; what is more is lost and counted.
const WAITING: usize = 4096;
/// Lines come together for this long, so that requests wake the thread seldom.
const GATHER: Duration = Duration::from_millis(20);
/// Who may watch at a time.
const WATCHERS: usize = 4;
/// Lines that wait for a watcher.
const WATCHED: usize = 256;

/// Takes lines and never waits.
#[derive(Debug)]
pub(crate) struct Ledger {
    to_writer: Option<SyncSender<Message>>,
    writer: Mutex<Option<JoinHandle<()>>>,
    /// Of requests that went well one of so many is written.
    sample: u32,
    pub(crate) lost: Counter,
    is_watched: AtomicBool,
    watchers: Mutex<Vec<Watcher>>,
}

#[derive(Debug)]
enum Message {
    Line(String),
    End,
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
        let (to_writer, writer) = if log.access { writer(log) } else { (None, None) };
        Self {
            to_writer,
            writer: Mutex::new(writer),
            sample: log.sample,
            lost: Counter::default(),
            is_watched: AtomicBool::new(false),
            watchers: Mutex::default(),
        }
    }

    /// Tells whether anybody wants lines.
    pub(crate) fn is_wanted(&self) -> bool {
        self.to_writer.is_some() || self.is_watched.load(Ordering::Relaxed)
    }

    /// Takes a finished line.
    pub(crate) fn take(&self, line: String, told: Told<'_>) {
        if self.is_watched.load(Ordering::Relaxed) {
            self.show(&line, told.tenant);
        }
        let Some(to_writer) = self.to_writer.as_ref().filter(|_| told.is_logged) else { return };
        if told.went_well && self.sample > 1 && !told.chance.is_multiple_of(self.sample) {
            return;
        }
        if to_writer.try_send(Message::Line(line)).is_err() {
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
        if let Some(to_writer) = &self.to_writer {
            let _ = to_writer.send(Message::End);
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

fn writer(log: &Log) -> (Option<SyncSender<Message>>, Option<JoinHandle<()>>) {
    let (to_writer, lines) = sync_channel(WAITING);
    let file = File::new(log.clone());
    let journal = log.journal.then(Journal::system);
    match thread::Builder::new().name("access-log".into()).spawn(move || write(&lines, file, journal)) {
        Ok(thread) => (Some(to_writer), Some(thread)),
        Err(error) => {
            tracing::error!(%error, "requests are not logged");
            (None, None)
        }
    }
}

fn write(lines: &Receiver<Message>, mut file: File, mut journal: Option<Journal>) {
    let mut batch = String::new();
    while let Ok(Message::Line(first)) = lines.recv() {
        thread::sleep(GATHER);
        let mut ends = false;
        let mut next = Some(first);
        while let Some(line) = next.take() {
            if let Some(journal) = &mut journal {
                journal.send(&line);
            }
            batch.push_str(&line);
            batch.push('\n');
            match lines.try_recv() {
                Ok(Message::Line(line)) => next = Some(line),
                Ok(Message::End) => ends = true,
                Err(_) => {}
            }
        }
        file.append(&batch);
        batch.clear();
        if ends {
            return;
        }
    }
}
