//! What a session is doing, as every session body tells it.

use serde::{Deserialize, Serialize};

use crate::{Run, RunId, RunState, Session};

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
    /// Tells what a session does. A review of the last reply counts as running, since messages wait for it.
    #[must_use]
    pub fn of(active: Option<&Run>, session: &Session) -> Self {
        let active = active.filter(|run| run.finalized_at.is_none());
        let after = session.after_turn.as_ref();
        let reviewed = after.filter(|after| after.wants.review && active.is_none());
        let queued = session.follow_up_queue.len();
        let word = |holds: bool, word: &str| if holds { word } else { "idle" }.to_owned();
        let titling = after.is_some_and(|after| after.wants.title);
        let rename = match &session.rename_error {
            _ if titling => RenameActivity { state: "pending".to_owned(), error: None },
            Some(error) => RenameActivity { state: "failed".to_owned(), error: Some(error.clone()) },
            None => RenameActivity { state: "idle".to_owned(), error: None },
        };
        Self {
            run: RunActivity {
                state: word(active.is_some() || reviewed.is_some(), "running"),
                // A run that ended but is not yet in the history still counts as running.
                phase: match active {
                    Some(run) if run.state == RunState::Accepted => Some("accepted".to_owned()),
                    Some(_) => Some("running".to_owned()),
                    None => reviewed.map(|_| "reply_self_check".to_owned()),
                },
                started_at: active.and_then(|run| run.started_at.clone()),
                run_id: active.map(|run| run.id.clone()).or(reviewed.map(|after| after.run_id.clone())),
                cancel_requested: active.is_some_and(|run| run.cancel_requested),
            },
            queue: QueueActivity { state: word(queued > 0, "queued"), count: queued },
            rename,
            compact: CompactActivity { state: word(session.compaction.is_some(), "pending") },
        }
    }

    /// Tells whether an executor works on a message.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.run.state == "running" && self.run.phase.as_deref() != Some("reply_self_check")
    }

    /// Tells whether a message that comes now has to wait.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.run.state == "running" || self.compact.state == "pending"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pending::{AfterTurn, Wants};
    use serde_json::json;

    fn session() -> Session {
        Session::new("~".into(), "codex".into(), "2026-11-22T07:26:39.203Z")
    }

    #[test]
    fn a_review_counts_as_running_and_a_title_as_pending() {
        let run_id = RunId::random();
        let wants = Wants { review: true, title: true, ..Wants::default() };
        let mut session = session();
        session.after_turn =
            Some(AfterTurn { run_id: run_id.clone(), helper_run_id: None, wants, through_seq: 0 });
        let activity = Activity::of(None, &session);
        assert_eq!(
            (activity.run.state.as_str(), activity.run.phase.as_deref()),
            ("running", Some("reply_self_check"))
        );
        assert_eq!((activity.run.run_id, activity.rename.state.as_str()), (Some(run_id), "pending"));
        session.after_turn = None;
        session.rename_error = Some("no".into());
        let rename = Activity::of(None, &session).rename;
        assert_eq!((rename.state.as_str(), rename.error.as_deref()), ("failed", Some("no")));
    }

    #[test]
    fn an_idle_session_reads_as_documented() {
        assert_eq!(
            serde_json::to_value(Activity::of(None, &session())).unwrap(),
            json!({"run":{"state":"idle","phase":null,"startedAt":null,"runId":null,"cancelRequested":false},
                   "queue":{"state":"idle","count":0},"rename":{"state":"idle","error":null},"compact":{"state":"idle"}})
        );
    }
}
