//! What an instance says before its answer: that it wants the body, and what a page will need.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use http::{HeaderMap, StatusCode};
use tokio::time::{Sleep, sleep};

/// An instance that does not know `Expect` says nothing and waits for the body (RFC 9110 §10.1.1).
const PATIENCE: Duration = Duration::from_secs(1);
/// Longest hint that is passed on.
const MAX_HINT: usize = 8 * 1024;

/// A client's body that is held back until the instance wants it.
#[derive(Debug)]
pub(crate) struct HeldBack {
    wanted: Arc<Wanted>,
    patience: Pin<Box<Sleep>>,
}

/// Says that the body is wanted.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    is_wanted: AtomicBool,
    waiting: Mutex<Option<Waker>>,
}

impl HeldBack {
    pub(crate) fn new() -> Self {
        Self { wanted: Arc::default(), patience: Box::pin(sleep(PATIENCE)) }
    }

    pub(crate) fn wanted(&self) -> Arc<Wanted> {
        Arc::clone(&self.wanted)
    }

    /// Waits until the body is wanted, or nobody says that it is.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        *self.wanted.lock() = Some(cx.waker().clone());
        if self.wanted.is_wanted.load(Ordering::SeqCst) {
            return Poll::Ready(());
        }
        self.patience.as_mut().poll(cx)
    }
}

impl Wanted {
    pub(crate) fn say(&self) {
        self.is_wanted.store(true, Ordering::SeqCst);
        if let Some(waiting) = self.lock().take() {
            waiting.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Waker>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Early hints on their way to the client, which the HTTP library cannot send (RFC 8297).
#[derive(Debug, Default)]
pub(crate) struct Hints {
    any: AtomicBool,
    bytes: Mutex<Vec<u8>>,
}

impl Hints {
    /// Takes the links of an early answer; what else it says belongs to the answer itself.
    pub(crate) fn add(&self, links: &HeaderMap) {
        let mut hint = format!("HTTP/1.1 {}\r\n", StatusCode::EARLY_HINTS).into_bytes();
        let head = hint.len();
        for value in links.get_all(http::header::LINK) {
            for part in [b"link: ", value.as_bytes(), b"\r\n"] {
                hint.extend_from_slice(part);
            }
        }
        let mut bytes = self.lock();
        if hint.len() > head && bytes.len() + hint.len() <= MAX_HINT {
            hint.extend_from_slice(b"\r\n");
            bytes.append(&mut hint);
            self.any.store(true, Ordering::Relaxed);
        }
    }

    /// Forgets hints that come too late: the answer is there.
    pub(crate) fn end(&self) {
        if self.any.load(Ordering::Relaxed) {
            self.take();
        }
    }

    /// Takes what is to be sent. Costs one look when there is nothing.
    pub(crate) fn take(&self) -> Vec<u8> {
        if !self.any.swap(false, Ordering::Relaxed) {
            return Vec::new();
        }
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<u8>> {
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_are_links_and_end_with_the_answer() {
        let hints = Hints::default();
        let mut headers = HeaderMap::new();
        headers.insert("x-other", "1".parse().unwrap());
        hints.add(&headers);
        assert_eq!(hints.take(), b"");
        headers.append("link", "</a.css>; rel=preload".parse().unwrap());
        headers.append("link", "</b.js>".parse().unwrap());
        hints.add(&headers);
        let expected = "HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\nlink: </b.js>\r\n\r\n";
        assert_eq!(String::from_utf8(hints.take()).unwrap(), expected);
        hints.add(&headers);
        hints.end();
        assert_eq!(hints.take(), b"");
        headers.insert("link", "x".repeat(MAX_HINT).parse().unwrap());
        hints.add(&headers);
        assert_eq!(hints.take(), b"");
    }
}
