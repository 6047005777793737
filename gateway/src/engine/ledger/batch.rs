//! Lines on their way to the thread that writes them.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// Bytes that may wait to be written.
const MOST: usize = 2 << 20;
/// Memory that is kept for the next lines.
const KEPT: usize = 256 << 10;
/// Lines come together for this long, so that requests wake the thread seldom.
const GATHER: Duration = Duration::from_millis(20);

/// One piece of text that requests add to and the writer takes away whole. A request holds the lock for as
/// long as it takes to copy its line.
#[derive(Debug, Default)]
pub(super) struct Batch {
    inner: Mutex<Inner>,
    /// There is something for the writer.
    filled: Condvar,
}

#[derive(Debug, Default)]
struct Inner {
    lines: String,
    is_closed: bool,
}

impl Batch {
    /// Adds a line, unless too much waits already.
    pub(super) fn push(&self, line: &str) -> bool {
        let mut inner = self.lock();
        if inner.lines.len() + line.len() >= MOST {
            return false;
        }
        let is_first = inner.lines.is_empty();
        inner.lines.push_str(line);
        inner.lines.push('\n');
        drop(inner);
        if is_first {
            self.filled.notify_one();
        }
        true
    }

    /// Lets the writer end when it has written what is there.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.filled.notify_one();
    }

    /// Waits for lines and exchanges them for those that are written; `false` at the end. Blocks.
    pub(super) fn swap(&self, written: &mut String) -> bool {
        written.clear();
        written.shrink_to(KEPT);
        let waits = |inner: &mut Inner| inner.lines.is_empty() && !inner.is_closed;
        let mut inner = self.filled.wait_while(self.lock(), waits).unwrap_or_else(PoisonError::into_inner);
        if !inner.is_closed {
            drop(inner);
            thread::sleep(GATHER);
            inner = self.lock();
        }
        std::mem::swap(&mut inner.lines, written);
        !written.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing panics under the lock; if it did, the lines are whole all the same.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_together_and_what_is_too_much_is_refused() {
        let batch = Batch::default();
        assert!(batch.push("a") && batch.push("b"));
        let mut lines = String::from("written");
        assert!(batch.swap(&mut lines));
        assert_eq!(lines, "a\nb\n");
        assert!(!batch.push(&"x".repeat(MOST)));
        assert!(batch.push("c"));
        batch.close();
        assert!(batch.swap(&mut lines));
        assert_eq!(lines, "c\n");
        assert!(!batch.swap(&mut lines));
    }
}
