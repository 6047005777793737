//! How far a long command has come: one line on a terminal, gone with the result.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// What is done sooner needs no telling.
const QUIET: Duration = Duration::from_millis(500);

/// A line that is written over and over.
#[derive(Debug)]
pub(crate) struct Line {
    since: Instant,
    is_terminal: bool,
    is_there: bool,
}

impl Line {
    pub(crate) fn new() -> Self {
        Self { since: Instant::now(), is_terminal: io::stderr().is_terminal(), is_there: false }
    }

    /// Says where the command is, if somebody looks and has waited for a moment.
    pub(crate) fn say(&mut self, text: &str) {
        if self.is_terminal && self.since.elapsed() >= QUIET {
            // Nobody is left to tell when standard error is gone.
            let _ = write!(io::stderr().lock(), "\r\x1b[K{text}");
            self.is_there = true;
        }
    }

    /// Takes the line away.
    pub(crate) fn clear(&mut self) {
        if std::mem::take(&mut self.is_there) {
            let _ = write!(io::stderr().lock(), "\r\x1b[K");
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.clear();
    }
}
