//! Which run answered which request of a session: an append-only list, so that telling a duplicate costs
//! the same whatever the number of runs.

use std::collections::HashMap;
use std::fs;

use remotelab_config::InstancePaths;
use remotelab_protocol::{Role, RunId, SessionId};
use serde::{Deserialize, Serialize};

use crate::history::{Bodies, History, relative};
use crate::journal::Transaction;

/// The requests of one session.
#[derive(Clone, Debug, Default)]
pub struct Requests {
    runs: HashMap<String, RunId>,
    /// Length of the list's file: where the next line goes.
    length: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    request_id: String,
    run_id: RunId,
}

impl Requests {
    /// Reads a session's list; without one, rebuilds it from the user messages. Blocks.
    #[must_use]
    pub fn load(paths: &InstancePaths, session: &SessionId) -> Self {
        match fs::read(paths.config().join(relative::requests(session))) {
            Ok(bytes) => Self::parse(&bytes),
            Err(_) => Self::from_history(&History::of(paths, session)),
        }
    }

    /// Returns the run that answers a request.
    #[must_use]
    pub fn run(&self, request_id: &str) -> Option<&RunId> {
        self.runs.get(request_id)
    }

    /// Notes a run and adds the line to a transaction.
    pub fn note(
        &mut self,
        session: &SessionId,
        request_id: &str,
        run_id: &RunId,
        transaction: &mut Transaction,
    ) {
        let mut bytes = Vec::new();
        if self.length == 0 {
            // A list that was rebuilt is written whole with its first addition.
            self.runs.iter().for_each(|(request, run)| push_line(&mut bytes, request, run));
        }
        push_line(&mut bytes, request_id, run_id);
        let offset = self.length;
        self.length += bytes.len() as u64;
        self.runs.insert(request_id.to_owned(), run_id.clone());
        transaction.write_at(relative::requests(session), offset, bytes);
    }

    fn parse(bytes: &[u8]) -> Self {
        let runs = bytes
            .split(|&byte| byte == b'\n')
            .filter_map(|line| serde_json::from_slice::<Line>(line).ok())
            .map(|line| (line.request_id, line.run_id))
            .collect();
        Self { runs, length: bytes.len() as u64 }
    }

    fn from_history(history: &History) -> Self {
        let asked = history
            .read(1..=u64::MAX, Bodies::Preview)
            .into_iter()
            .filter(|event| event.is_message_of(Role::User));
        let runs =
            asked.filter_map(|event| Some((event.request_id?, RunId::parse(&event.run_id?).ok()?))).collect();
        Self { runs, length: 0 }
    }
}

fn push_line(bytes: &mut Vec<u8>, request_id: &str, run_id: &RunId) {
    let line = Line { request_id: request_id.to_owned(), run_id: run_id.clone() };
    serde_json::to_writer(&mut *bytes, &line).expect("two strings are always JSON");
    bytes.push(b'\n');
}
