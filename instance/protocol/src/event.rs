//! Events: what happened in a session, in order.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::Attachment;

/// One stored event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// Where the long text is. It stands first so that it takes its fields before the kinds that keep all
    /// others, which would write them a second time.
    #[serde(flatten)]
    pub body: Body,
    /// What happened.
    #[serde(flatten)]
    pub kind: Kind,
    /// Unique id; readers key on `seq`.
    pub id: String,
    /// Unix milliseconds.
    pub timestamp: i64,
    /// Who speaks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// The run it belongs to. Any text is accepted on reading: callers of the append route choose it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_id: Option<String>,
    /// The request it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// Position in the session, from 1, gap-free. 0 until appended.
    #[serde(default)]
    pub seq: u64,
}

/// Bookkeeping of a long text that lives outside its event.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Body {
    /// Whether the event has a text at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_available: Option<bool>,
    /// Whether the whole text is in the event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_loaded: Option<bool>,
    /// The field that holds the text or its preview.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_field: Option<String>,
    /// The stored text's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_ref: Option<String>,
    /// Length of the whole text in bytes of UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_bytes: Option<u64>,
}

/// Who speaks in an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The person or connector.
    User,
    /// The executor.
    Assistant,
    /// The machinery.
    System,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Kind {
    /// An event type of this version.
    Known(Known),
    /// An event type of another version, kept as it is.
    Other(Map<String, Value>),
}

/// The event types of this version.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub enum Known {
    /// Something said by the user or the assistant.
    Message(Box<Message>),
    /// What the model thought.
    Reasoning {
        /// The text.
        content: String,
    },
    /// A tool was called.
    ToolUse {
        /// The tool's name.
        tool_name: String,
        /// Its input, as text.
        tool_input: String,
    },
    /// A tool answered.
    ToolResult {
        /// The tool's name.
        tool_name: String,
        /// What it printed.
        output: String,
        /// Its exit code, 0 for success.
        exit_code: i32,
    },
    /// A file was changed.
    FileChange {
        /// The file.
        file_path: String,
        /// `add`, `update` or `delete`.
        change_type: String,
    },
    /// A line about progress or failure.
    Status {
        /// The line; `error: …` for failures.
        content: String,
    },
    /// Token figures.
    Usage(Usage),
    /// The hidden context of a turn.
    ManagerContext {
        /// The text.
        content: String,
    },
    /// What is above is no longer in live context.
    ContextBarrier {
        /// A sentence about it.
        content: String,
        /// Whether the server decided it.
        #[serde(default)]
        automatic: bool,
        /// The session that summarised.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        compaction_session_id: Option<String>,
    },
    /// The server did something to the context; free-form fields.
    ContextOperation(Map<String, Value>),
    /// A template was applied; free-form fields.
    TemplateContext(Map<String, Value>),
}

/// Something said by the user or the assistant.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Message {
    /// The text.
    pub content: String,
    /// Files.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<Attachment>,
    /// The same files under their older name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<Attachment>,
    /// What the connector told about the message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_context: Option<Value>,
    /// Where a synthetic message comes from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// `todo_list` or `session_delegate_notice`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_kind: Option<String>,
    /// The run whose result files these are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result_run_id: Option<String>,
    /// The compaction this hand-off belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compaction_run_id: Option<String>,
    /// The queued messages that were delivered together as this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queued_request_ids: Option<Vec<String>>,
}

/// Token figures of a turn.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Usage {
    /// Tokens that are live in the model's context.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context_tokens: Option<u64>,
    /// Tokens read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input_tokens: Option<u64>,
    /// Tokens written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_tokens: Option<u64>,
    /// The model's window.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context_window_tokens: Option<u64>,
    /// Where the figures come from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context_source: Option<String>,
}

impl Event {
    /// Makes an event that is not yet appended, with the role that its kind has.
    #[must_use]
    pub fn new(kind: Known, timestamp: i64) -> Self {
        let role = kind.role();
        Self {
            kind: Kind::Known(kind),
            id: crate::ids::event_id(),
            timestamp,
            role: Some(role),
            run_id: None,
            request_id: None,
            seq: 0,
            body: Body::default(),
        }
    }

    /// Makes a message of a role.
    #[must_use]
    pub fn message(role: Role, message: Message, timestamp: i64) -> Self {
        let mut event = Self::new(Known::Message(Box::new(message)), timestamp);
        event.role = Some(role);
        event
    }

    /// Returns the message, when the event is one.
    #[must_use]
    pub fn as_message(&self) -> Option<&Message> {
        match &self.kind {
            Kind::Known(Known::Message(message)) => Some(message),
            _ => None,
        }
    }

    /// Tells whether the event is a message of a role.
    #[must_use]
    pub fn is_message_of(&self, role: Role) -> bool {
        self.as_message().is_some() && self.role == Some(role)
    }

    /// Returns the wire name of the event's type.
    #[must_use]
    pub fn type_name(&self) -> &str {
        match &self.kind {
            Kind::Known(known) => known.type_name(),
            Kind::Other(fields) => fields.get("type").and_then(Value::as_str).unwrap_or("unknown"),
        }
    }

    /// Returns the field name and the text that may be long, for types that have one.
    #[must_use]
    pub fn body_text(&self) -> Option<(&'static str, &str)> {
        match &self.kind {
            Kind::Known(known) => known.body_text(),
            Kind::Other(_) => None,
        }
    }

    /// Replaces the text that [`Event::body_text`] returns; does nothing for types without one.
    pub fn set_body_text(&mut self, text: String) {
        let Kind::Known(known) = &mut self.kind else {
            return;
        };
        match known {
            Known::Message(message) => message.content = text,
            Known::Reasoning { content } => *content = text,
            Known::ToolUse { tool_input, .. } => *tool_input = text,
            Known::ToolResult { output, .. } => *output = text,
            Known::TemplateContext(fields) => {
                fields.insert("content".into(), Value::String(text));
            }
            _ => {}
        }
    }
}

impl Known {
    fn role(&self) -> Role {
        match self {
            Self::Message(_) | Self::Reasoning { .. } | Self::ToolUse { .. } => Role::Assistant,
            _ => Role::System,
        }
    }

    fn type_name(&self) -> &'static str {
        match self {
            Self::Message(_) => "message",
            Self::Reasoning { .. } => "reasoning",
            Self::ToolUse { .. } => "tool_use",
            Self::ToolResult { .. } => "tool_result",
            Self::FileChange { .. } => "file_change",
            Self::Status { .. } => "status",
            Self::Usage(_) => "usage",
            Self::ManagerContext { .. } => "manager_context",
            Self::ContextBarrier { .. } => "context_barrier",
            Self::ContextOperation(_) => "context_operation",
            Self::TemplateContext(_) => "template_context",
        }
    }

    fn body_text(&self) -> Option<(&'static str, &str)> {
        match self {
            Self::Message(message) => Some(("content", &message.content)),
            Self::Reasoning { content } => Some(("content", content)),
            Self::ToolUse { tool_input, .. } => Some(("toolInput", tool_input)),
            Self::ToolResult { output, .. } => Some(("output", output)),
            Self::TemplateContext(fields) => {
                Some(("content", fields.get("content").and_then(Value::as_str).unwrap_or_default()))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn reads_and_writes_captured_events_unchanged() {
        let captured = [
            json!({"type":"tool_result","id":"evt_000019","timestamp":1_795_332_399_594_i64,"role":"system","toolName":"bash",
                   "output":"fake","exitCode":0,"runId":"run_x","requestId":"r","seq":8,"bodyAvailable":true,"bodyLoaded":true}),
            json!({"type":"usage","id":"evt_000016","timestamp":1,"role":"system","contextTokens":7000,"inputTokens":9000,
                   "outputTokens":300,"contextWindowTokens":6000,"contextSource":"provider_last_token_count","seq":16}),
            json!({"type":"context_operation","id":"evt_000031","timestamp":1,"role":"system","operation":"continue_turn",
                   "phase":"queued","title":"t","trigger":"automatic","content":"c","seq":17}),
            json!({"type":"message","id":"e","timestamp":1,"role":"user","content":"hi","sourceContext":{"comment":456},"seq":1}),
            json!({"type":"hologram","id":"e","timestamp":1,"colour":{"deep":[1]},"seq":2}),
            json!({"type":"hologram","id":"e","timestamp":1,"bodyAvailable":true,"bodyLoaded":true,"seq":2}),
            json!({"type":"template_context","id":"e","timestamp":1,"templateName":"t","content":"c","seq":3,
                   "bodyAvailable":true,"bodyLoaded":false,"bodyField":"content","bodyRef":"evt_3","bodyBytes":1}),
        ];
        for value in captured {
            let event: Event = serde_json::from_value(value.clone()).unwrap();
            // As text, where a field that is written twice shows.
            let text = serde_json::to_string(&event).unwrap();
            assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
            assert_eq!(serde_json::from_str::<Event>(&text).unwrap(), event);
        }
    }

    #[test]
    fn an_unknown_type_keeps_its_name() {
        let event: Event = serde_json::from_value(json!({"type":"hologram","id":"e","timestamp":1})).unwrap();
        assert_eq!(event.type_name(), "hologram");
    }
}
