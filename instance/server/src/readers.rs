//! Readers of bytes from outside, for those who look for bytes that they do not bear. No other program is meant
//! to use them.

use remotelab_protocol::wire::PostMessage;
use serde_json::Value;

use crate::{after, http};

/// What is taken of an executor's answer about a turn.
#[derive(Debug)]
pub struct Answer {
    /// A title.
    pub title: Option<String>,
    /// A group.
    pub group: Option<String>,
    /// A description.
    pub description: Option<String>,
    /// Where the work stands.
    pub workflow_state: Option<String>,
    /// How much it matters.
    pub workflow_priority: Option<String>,
    /// A task card.
    pub task_card: Option<Value>,
    /// What to go on with.
    pub continuation: Option<String>,
}

/// Reads an executor's answer about a turn.
#[must_use]
pub fn answer(text: &str) -> Option<Answer> {
    after::read_answer(text)
}

/// Reads which part of a file is asked for: `None` is all of it, an inner `None` a part that is not there.
#[must_use]
pub fn range(range: &str, if_range: Option<&str>, tag: &str, length: u64) -> Option<Option<(u64, u64)>> {
    http::read_range(range, if_range, tag, length)
}

/// Reads a message that is sent as a form; files are read and dropped.
#[must_use]
pub fn form(boundary: &str, body: &[u8]) -> Option<PostMessage> {
    http::read_form(boundary, body)
}
