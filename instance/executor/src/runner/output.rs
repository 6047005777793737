//! An executor's two streams, read as they come.

use std::future::pending;
use std::io;
use std::path::Path;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Child;

use super::codex_metrics;
use super::lines::Lines;
use crate::spool::{Stream, Writer};

/// Both streams of an executor, on their way to the spool.
pub(super) struct Output {
    stdout: Source,
    stderr: Source,
    thread: Option<String>,
}

impl Output {
    pub(super) fn new(run_dir: &Path, child: &mut Child) -> Self {
        Self {
            stdout: Source::new(child.stdout.take(), Lines::new(run_dir, Stream::Stdout)),
            stderr: Source::new(child.stderr.take(), Lines::new(run_dir, Stream::Stderr)),
            thread: None,
        }
    }

    pub(super) fn ended(&self) -> bool {
        self.stdout.pipe.is_none() && self.stderr.pipe.is_none()
    }

    /// Spools what either stream has next. Writing to the spool is the runner's whole job, so that it may
    /// block the one thread for it.
    pub(super) async fn read(&mut self, spool: &mut Writer) -> io::Result<()> {
        let mut seen = |line: &str| {
            if self.thread.is_none() {
                self.thread = codex_metrics::thread_id(line);
            }
        };
        tokio::select! {
            count = self.stdout.read() => self.stdout.spool(count, spool, &mut seen),
            count = self.stderr.read() => self.stderr.spool(count, spool, &mut |_| {}),
        }
    }

    /// Spools unfinished last lines. Returns the Codex thread, when one was named.
    pub(super) fn finish(mut self, spool: &mut Writer) -> io::Result<Option<String>> {
        self.stdout.lines.end(spool, &mut |_| {})?;
        self.stderr.lines.end(spool, &mut |_| {})?;
        Ok(self.thread)
    }
}

struct Source {
    /// Absent when it has ended.
    pipe: Option<Box<dyn AsyncRead + Unpin>>,
    buffer: Vec<u8>,
    lines: Lines,
}

impl Source {
    fn new(pipe: Option<impl AsyncRead + Unpin + 'static>, lines: Lines) -> Self {
        Self {
            pipe: pipe.map(|pipe| Box::new(pipe) as Box<dyn AsyncRead + Unpin>),
            buffer: vec![0; 64 * 1024],
            lines,
        }
    }

    /// Waits for bytes; a source that has ended waits for ever.
    async fn read(&mut self) -> usize {
        match &mut self.pipe {
            // A pipe that cannot be read any more has nothing more to give.
            Some(pipe) => pipe.read(&mut self.buffer).await.unwrap_or(0),
            None => pending().await,
        }
    }

    fn spool(&mut self, count: usize, spool: &mut Writer, seen: &mut dyn FnMut(&str)) -> io::Result<()> {
        if count == 0 {
            self.pipe = None;
        }
        self.lines.feed(&self.buffer[..count], spool, seen)
    }
}
