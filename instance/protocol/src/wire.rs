//! Request and response bodies of the external message protocol.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Activity, Event, Run, SessionId};

/// The largest `sourceContext`, serialised, in bytes.
pub const SOURCE_CONTEXT_MAX: usize = 16_384;

/// Body of `POST /api/sessions`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CreateSession {
    /// Working folder; `~` allowed.
    #[serde(deserialize_with = "text")]
    pub folder: String,
    /// Executor.
    #[serde(deserialize_with = "text")]
    pub tool: String,
    /// Title.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_id: Option<String>,
    /// Source, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_name: Option<String>,
    /// Older name of `source_id`, or a template's id when it begins with `app_` or `app-`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app_id: Option<String>,
    /// Older name of `source_name`, or a template's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app_name: Option<String>,
    /// Template, as a label only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template_id: Option<String>,
    /// Template's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template_name: Option<String>,
    /// Side-bar group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// One line about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Instructions; present and empty clears them on a reused session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system_prompt: Option<String>,
    /// Hides the session when not empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub internal_role: Option<Value>,
    /// Where else answers go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completion_targets: Option<Value>,
    /// De-duplication key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_trigger_id: Option<String>,
    /// What the connector wants to remember; `null` counts as present.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub source_context: Option<Value>,
}

/// Body of `POST /api/sessions/:id/messages`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PostMessage {
    /// Idempotency key within the session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// What to do.
    #[serde(deserialize_with = "text")]
    pub text: String,
    /// Switches the session's executor for good.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    /// Model, for this run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Effort, for this run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effort: Option<String>,
    /// Only a literal `true` asks for thinking.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thinking: Option<Value>,
    /// What the connector wants to find again on the event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_context: Option<Value>,
    /// Files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attachments: Option<Value>,
    /// Older name of `attachments`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub images: Option<Value>,
    /// Where else the answer goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completion_targets: Option<Value>,
}

/// Answer to `POST /api/sessions/:id/messages`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MessageAccepted {
    /// The key, given or minted.
    pub request_id: String,
    /// Whether this key had been accepted before.
    pub duplicate: bool,
    /// Whether it waits for the session to be free.
    pub queued: bool,
    /// The run it started or had started.
    pub run: Option<Run>,
    /// The session.
    pub session: Value,
}

/// A session's fields that a connector relies on.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionBody {
    /// The session.
    pub id: SessionId,
    /// Its title.
    #[serde(default)]
    pub name: String,
    /// What it is doing.
    pub activity: Activity,
    /// Highest event sequence.
    #[serde(default)]
    pub latest_seq: u64,
    /// The executor.
    #[serde(default)]
    pub tool: String,
}

/// `{session}`.
#[derive(Clone, Debug, Deserialize)]
pub struct SessionAnswer {
    /// The session.
    pub session: SessionBody,
}

/// `{run}`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RunAnswer {
    /// The run.
    pub run: Run,
}

/// `{sessionId, filter, events}` with `filter=all`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EventsAnswer {
    /// The session.
    pub session_id: SessionId,
    /// `all` or `visible`.
    pub filter: String,
    /// The events.
    pub events: Vec<Event>,
}

/// A frame of the push-only WebSocket.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub enum Frame {
    /// Which build answers; first frame of a connection.
    BuildInfo {
        /// The object of `GET /api/build-info`.
        build_info: Value,
    },
    /// Something about a session changed.
    SessionInvalidated {
        /// The session.
        session_id: SessionId,
    },
    /// The list may have changed.
    SessionsInvalidated,
    /// More of a session's answer has been written; nothing is stored yet.
    SessionWriting {
        /// The session.
        session_id: SessionId,
    },
}

/// `{error}`: the one shape of an error on the wire.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// A sentence for people; some clients compare it.
    pub error: String,
}

/// Answer to a cancel request.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CancelAnswer {
    /// The run that will stop; null when none was active.
    pub run: Option<Run>,
}

/// Reads a text that has to be there; `null` is as good as none.
fn text<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}
