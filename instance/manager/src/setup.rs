//! Setting RemoteLab up on a machine, as often as one likes: what is as it is to be is kept, what is somebody
//! else's is left, and what only a person can do is told.

mod answers;
mod gateway;
pub mod units;
mod work;

use serde::Serialize;
use serde_json::{Value, json};

pub use answers::{Answers, Error as AnswersError, Mode, Service};
pub use work::{Machine, run};

/// What became of one thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It is so now.
    Done,
    /// It was so before.
    Kept,
    /// It would be done.
    Planned,
    /// A person has to do it.
    Left,
}

/// One thing that setting up takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Item {
    /// What.
    pub what: String,
    /// What became of it.
    pub state: State,
    /// What to do or to know about it.
    pub detail: String,
}

/// All of them, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// One for each thing.
    pub items: Vec<Item>,
}

impl Report {
    /// Whether nothing is left to a person.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.items.iter().all(|item| item.state != State::Left)
    }

    /// For people.
    #[must_use]
    pub fn text(&self) -> String {
        let line = |item: &Item| {
            let state = match item.state {
                State::Done => "done",
                State::Kept => "kept",
                State::Planned => "would do",
                State::Left => "left to you",
            };
            let detail = if item.detail.is_empty() { String::new() } else { format!(": {}", item.detail) };
            format!("{state}: {}{detail}\n", item.what)
        };
        self.items.iter().map(line).collect()
    }

    /// For programs.
    #[must_use]
    pub fn json(&self) -> Value {
        json!({"complete": self.is_complete(), "items": self.items})
    }
}
