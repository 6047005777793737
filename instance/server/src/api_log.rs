//! The request log: `api-logs/<local date>.jsonl`, one line per request to the API, for the operator's
//! figures. It never stands in a request's way: a line that finds the queue full is dropped, and a disk that
//! refuses one ends the log until the next start.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use jiff::Zoned;
use jiff::civil::Date;
use remotelab_config::atomic;
use serde::Serialize;

/// How many lines may wait for the disk.
const QUEUE: usize = 4_096;
/// How much is written at once, and how much one day may take. Bytes.
const BATCH: usize = 64 << 10;
const DAY_LIMIT: u64 = 64 << 20;
/// How long a stop waits for the disk.
const FLUSH: Duration = Duration::from_secs(1);

/// One request, as it is written.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Record {
    pub(crate) r#type: &'static str,
    pub(crate) seq: u64,
    pub(crate) pid: u32,
    pub(crate) port: u16,
    pub(crate) ts: String,
    pub(crate) method: String,
    pub(crate) pathname: String,
    pub(crate) route: String,
    pub(crate) search: String,
    pub(crate) query_keys: Vec<String>,
    pub(crate) request_bytes: u64,
    pub(crate) response_bytes: u64,
    pub(crate) status_code: u16,
    pub(crate) response_start_ms: f64,
    pub(crate) duration_ms: f64,
    pub(crate) cache_hit: bool,
    pub(crate) content_type: String,
    pub(crate) cache_control: String,
    pub(crate) aborted: bool,
    pub(crate) error: String,
}

/// Takes lines and writes them on a thread of its own, which is started with the first one.
#[derive(Debug)]
pub(crate) struct ApiLog {
    folder: PathBuf,
    seq: AtomicU64,
    queue: OnceLock<Option<SyncSender<Message>>>,
}

#[derive(Debug)]
enum Message {
    Line(Line),
    /// Answered when everything before it is written.
    Flush(SyncSender<()>),
}

#[derive(Debug)]
struct Line {
    day: Date,
    bytes: Vec<u8>,
}

impl ApiLog {
    /// Prepares the log; nothing is written before the first line.
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder, seq: AtomicU64::new(0), queue: OnceLock::new() }
    }

    /// The number of the next request of this process.
    pub(crate) fn next(&self) -> u64 {
        self.seq.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Hands a line to the writer. Never blocks.
    pub(crate) fn write(&self, record: &Record) {
        let Some(queue) = self.queue.get_or_init(|| start(self.folder.clone())) else { return };
        let Ok(mut bytes) = serde_json::to_vec(record) else { return };
        bytes.push(b'\n');
        // Full: requests come faster than the disk writes. Gone: the log has ended.
        let _ = queue.try_send(Message::Line(Line { day: Zoned::now().date(), bytes }));
    }

    /// Waits until what was handed over is written, for a moment at most. Blocks.
    pub(crate) fn flush(&self) {
        let Some(Some(queue)) = self.queue.get() else { return };
        let (done, written) = sync_channel(1);
        if queue.try_send(Message::Flush(done)).is_ok() {
            let _ = written.recv_timeout(FLUSH);
        }
    }
}

fn start(folder: PathBuf) -> Option<SyncSender<Message>> {
    let (queue, lines) = sync_channel(QUEUE);
    let write = move || {
        if let Err(error) = write_all(&folder, &lines, DAY_LIMIT) {
            tracing::warn!(%error, folder = %folder.display(), "requests are not logged any longer");
        }
    };
    thread::Builder::new().name("api-log".to_owned()).spawn(write).ok()?;
    Some(queue)
}

fn write_all(folder: &Path, messages: &Receiver<Message>, limit: u64) -> io::Result<()> {
    let mut current: Option<Day> = None;
    while let Ok(first) = messages.recv() {
        let first = match first {
            Message::Line(first) => first,
            Message::Flush(done) => {
                let _ = done.try_send(());
                continue;
            }
        };
        let day = first.day;
        let mut batch = first.bytes;
        let mut next = None;
        while batch.len() < BATCH {
            match messages.try_recv() {
                Ok(Message::Line(line)) if line.day == day => batch.extend_from_slice(&line.bytes),
                Ok(other) => {
                    next = Some(other);
                    break;
                }
                Err(_) => break,
            }
        }
        append(&mut current, folder, day, &batch, limit)?;
        match next {
            Some(Message::Line(line)) => append(&mut current, folder, line.day, &line.bytes, limit)?,
            Some(Message::Flush(done)) => drop(done.try_send(())),
            None => {}
        }
    }
    Ok(())
}

/// The file of one day.
struct Day {
    date: Date,
    file: File,
    length: u64,
    is_full: bool,
}

fn append(current: &mut Option<Day>, folder: &Path, date: Date, batch: &[u8], limit: u64) -> io::Result<()> {
    if current.as_ref().is_none_or(|day| day.date != date) {
        *current = Some(Day::open(folder, date)?);
    }
    let Some(day) = current else { return Ok(()) };
    if day.length + batch.len() as u64 > limit {
        if !day.is_full {
            tracing::warn!(%date, "the request log of today is full");
        }
        day.is_full = true;
        return Ok(());
    }
    day.file.write_all(batch)?;
    day.length += batch.len() as u64;
    Ok(())
}

impl Day {
    fn open(folder: &Path, date: Date) -> io::Result<Self> {
        atomic::create_private_dir(folder).map_err(|error| error.source)?;
        let path = folder.join(format!("{date}.jsonl"));
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(&path)?;
        Ok(Self { date, file, length: fs::metadata(&path)?.len(), is_full: false })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(root: &Path, lines: &[(&str, &str)], limit: u64) -> Vec<(String, String)> {
        let (queue, receiver) = sync_channel(lines.len());
        for (day, text) in lines {
            let line = Line { day: day.parse().unwrap(), bytes: text.as_bytes().to_vec() };
            queue.send(Message::Line(line)).unwrap();
        }
        drop(queue);
        write_all(root, &receiver, limit).unwrap();
        let mut files: Vec<_> = fs::read_dir(root)
            .unwrap()
            .map(|entry| entry.unwrap())
            .map(|entry| {
                (entry.file_name().into_string().unwrap(), fs::read_to_string(entry.path()).unwrap())
            })
            .collect();
        files.sort();
        files
    }

    #[test]
    fn every_day_has_its_file_and_its_limit() {
        let root = tempfile::tempdir().unwrap();
        let lines = [("2026-11-22", "a\n"), ("2026-11-22", "b\n"), ("2026-11-23", "c\n")];
        let expected = |first: &str, second: &str| {
            vec![
                ("2026-11-22.jsonl".to_owned(), first.to_owned()),
                ("2026-11-23.jsonl".to_owned(), second.to_owned()),
            ]
        };
        assert_eq!(written(root.path(), &lines, 100), expected("a\nb\n", "c\n"));
        // A start later on the same day goes on in the same file, up to the limit.
        assert_eq!(written(root.path(), &lines, 5), expected("a\nb\n", "c\nc\n"));
    }

    #[test]
    fn what_is_flushed_is_written() {
        let root = tempfile::tempdir().unwrap();
        let (queue, receiver) = sync_channel(4);
        let (done, written) = sync_channel(1);
        let line = || Message::Line(Line { day: Date::constant(2026, 11, 22), bytes: b"a\n".to_vec() });
        for message in [line(), line(), Message::Flush(done)] {
            queue.send(message).unwrap();
        }
        let folder = root.path().to_owned();
        let writer = thread::spawn(move || write_all(&folder, &receiver, 100));
        written.recv_timeout(Duration::from_secs(20)).unwrap();
        assert_eq!(fs::read_to_string(root.path().join("2026-11-22.jsonl")).unwrap(), "a\na\n");
        drop(queue);
        writer.join().unwrap().unwrap();
    }

    #[test]
    fn a_disk_that_refuses_ends_the_log() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("api-logs");
        fs::write(&folder, "").unwrap();
        let (queue, receiver) = sync_channel(1);
        let line = Line { day: Date::constant(2026, 11, 22), bytes: Vec::new() };
        queue.send(Message::Line(line)).unwrap();
        assert!(write_all(&folder, &receiver, 1).is_err());
    }
}
