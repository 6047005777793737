//! Work that a session still has to do besides its runs. It is stored with the session, so that a server
//! that starts anew goes on with it.

use serde::{Deserialize, Serialize};

use crate::{RunId, SessionId};

/// What is still to do after a turn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AfterTurn {
    /// The run that ended.
    pub run_id: RunId,
    /// The call that asks an executor about the turn, once it is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub helper_run_id: Option<RunId>,
    /// What it is asked for.
    #[serde(default)]
    pub wants: Wants,
    /// The last event of the turn; 0 when an older server noted it.
    #[serde(default)]
    pub through_seq: u64,
}

/// What is asked about a turn, all in one call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Wants {
    /// Whether the reply is complete. Messages wait for the answer.
    pub review: bool,
    /// A title.
    pub title: bool,
    /// A group.
    pub group: bool,
    /// A one-line description.
    pub description: bool,
    /// Whether the work is done, waits for the user or rests.
    pub workflow: bool,
    /// The task card.
    pub task_card: bool,
}

impl Wants {
    /// Tells whether anything is asked for.
    #[must_use]
    pub fn any(self) -> bool {
        self != Self::default()
    }
}

/// A summary of the context that is being made. Messages wait for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Compaction {
    /// The hidden session whose run makes the summary.
    pub session_id: SessionId,
    /// The key of that run's message.
    pub request_id: String,
    /// The last event that is summarised.
    pub through_seq: u64,
    /// How many messages there were.
    pub messages: u64,
    /// Whether the server began it by itself.
    pub automatic: bool,
    /// ISO time.
    pub started_at: String,
}
