//! The log files of the children, written by one thread and capped in size.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::mpsc;

/// A log that has reached this many bytes is renamed to `.1`, replacing the one before.
const MAX_BYTES: u64 = 10 * 1024 * 1024;

/// Lines waiting for the disk; writers wait when it is full.
const QUEUE: usize = 256;

/// Takes lines for any log file. The thread behind it ends with the last copy.
#[derive(Clone)]
pub(crate) struct Writer {
    lines: mpsc::Sender<(Arc<Path>, Vec<u8>)>,
}

impl Writer {
    /// Starts the writing thread.
    pub(crate) fn start() -> io::Result<Self> {
        let (lines, queue) = mpsc::channel(QUEUE);
        std::thread::Builder::new().name("logs".to_owned()).spawn(move || write_all(queue))?;
        Ok(Self { lines })
    }

    /// Appends one line.
    pub(crate) async fn line(&self, path: &Arc<Path>, line: &[u8]) {
        let mut bytes = Vec::with_capacity(line.len() + 1);
        bytes.extend_from_slice(line);
        bytes.push(b'\n');
        // The thread only ends after every sender.
        let _ = self.lines.send((Arc::clone(path), bytes)).await;
    }
}

fn write_all(mut queue: mpsc::Receiver<(Arc<Path>, Vec<u8>)>) {
    let mut logs: HashMap<Arc<Path>, Log> = HashMap::new();
    while let Some((path, bytes)) = queue.blocking_recv() {
        let log = logs.entry(Arc::clone(&path)).or_insert_with(|| Log::new(&path, MAX_BYTES));
        if let Err(error) = log.append(&bytes)
            && !log.reported
        {
            log.reported = true;
            tracing::warn!(path = %path.display(), %error, "cannot write a log file");
        }
    }
}

struct Log {
    path: PathBuf,
    max_bytes: u64,
    open: Option<(File, u64)>,
    reported: bool,
}

impl Log {
    fn new(path: &Path, max_bytes: u64) -> Self {
        Self { path: path.to_owned(), max_bytes, open: None, reported: false }
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.open.as_ref().is_some_and(|(file, _)| !is_at(file, &self.path)) {
            // It went away with a deleted guest; what is written now is somebody else's.
            self.open = None;
        }
        if self.open.as_ref().is_some_and(|(_, size)| *size >= self.max_bytes) {
            self.open = None;
            fs::rename(&self.path, self.path.with_extension("log.1"))?;
        }
        let (file, size) = match &mut self.open {
            Some(open) => open,
            closed => {
                let file = OpenOptions::new().append(true).create(true).mode(0o600).open(&self.path)?;
                let size = file.metadata()?.len();
                closed.insert((file, size))
            }
        };
        file.write_all(bytes)?;
        *size += bytes.len() as u64;
        Ok(())
    }
}

fn is_at(file: &File, path: &Path) -> bool {
    let id = |data: io::Result<fs::Metadata>| data.map(|data| (data.dev(), data.ino())).ok();
    id(file.metadata()) == id(fs::metadata(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_log_is_put_aside_and_only_one_is_kept() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("owner.log");
        let mut log = Log::new(&path, 8);
        for line in ["first\n", "second\n", "third\n", "fourth\n", "fifth\n"] {
            log.append(line.as_bytes()).unwrap();
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "fifth\n");
        let aside = fs::read_to_string(root.path().join("owner.log.1")).unwrap();
        assert_eq!(aside, "third\nfourth\n");
    }

    #[test]
    fn a_log_that_was_moved_away_is_begun_anew() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("guest-x.log");
        let mut log = Log::new(&path, 100);
        log.append(b"old\n").unwrap();
        fs::rename(&path, root.path().join("trash")).unwrap();
        log.append(b"new\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new\n");
    }
}
