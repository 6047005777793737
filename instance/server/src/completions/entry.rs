//! The targets of one run that wait, as their file has them.

use remotelab_protocol::{RunId, SessionId};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::targets::{id_of, request_of};
use crate::clock::now_iso;

/// Where the files are, below the configuration folder.
pub(super) const FOLDER: &str = "completions";

/// The targets of one run that wait.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Entry {
    pub(super) run_id: RunId,
    pub(super) session_id: SessionId,
    pub(super) created_at: String,
    #[serde(rename = "targets")]
    pub(super) open: Vec<Open>,
    /// Nothing is left to do; the file only says so until it is removed.
    #[serde(default)]
    pub(super) done: bool,
}

/// A target of which nobody has said yet what became of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Open {
    /// Its name among those of its run.
    pub(super) key: String,
    pub(super) target: Value,
    /// Somebody has it in hand.
    #[serde(default)]
    pub(super) taken: bool,
}

impl Entry {
    pub(super) fn new(run: &RunId, session: &SessionId) -> Self {
        Self {
            run_id: run.clone(),
            session_id: session.clone(),
            created_at: now_iso(),
            open: Vec::new(),
            done: false,
        }
    }

    /// Adds a target. Ids that connectors left to us are the same for each request: the second of them gets the
    /// request along.
    pub(super) fn add(&mut self, target: Value) {
        let id = id_of(&target);
        let is_known = self.open.iter().any(|open| open.key == id);
        let key = if is_known { format!("{id}:{}", request_of(&target)) } else { id.to_owned() };
        self.open.push(Open { key, target, taken: false });
        self.done = false;
    }

    pub(super) fn has(&self, target: &Value) -> bool {
        let is_it = |known: &Value| (id_of(known), request_of(known)) == (id_of(target), request_of(target));
        self.open.iter().any(|open| is_it(&open.target))
    }

    /// Its file, below the configuration folder.
    pub(super) fn path(&self) -> String {
        format!("{FOLDER}/{}.json", self.run_id)
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a record of text is always JSON")
    }
}
