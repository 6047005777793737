//! Which run answered which request of a session: an append-only list, so that telling a duplicate costs
//! the same whatever the number of runs.

use std::collections::HashMap;
use std::fs;

use remotelab_config::InstancePaths;
use remotelab_protocol::{Event, Role, RunId, SessionId};
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
    /// Reads a session's list. One that is missing, damaged or behind the history, which ends at
    /// `latest_seq`, is completed from the user messages. Blocks.
    #[must_use]
    pub fn load(paths: &InstancePaths, session: &SessionId, latest_seq: u64) -> Self {
        let history = History::of(paths, session);
        let stored = fs::read(paths.config().join(relative::requests(session))).unwrap_or_default();
        if let Some(list) = Self::parse(&stored) {
            // Older tools append messages and know no list; a list that was cut lacks the last one, too.
            let last = (1..=latest_seq).rev().find_map(|seq| asked(&history.event(seq, Bodies::Preview)?));
            if last.is_none_or(|(request, _)| list.runs.contains_key(&request)) {
                return list;
            }
        }
        let lines = stored.split(|&byte| byte == b'\n').filter_map(|line| Line::parse(line).ok());
        let events = history.read(1..=latest_seq, Bodies::Preview);
        let runs = lines.chain(events.iter().flat_map(all_asked)).collect();
        Self { runs, length: 0 }
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

    /// Reads a list that has no damage; an empty one counts as missing.
    fn parse(bytes: &[u8]) -> Option<Self> {
        let whole = bytes.strip_suffix(b"\n")?;
        let runs = whole.split(|&byte| byte == b'\n').map(Line::parse).collect::<Result<_, _>>().ok()?;
        Some(Self { runs, length: bytes.len() as u64 })
    }
}

impl Line {
    fn parse(line: &[u8]) -> serde_json::Result<(String, RunId)> {
        serde_json::from_slice(line).map(|Self { request_id, run_id }| (request_id, run_id))
    }
}

/// Returns the request and the run of a user's message.
fn asked(event: &Event) -> Option<(String, RunId)> {
    let run = || RunId::parse(event.run_id.as_deref()?).ok();
    event.is_message_of(Role::User).then(|| Some((event.request_id.clone()?, run()?))).flatten()
}

/// As [`asked`], with the requests that were delivered together.
fn all_asked(event: &Event) -> Vec<(String, RunId)> {
    let Some((request, run)) = asked(event) else {
        return Vec::new();
    };
    let together = event.as_message().and_then(|message| message.queued_request_ids.as_deref());
    let together = together.unwrap_or_default().iter().map(|request| (request.clone(), run.clone()));
    together.chain([(request, run.clone())]).collect()
}

fn push_line(bytes: &mut Vec<u8>, request_id: &str, run_id: &RunId) {
    let line = Line { request_id: request_id.to_owned(), run_id: run_id.clone() };
    serde_json::to_writer(&mut *bytes, &line).expect("two strings are always JSON");
    bytes.push(b'\n');
}
