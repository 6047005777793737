//! One reader for every way of speaking.

use remotelab_protocol::event::Known;
use serde_json::Value;

use super::{Parsed, claude, cline, codex, copilot, gemini, opencode, status};
use crate::dialect::Dialect;

/// What the lines of a run have told so far.
#[derive(Clone, Debug)]
pub(super) enum Reader {
    Codex(codex::Reader),
    Claude(claude::Reader),
    OpenCode(opencode::Reader),
    Gemini(gemini::Reader),
    Copilot(copilot::Reader),
    Cline(cline::Reader),
}

impl Reader {
    pub(super) fn of(dialect: Dialect) -> Self {
        match dialect {
            Dialect::Codex => Self::Codex(codex::Reader::default()),
            Dialect::Claude => Self::Claude(claude::Reader::default()),
            Dialect::OpenCode => Self::OpenCode(opencode::Reader::default()),
            Dialect::Gemini => Self::Gemini(gemini::Reader::default()),
            Dialect::Copilot => Self::Copilot(copilot::Reader::default()),
            Dialect::Cline => Self::Cline(cline::Reader::default()),
        }
    }

    pub(super) fn line(&mut self, line: &Value) -> Parsed {
        match self {
            Self::Codex(reader) => reader.line(line),
            Self::Claude(reader) => reader.line(line),
            Self::OpenCode(reader) => reader.line(line),
            Self::Gemini(reader) => reader.line(line),
            Self::Copilot(reader) => reader.line(line),
            Self::Cline(reader) => reader.line(line),
        }
    }

    /// Returns what the executor gave as the reason of a failure, and an event that only the end completes.
    pub(super) fn finish(&mut self, clean: bool) -> (Option<String>, Option<Known>) {
        match self {
            Self::Codex(reader) => {
                let (verdict, notice) = reader.finish(clean);
                (verdict, notice.map(status))
            }
            Self::Claude(reader) => (reader.take_verdict(), None),
            Self::OpenCode(reader) => (reader.take_verdict(), None),
            Self::Gemini(reader) => (reader.take_verdict(), reader.written()),
            Self::Copilot(reader) => (reader.take_verdict(), None),
            Self::Cline(reader) => (reader.take_verdict(), reader.written()),
        }
    }
}
