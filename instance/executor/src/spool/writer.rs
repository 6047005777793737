//! Appends an executor's lines to the spool; one writer a run, inside its runner.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use jiff::Timestamp;
use remotelab_config::atomic;
use remotelab_protocol::time;

use super::{PREVIEW_CHARS, Stored, Stream, artifact_path, spool_path};

/// The most that is kept of one line, in bytes; the rest of it is dropped.
const ARTIFACT_MAX: u64 = 64 << 20;

/// The spool's writing end.
pub(crate) struct Writer {
    file: File,
    pending: Vec<u8>,
}

impl Writer {
    pub(crate) fn create(run_dir: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(spool_path(run_dir))?;
        Ok(Self { file, pending: Vec::new() })
    }

    /// Adds a line; it is in the file after the next [`Writer::flush`].
    pub(crate) fn push(&mut self, stream: Stream, line: &str) {
        self.record(&Stored {
            ts: time::iso(Timestamp::now()),
            stream,
            line: line.to_owned(),
            line_artifact: None,
            line_bytes: None,
            json: None,
        });
    }

    /// Adds a line that is too long for a record.
    pub(crate) fn push_artifact(&mut self, stream: Stream, artifact: Artifact) -> io::Result<()> {
        artifact.file.sync_data()?;
        self.record(&Stored {
            ts: time::iso(Timestamp::now()),
            stream,
            line: String::from_utf8_lossy(&artifact.head).chars().take(PREVIEW_CHARS).collect(),
            line_artifact: Some(artifact.name),
            line_bytes: Some(artifact.bytes),
            json: None,
        });
        Ok(())
    }

    /// Hands whole records to the file.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.file.write_all(&self.pending)?;
        self.pending.clear();
        Ok(())
    }

    /// Makes everything durable.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        self.flush()?;
        self.file.sync_data()
    }

    fn record(&mut self, stored: &Stored) {
        serde_json::to_writer(&mut self.pending, stored)
            .expect("a record of text and numbers is always JSON");
        self.pending.push(b'\n');
    }
}

/// A line on its way to a file of its own.
pub(crate) struct Artifact {
    name: String,
    file: File,
    head: Vec<u8>,
    bytes: u64,
}

impl Artifact {
    pub(crate) fn create(run_dir: &Path) -> io::Result<Self> {
        let name = format!("line_{:012x}", rand::random::<u64>() >> 16);
        let path = artifact_path(run_dir, &name);
        if let Some(folder) = path.parent() {
            atomic::create_private_dir(folder).map_err(io::Error::other)?;
        }
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        Ok(Self { name, file, head: Vec::new(), bytes: 0 })
    }

    pub(crate) fn write(&mut self, piece: &[u8]) -> io::Result<()> {
        let room = (PREVIEW_CHARS * 4).saturating_sub(self.head.len());
        self.head.extend(piece.iter().take(room));
        let left = usize::try_from(ARTIFACT_MAX.saturating_sub(self.bytes)).unwrap_or(usize::MAX);
        self.file.write_all(&piece[..piece.len().min(left)])?;
        self.bytes += piece.len() as u64;
        Ok(())
    }
}
