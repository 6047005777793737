//! From an executor's lines to events, and from its end to a verdict.

mod claude;
mod cline;
mod codex;
mod copilot;
mod gemini;
mod opencode;
mod parsed;
mod reader;
mod value;

use std::collections::VecDeque;

use remotelab_protocol::event::Known;
use remotelab_protocol::run::RunResult;
use remotelab_protocol::tool::Tool;

use crate::dialect::Dialect;
use crate::failure::{self, Evidence};
use crate::spool::Stream;

pub use parsed::{Parsed, Partial};
use reader::Reader;

/// How many last lines may explain a failure.
const TAIL_LINES: usize = 10;
/// How much of each, in characters.
const TAIL_CHARS: usize = 280;

/// Reads one run's output. It holds all the state there is: the same lines always give the same events.
#[derive(Clone, Debug)]
pub struct Adapter {
    tool_name: String,
    /// Whether the tool promised structured output, so that none at all is a failure.
    structured: bool,
    reader: Reader,
    events: usize,
    /// The last lines that were no events.
    tail: VecDeque<String>,
}

impl Adapter {
    /// Makes the adapter of a tool, at the beginning of its output. Tools without a family are read like
    /// Claude.
    #[must_use]
    pub fn for_tool(tool: &Tool) -> Self {
        let dialect = Dialect::of(tool);
        Self {
            tool_name: failure::spoken_name(tool),
            structured: dialect.is_certain(tool),
            reader: Reader::of(dialect),
            events: 0,
            tail: VecDeque::new(),
        }
    }

    /// Reads the next line of the spool. Lines of an unknown kind mean nothing and never fail a run.
    pub fn line(&mut self, stream: Stream, line: &str) -> Parsed {
        let object = match stream {
            Stream::Stdout => serde_json::from_str(line).ok(),
            Stream::Stderr | Stream::Error => None,
        };
        // serde_json keeps the last of two equal keys, so a line that has one twice is not lost.
        let parsed = object.map(|object| self.reader.line(&object)).unwrap_or_default();
        // What only tells of progress explains no failure, and there is much of it.
        if parsed.events.is_empty() && matches!(parsed.partial, None | Some(Partial::Over)) {
            self.remember(line);
        }
        self.events += parsed.events.len();
        parsed
    }

    /// Draws the conclusion when the output is complete. [`Parsed::failure`] is then the reason for people
    /// if the run failed, also where the executor exited with 0 and yet said or did nothing; the server adds
    /// it to the history as `error: <reason>`, the adapter has not.
    #[must_use]
    pub fn finish(&mut self, result: &RunResult) -> Parsed {
        let clean = result.exit_code == Some(0) && result.error.is_none();
        let (verdict, last) = self.reader.finish(clean);
        let mut parsed = Parsed { events: last.into_iter().collect(), ..Parsed::default() };
        if result.cancelled {
            return parsed;
        }
        self.events += parsed.events.len();
        let evidence = Evidence {
            tool_name: &self.tool_name,
            verdict: verdict.as_deref(),
            tail: self.tail.make_contiguous(),
        };
        parsed.failure = if !clean || verdict.is_some() {
            Some(failure::explain(&evidence, result))
        } else if self.structured && self.events == 0 {
            Some(failure::explain_silence(&evidence))
        } else {
            None
        };
        parsed.resume_lost = parsed.failure.as_deref().is_some_and(failure::is_lost_resume);
        parsed
    }

    fn remember(&mut self, line: &str) {
        let line = line.trim();
        if line.is_empty() || failure::is_backtrace(line) {
            return;
        }
        if self.tail.len() == TAIL_LINES {
            self.tail.pop_front();
        }
        self.tail.push_back(without_colours(line).take(TAIL_CHARS).collect());
    }
}

/// Leaves out the terminal's control sequences, `ESC [ … letter`.
fn without_colours(line: &str) -> impl Iterator<Item = char> {
    let mut in_sequence = false;
    line.chars().filter(move |&c| {
        let hidden = in_sequence || c == '\u{1b}';
        in_sequence = if in_sequence { !c.is_ascii_alphabetic() } else { hidden };
        !hidden
    })
}

fn status(content: impl Into<String>) -> Known {
    Known::Status { content: content.into() }
}
