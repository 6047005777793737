//! Runs: one executor at work on one message.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Attachment, RunId, SessionId};

/// The runner that this product uses.
pub const RUNNER_ID: &str = "runner_local_detached";

/// The state of a run as the wire and `status.json` tell it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Run {
    /// The run.
    pub id: RunId,
    /// Its session.
    pub session_id: SessionId,
    /// The request it answers; unique within the session.
    pub request_id: String,
    /// How far it is.
    pub state: RunState,
    /// The executor.
    pub tool: String,
    /// The model that was asked for.
    #[serde(default)]
    pub model: Option<String>,
    /// The effort that was asked for.
    #[serde(default)]
    pub effort: Option<String>,
    /// Whether thinking was asked for.
    #[serde(default)]
    pub thinking: bool,
    /// ISO times of its life.
    pub created_at: String,
    /// When the executor started.
    #[serde(default)]
    pub started_at: Option<String>,
    /// When this record changed.
    pub updated_at: String,
    /// When the executor ended.
    #[serde(default)]
    pub completed_at: Option<String>,
    /// The provider's resume id, whichever tool it is.
    #[serde(default)]
    pub provider_resume_id: Option<String>,
    /// Always [`RUNNER_ID`].
    #[serde(default)]
    pub runner_id: Option<String>,
    /// Whether somebody asked to stop it.
    #[serde(default)]
    pub cancel_requested: bool,
    /// How the executor ended.
    #[serde(default)]
    pub result: Option<RunResult>,
    /// Claude's session.
    #[serde(default)]
    pub claude_session_id: Option<String>,
    /// Codex's thread.
    #[serde(default)]
    pub codex_thread_id: Option<String>,
    /// The runner's process.
    #[serde(default)]
    pub runner_process_id: Option<u32>,
    /// The executor's process.
    #[serde(default)]
    pub tool_process_id: Option<u32>,
    /// Spool lines that are in the history.
    #[serde(default)]
    pub normalized_line_count: u64,
    /// Spool bytes that are in the history.
    #[serde(default)]
    pub normalized_byte_offset: u64,
    /// Events that came of them.
    #[serde(default)]
    pub normalized_event_count: u64,
    /// When the history was complete and the session free again.
    #[serde(default)]
    pub finalized_at: Option<String>,
    /// When the spool was last read.
    #[serde(default)]
    pub last_normalized_at: Option<String>,
    /// Why it failed, for people.
    #[serde(default)]
    pub failure_reason: Option<String>,
    /// Tokens live in the model's context.
    #[serde(default)]
    pub context_input_tokens: Option<u64>,
    /// The model's window.
    #[serde(default)]
    pub context_window_tokens: Option<u64>,
    /// When cancelling was asked for.
    #[serde(default)]
    pub cancel_requested_at: Option<String>,
    /// Set for runs that no user asked for, as in the manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub internal_operation: Option<String>,
    /// Fields of other versions and features.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunState {
    /// Durable, the executor has not started.
    Accepted,
    /// The executor works.
    Running,
    /// It ended well.
    Completed,
    /// It ended badly.
    Failed,
    /// Somebody stopped it.
    Cancelled,
}

impl RunState {
    /// Tells whether nothing more will happen.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }

    /// Returns the word of the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// How an executor ended; the runner's `result.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunResult {
    /// ISO time.
    pub completed_at: String,
    /// The exit code, when it exited.
    pub exit_code: Option<i32>,
    /// The signal's name, when one ended it.
    pub signal: Option<String>,
    /// Whether it was stopped on request.
    pub cancelled: bool,
    /// Why it could not run at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl RunResult {
    /// Returns the state that this end means.
    #[must_use]
    pub fn state(&self, cancel_requested: bool) -> RunState {
        let clean = self.exit_code == Some(0) && self.error.is_none();
        if self.cancelled {
            RunState::Cancelled
        } else if clean {
            RunState::Completed
        } else if cancel_requested {
            RunState::Cancelled
        } else {
            RunState::Failed
        }
    }

    /// Returns a sentence about a bad end.
    #[must_use]
    pub fn failure_reason(&self) -> String {
        match (&self.error, &self.signal, self.exit_code) {
            (Some(error), _, _) => error.clone(),
            (None, Some(signal), _) => format!("Process exited via signal {signal}"),
            (None, None, Some(code)) => format!("Process exited with code {code}"),
            (None, None, None) => "Process ended without saying how".to_owned(),
        }
    }
}

/// What a run is to do; `manifest.json`, never changed after it is written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// The run.
    pub id: RunId,
    /// Its session.
    pub session_id: SessionId,
    /// The request it answers.
    pub request_id: String,
    /// The working folder, `~` allowed.
    pub folder: String,
    /// The executor.
    pub tool: String,
    /// The assembled prompt.
    pub prompt: String,
    /// Set for runs that no user asked for.
    pub internal_operation: Option<String>,
    /// How to call the executor.
    pub options: Options,
    /// Fields of other versions and features.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// How to call an executor.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Options {
    /// Files for the executor.
    pub images: Vec<Attachment>,
    /// Whether to think harder.
    pub thinking: bool,
    /// The model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The effort.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effort: Option<String>,
    /// Claude session to resume.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claude_session_id: Option<String>,
    /// Codex thread to resume.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub codex_thread_id: Option<String>,
    /// Whether it answers from the prompt alone, without tools and without being remembered.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub without_tools: bool,
    /// Variables that the executor gets beside the server's own (no secrets: the file is kept).
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
}

/// What a runner tells of itself; `runner.json`, written by the runner alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RunnerReport {
    /// The runner's process.
    pub runner_process_id: u32,
    /// The executor's process, which leads a process group of the same number.
    pub tool_process_id: Option<u32>,
    /// The start time of the executor's process, which tells it from a later process of the same number. In
    /// clock ticks since boot, or in Unix seconds on systems without `/proc`; absent where neither is told.
    pub tool_start_ticks: Option<u64>,
    /// ISO time at which the executor started.
    pub started_at: Option<String>,
}

impl Run {
    /// Makes the record of a run that is about to be accepted.
    #[must_use]
    pub fn accepted(manifest: &Manifest, now_iso: &str) -> Self {
        Self {
            id: manifest.id.clone(),
            session_id: manifest.session_id.clone(),
            request_id: manifest.request_id.clone(),
            state: RunState::Accepted,
            tool: manifest.tool.clone(),
            model: manifest.options.model.clone(),
            effort: manifest.options.effort.clone(),
            thinking: manifest.options.thinking,
            created_at: now_iso.to_owned(),
            started_at: None,
            updated_at: now_iso.to_owned(),
            completed_at: None,
            provider_resume_id: None,
            runner_id: Some(RUNNER_ID.to_owned()),
            cancel_requested: false,
            result: None,
            claude_session_id: manifest.options.claude_session_id.clone(),
            codex_thread_id: manifest.options.codex_thread_id.clone(),
            runner_process_id: None,
            tool_process_id: None,
            normalized_line_count: 0,
            normalized_byte_offset: 0,
            normalized_event_count: 0,
            finalized_at: None,
            last_normalized_at: None,
            failure_reason: None,
            context_input_tokens: None,
            context_window_tokens: None,
            cancel_requested_at: None,
            internal_operation: manifest.internal_operation.clone(),
            rest: Map::new(),
        }
    }

    /// Takes over what the runner reported: it is at work.
    pub fn note_runner(&mut self, report: &RunnerReport) {
        self.runner_process_id = Some(report.runner_process_id).filter(|&pid| pid != 0);
        self.tool_process_id = report.tool_process_id.or(self.tool_process_id);
        if let (Some(started), RunState::Accepted) = (&report.started_at, self.state) {
            self.state = RunState::Running;
            self.started_at = Some(started.clone());
        }
    }

    /// Takes over how the executor ended. A terminal state is never left again.
    pub fn finish(&mut self, result: RunResult) {
        if self.state.is_terminal() {
            return;
        }
        self.state = result.state(self.cancel_requested);
        self.completed_at = Some(result.completed_at.clone());
        if self.state == RunState::Failed {
            self.failure_reason.get_or_insert_with(|| result.failure_reason());
        }
        self.result = Some(result);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn result(
        exit_code: Option<i32>,
        signal: Option<&str>,
        cancelled: bool,
        error: Option<&str>,
    ) -> RunResult {
        RunResult {
            completed_at: "2026-11-22T07:26:39.751Z".into(),
            exit_code,
            signal: signal.map(str::to_owned),
            cancelled,
            error: error.map(str::to_owned),
        }
    }

    #[test]
    fn states_follow_the_documented_table() {
        let cases = [
            (result(Some(0), None, false, None), false, RunState::Completed),
            (result(Some(0), None, false, None), true, RunState::Completed),
            (result(Some(0), None, true, None), false, RunState::Cancelled),
            (result(Some(0), None, false, Some("x")), false, RunState::Failed),
            (result(Some(1), None, false, None), false, RunState::Failed),
            (result(Some(1), None, false, None), true, RunState::Cancelled),
            (result(None, Some("SIGTERM"), false, None), true, RunState::Cancelled),
            (result(None, Some("SIGKILL"), false, None), false, RunState::Failed),
        ];
        for (result, cancel_requested, expected) in cases {
            assert_eq!(result.state(cancel_requested), expected, "{result:?}");
        }
    }

    #[test]
    fn every_bad_end_has_a_sentence() {
        assert_eq!(result(Some(3), None, false, None).failure_reason(), "Process exited with code 3");
        assert_eq!(
            result(None, Some("SIGKILL"), false, None).failure_reason(),
            "Process exited via signal SIGKILL"
        );
        assert_eq!(result(None, None, false, Some("not found")).failure_reason(), "not found");
    }

    fn any_result() -> impl Strategy<Value = RunResult> {
        (proptest::option::of(0..3_i32), any::<bool>(), any::<bool>())
            .prop_map(|(code, cancelled, failed)| result(code, None, cancelled, failed.then_some("no")))
    }

    proptest! {
        /// The first end decides; whatever is told later changes nothing.
        #[test]
        fn a_terminal_state_is_never_left(first in any_result(), later in any_result()) {
            let manifest = Manifest {
                id: RunId::random(), session_id: SessionId::random(), request_id: "r".into(), folder: "~".into(),
                tool: "codex".into(), prompt: String::new(), internal_operation: None, options: Options::default(),
                rest: Map::new(),
            };
            let mut run = Run::accepted(&manifest, "2026-11-22T07:26:39.203Z");
            run.finish(first);
            let ended = run.clone();
            run.finish(later);
            run.note_runner(&RunnerReport { started_at: Some("later".into()), ..RunnerReport::default() });
            prop_assert!(run.state.is_terminal());
            prop_assert_eq!(run.state, ended.state);
            prop_assert_eq!(run.result, ended.result);
        }
    }
}
