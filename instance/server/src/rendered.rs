//! Rendered Markdown, kept by the text's hash so that a page that is read again costs little.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest, Sha256};

use crate::web::markdown;

/// How much rendered text is kept, in bytes.
const CAPACITY: usize = 8 << 20;

type Key = [u8; 32];

/// The kept texts.
#[derive(Debug, Default)]
pub(crate) struct Rendered(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    by_key: HashMap<Key, Arc<str>>,
    order: VecDeque<Key>,
    bytes: usize,
}

impl Rendered {
    /// Renders a text. Blocks for a moment when it is long and new.
    pub(crate) fn html(&self, text: &str) -> String {
        let key: Key = Sha256::digest(text.as_bytes()).into();
        if let Some(html) = self.lock().by_key.get(&key) {
            return html.to_string();
        }
        let html = markdown::render(text);
        self.lock().keep(key, html.as_str().into());
        html
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn keep(&mut self, key: Key, html: Arc<str>) {
        self.bytes += html.len();
        if let Some(before) = self.by_key.insert(key, html) {
            self.bytes -= before.len();
        } else {
            self.order.push_back(key);
        }
        while self.bytes > CAPACITY {
            let Some(oldest) = self.order.pop_front() else {
                break;
            };
            if let Some(html) = self.by_key.remove(&oldest) {
                self.bytes -= html.len();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_no_more_than_it_may() {
        let mut kept = Kept::default();
        for n in 0..100_u8 {
            kept.keep([n; 32], "x".repeat(1 << 20).into());
        }
        assert_eq!((kept.by_key.len(), kept.order.len(), kept.bytes), (8, 8, CAPACITY));
    }
}
