//! What a session is doing, as every session body tells it.

use serde::{Deserialize, Serialize};

use crate::{Run, RunId, RunState};

/// What a session is doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Activity {
    /// The active run.
    pub run: RunActivity,
    /// Messages that wait for it.
    pub queue: QueueActivity,
    /// The automatic title.
    pub rename: RenameActivity,
    /// Summarising the context.
    pub compact: CompactActivity,
}

/// The active run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunActivity {
    /// `running` or `idle`.
    pub state: String,
    /// `accepted`, `running` or `reply_self_check`; null when idle.
    pub phase: Option<String>,
    /// ISO time at which the executor started.
    pub started_at: Option<String>,
    /// The run.
    pub run_id: Option<RunId>,
    /// Whether somebody asked to stop it.
    pub cancel_requested: bool,
}

/// Messages that wait.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueActivity {
    /// `queued` or `idle`.
    pub state: String,
    /// How many wait.
    pub count: usize,
}

/// The automatic title.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenameActivity {
    /// `idle`, `pending` or `failed`.
    pub state: String,
    /// Why it failed.
    pub error: Option<String>,
}

/// Summarising the context.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompactActivity {
    /// `idle` or `pending`.
    pub state: String,
}

impl Activity {
    /// Tells what a session does, from its active run and the length of its queue.
    #[must_use]
    pub fn of(active: Option<&Run>, queued: usize) -> Self {
        let active = active.filter(|run| run.finalized_at.is_none());
        Self {
            run: RunActivity {
                state: if active.is_some() { "running" } else { "idle" }.to_owned(),
                // A run that ended but is not yet in the history still counts as running.
                phase: active.map(|run| match run.state {
                    RunState::Accepted => "accepted".to_owned(),
                    _ => "running".to_owned(),
                }),
                started_at: active.and_then(|run| run.started_at.clone()),
                run_id: active.map(|run| run.id.clone()),
                cancel_requested: active.is_some_and(|run| run.cancel_requested),
            },
            queue: QueueActivity {
                state: if queued > 0 { "queued" } else { "idle" }.to_owned(),
                count: queued,
            },
            rename: RenameActivity { state: "idle".to_owned(), error: None },
            compact: CompactActivity { state: "idle".to_owned() },
        }
    }

    /// Tells whether a run is under way.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.run.state == "running"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_idle_session_reads_as_documented() {
        assert_eq!(
            serde_json::to_value(Activity::of(None, 0)).unwrap(),
            json!({"run":{"state":"idle","phase":null,"startedAt":null,"runId":null,"cancelRequested":false},
                   "queue":{"state":"idle","count":0},"rename":{"state":"idle","error":null},"compact":{"state":"idle"}})
        );
    }
}
