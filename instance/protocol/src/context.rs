//! What an executor is told of a session's past: all of it, or a summary and what came after.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Whether the whole history counts or a summary stands for its beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Everything counts.
    #[default]
    History,
    /// A summary stands for everything up to [`Context::active_from_seq`].
    Summary,
}

/// A session's `context.json`. Without the file the whole history counts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Context {
    /// Whether the summary counts.
    pub mode: Mode,
    /// What stands for the beginning.
    pub summary: String,
    /// Events after this one are told as they are.
    pub active_from_seq: u64,
    /// The last event that the summary covers.
    pub compacted_through_seq: u64,
    /// Tokens that were live when it was made.
    pub input_tokens: Option<u64>,
    /// ISO time.
    pub updated_at: Option<String>,
    /// `context_compaction`, `drop_tool_use` or `manual`.
    pub source: Option<String>,
    /// Which tools and files were used before, in short.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub tool_index: String,
    /// The event that marks the cut.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub barrier_seq: Option<u64>,
    /// The message that tells the reader what was kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handoff_seq: Option<u64>,
    /// The hidden session that summarised.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compaction_session_id: Option<String>,
    /// Fields of other versions.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// What a session's record keeps of its context, so that lists need not open `context.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContextMark {
    /// As in the context.
    pub active_from_seq: u64,
    /// As in the context.
    pub compacted_through_seq: u64,
    /// How many messages the summary stands for.
    pub messages_before: u64,
}

impl Context {
    /// Returns what the session's record keeps; `None` when the whole history counts.
    #[must_use]
    pub fn mark(&self, messages_before: u64) -> Option<ContextMark> {
        (self.mode == Mode::Summary).then_some(ContextMark {
            active_from_seq: self.active_from_seq,
            compacted_through_seq: self.compacted_through_seq,
            messages_before,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn reads_and_writes_a_captured_context_unchanged() {
        let captured = json!({"mode":"summary","summary":"s","activeFromSeq":44,"compactedThroughSeq":38,
            "inputTokens":null,"updatedAt":"2026-11-22T07:26:39.751Z","source":"context_compaction",
            "toolIndex":"Tools used: bash ×4","barrierSeq":41,"handoffSeq":42,"compactionSessionId":"2366","later":1});
        let context: Context = serde_json::from_value(captured.clone()).unwrap();
        assert_eq!(serde_json::to_value(&context).unwrap(), captured);
        let mark = ContextMark { active_from_seq: 44, compacted_through_seq: 38, messages_before: 7 };
        assert_eq!(context.mark(7), Some(mark));
        assert_eq!(Context::default().mark(0), None);
    }
}
