//! Sessions: durable conversations and what is known about them.

mod odd;

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::context::ContextMark;
use crate::pending::{AfterTurn, Compaction};
use crate::queue::Queued;
use crate::{RunId, RunState, SessionId};

/// The title of a session that has none yet.
pub const UNTITLED: &str = "new session";

/// A session as stored. Unknown fields survive a rewrite.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Session {
    /// The session.
    pub id: SessionId,
    /// Its working folder, absolute or `~`.
    #[serde(default = "home")]
    pub folder: String,
    /// Its executor.
    #[serde(default)]
    pub tool: String,
    /// Where it comes from: `chat`, `email`, a connector's id.
    #[serde(default = "chat")]
    pub source_id: String,
    /// Its source, for people.
    #[serde(default = "chat_name")]
    pub source_name: String,
    /// Its title.
    #[serde(default = "untitled")]
    pub name: String,
    /// Whether the title may still be replaced automatically.
    #[serde(default)]
    pub auto_rename_pending: bool,
    /// ISO time.
    #[serde(default)]
    pub created: String,
    /// ISO time of the last change that counts for sorting.
    #[serde(default)]
    pub updated_at: String,
    /// Side-bar group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// One line about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Instructions for its executor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system_prompt: Option<String>,
    /// The connector's key; unique among sessions that are not archived.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_trigger_id: Option<String>,
    /// Set on hidden sessions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub internal_role: Option<String>,
    /// Preferred model, for the page only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Preferred effort, for the page only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effort: Option<String>,
    /// Preferred thinking, for the page only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thinking: Option<bool>,
    /// Kept on top.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pinned: bool,
    /// Place in the side bar.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sidebar_order: Option<u64>,
    /// Put away.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub archived: bool,
    /// ISO time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archived_at: Option<String>,
    /// `read` opens at the top; `resume` is the default and not stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entry_mode: Option<String>,
    /// ISO time until which the owner has read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_reviewed_at: Option<String>,
    /// `parked`, `waiting_user` or `done`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workflow_state: Option<String>,
    /// `high`, `medium` or `low`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workflow_priority: Option<String>,
    /// Standing agreements with the user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_agreements: Option<Vec<String>>,
    /// Where else answers go.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub completion_targets: Vec<Value>,
    /// Claude's session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claude_session_id: Option<String>,
    /// Codex's thread.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub codex_thread_id: Option<String>,
    /// What the connector told at creation. Stored only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_context: Option<Value>,
    /// The run under way. Stored only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_run_id: Option<RunId>,
    /// How the last run ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_run_state: Option<RunState>,
    /// Messages that wait. Stored only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub follow_up_queue: Vec<Queued>,
    /// Delivered request ids. Stored only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recent_follow_up_request_ids: Vec<String>,
    /// Where the live context begins, when it was summarised. Stored only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context_mark: Option<ContextMark>,
    /// Tokens that were live after the last turn. Stored only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context_tokens: Option<u64>,
    /// How many the model's window holds. Stored only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context_window_tokens: Option<u64>,
    /// How far each executor's own memory of the session reaches. Stored only.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub resume_points: BTreeMap<String, ResumePoint>,
    /// What is still to do after the last turn. Stored only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after_turn: Option<AfterTurn>,
    /// The summary that is being made. Stored only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compaction: Option<Compaction>,
    /// Why the last automatic title failed. Stored only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rename_error: Option<String>,
    /// Completed runs whose result files are not offered yet. Stored only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub runs_with_results: Vec<RunId>,
    /// Fields of other versions and features.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// An executor's own memory of a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResumePoint {
    /// What it is resumed by.
    pub id: String,
    /// The last event it knows of.
    pub through_seq: u64,
}

/// Figures about a session's history, kept in its `meta.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HistoryMeta {
    /// Highest sequence number.
    pub latest_seq: u64,
    /// Unix milliseconds of the last event.
    pub last_event_at: Option<i64>,
    /// Unix milliseconds of the last assistant message.
    pub last_assistant_message_at: Option<i64>,
    /// Number of events.
    pub size: u64,
    /// Number of events by type, and of messages by role (`message_user`, `message_assistant`).
    pub counts: BTreeMap<String, u64>,
}

/// Where values that cannot be understood are kept.
const INVALID_FIELDS: &str = "invalidFields";

/// Fields that never leave the server.
const STORED_ONLY: &[&str] = &[
    "activeRunId",
    "followUpQueue",
    "recentFollowUpRequestIds",
    "contextMark",
    "contextTokens",
    "contextWindowTokens",
    "resumePoints",
    "afterTurn",
    "compaction",
    "renameError",
    "runsWithResults",
    "sourceContext",
    "appId",
    "appName",
    "templateAppId",
    "templateAppName",
    "task",
    INVALID_FIELDS,
];

impl Session {
    /// Makes a plain chat session with a new id and no title, created at an ISO time.
    #[must_use]
    pub fn new(folder: String, tool: String, now_iso: &str) -> Self {
        Self {
            id: SessionId::random(),
            folder,
            tool,
            source_id: chat(),
            source_name: chat_name(),
            name: untitled(),
            auto_rename_pending: true,
            created: now_iso.to_owned(),
            updated_at: now_iso.to_owned(),
            group: None,
            description: None,
            system_prompt: None,
            external_trigger_id: None,
            internal_role: None,
            model: None,
            effort: None,
            thinking: None,
            pinned: false,
            sidebar_order: None,
            archived: false,
            archived_at: None,
            entry_mode: None,
            last_reviewed_at: None,
            workflow_state: None,
            workflow_priority: None,
            active_agreements: None,
            completion_targets: Vec::new(),
            claude_session_id: None,
            codex_thread_id: None,
            source_context: None,
            active_run_id: None,
            last_run_state: None,
            follow_up_queue: Vec::new(),
            recent_follow_up_request_ids: Vec::new(),
            context_mark: None,
            context_tokens: None,
            context_window_tokens: None,
            resume_points: BTreeMap::new(),
            after_turn: None,
            compaction: None,
            rename_error: None,
            runs_with_results: Vec::new(),
            rest: Map::new(),
        }
    }

    /// Returns the fields of the session that the wire shows, without the computed ones.
    #[must_use]
    pub fn public_fields(&self) -> Map<String, Value> {
        let mut fields = match serde_json::to_value(self) {
            Ok(Value::Object(fields)) => fields,
            _ => Map::new(),
        };
        fields.retain(|key, _| !STORED_ONLY.contains(&key.as_str()));
        fields.insert("entryMode".into(), self.entry_mode().into());
        fields
    }

    /// Returns how the session opens: `read` or `resume`.
    #[must_use]
    pub fn entry_mode(&self) -> &str {
        self.entry_mode.as_deref().unwrap_or("resume")
    }

    /// Tells whether the session is kept out of lists.
    #[must_use]
    pub fn is_hidden(&self) -> bool {
        self.internal_role.as_deref().is_some_and(|role| !role.is_empty())
    }

    /// Tells whether the session has something that a server which starts goes on with.
    #[must_use]
    pub fn is_unfinished(&self) -> bool {
        self.active_run_id.is_some()
            || !self.follow_up_queue.is_empty()
            || self.after_turn.is_some()
            || self.compaction.is_some()
            || !self.runs_with_results.is_empty()
    }

    /// Forgets what executors remember of the session by themselves, as when its context is cut.
    pub fn forget_resume_ids(&mut self) {
        self.claude_session_id = None;
        self.codex_thread_id = None;
        self.resume_points.clear();
    }

    /// Returns where the session stands in lists: placed sessions first, then pinned ones, then the latest
    /// changed.
    #[must_use]
    pub fn list_key(&self) -> ListKey {
        let time = if self.updated_at.is_empty() { &self.created } else { &self.updated_at };
        ListKey {
            unplaced: self.sidebar_order.is_none(),
            place: self.sidebar_order,
            unpinned: !self.pinned,
            time: Reverse(time.clone()),
            id: self.id.clone(),
        }
    }
}

/// A session's place in a list. The order is total: no two sessions have the same key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ListKey {
    unplaced: bool,
    place: Option<u64>,
    unpinned: bool,
    time: Reverse<String>,
    id: SessionId,
}

/// Collapses white space and cuts to a number of characters; `None` when nothing is left.
#[must_use]
pub fn one_line(text: &str, max_chars: usize) -> Option<String> {
    let collapsed = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let cut: String = collapsed.chars().take(max_chars).collect();
    let cut = cut.trim_end().to_owned();
    (!cut.is_empty()).then_some(cut)
}

fn home() -> String {
    "~".to_owned()
}

fn chat() -> String {
    "chat".to_owned()
}

fn chat_name() -> String {
    "Chat".to_owned()
}

fn untitled() -> String {
    UNTITLED.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn old_records_open_and_keep_what_we_do_not_know() {
        let stored = json!({"id":"12d04b72795d9cef53d6aa1749cb0af7","folder":"/home/owner/work","tool":"codex",
            "name":"March sales","autoRenamePending":false,"created":"2026-11-22T07:33:28.805Z",
            "updatedAt":"2026-11-22T07:33:31.557Z","taskCard":{"version":1},
            "followUpQueue":[{"requestId":"q-1","text":"x","queuedAt":"t","images":[]}]});
        let session: Session = serde_json::from_value(stored).unwrap();
        assert_eq!((session.source_id.as_str(), session.source_name.as_str()), ("chat", "Chat"));
        let public = session.public_fields();
        assert_eq!(public["taskCard"], json!({"version":1}));
        assert_eq!(public["entryMode"], "resume");
        assert!(!public.contains_key("followUpQueue"));
        assert_eq!(serde_json::to_value(&session).unwrap()["taskCard"], json!({"version":1}));
    }

    proptest::proptest! {
        /// Lists have one order, whatever order they were made in.
        #[test]
        fn api_weakness_23_the_order_of_lists_is_total(
            facts in proptest::collection::vec((proptest::option::of(1..4_u64), proptest::bool::ANY, 0..3_u8), 1..8),
        ) {
            let mut sessions: Vec<Session> = facts
                .into_iter()
                .map(|(sidebar_order, pinned, at)| Session {
                    sidebar_order,
                    pinned,
                    ..Session::new("~".into(), "codex".into(), &format!("2026-11-22T07:26:39.20{at}Z"))
                })
                .collect();
            sessions.sort_by_key(Session::list_key);
            for (index, session) in sessions.iter().enumerate() {
                for later in &sessions[index + 1..] {
                    proptest::prop_assert_eq!(session.list_key().cmp(&later.list_key()), std::cmp::Ordering::Less);
                    proptest::prop_assert_eq!(later.list_key().cmp(&session.list_key()), std::cmp::Ordering::Greater);
                }
            }
        }
    }

    #[test]
    fn one_line_never_splits_a_character() {
        assert_eq!(one_line("  a \n b ", 32).as_deref(), Some("a b"));
        assert_eq!(one_line("数据清理数据", 4).as_deref(), Some("数据清理"));
        assert_eq!(one_line(" \n", 5), None);
    }
}
