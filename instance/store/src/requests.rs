//! Which run answered which request of a session: an append-only list, so that telling a duplicate costs
//! the same whatever the number of runs.

use std::collections::{HashMap, HashSet};

use remotelab_protocol::{Event, Role, RunId, SessionId};
use serde::{Deserialize, Serialize};

use crate::history::{Bodies, History, relative};
use crate::journal::{Files, Transaction};

/// The requests of one session.
#[derive(Clone, Debug, Default)]
pub struct Requests {
    runs: HashMap<String, RunId>,
    /// Lines that the first addition writes along, when the list's file is not to be gone on with.
    unwritten: Vec<(String, RunId)>,
    /// Length of the list's file: where the next line goes.
    length: u64,
}

/// Returns the runs of a session that answer requests, the oldest first; one that answers several, once. Blocks.
#[must_use]
pub fn runs(files: &Files, session: &SessionId, latest_seq: u64) -> Vec<RunId> {
    let mut seen = HashSet::new();
    let runs = read(files, session, latest_seq).0.into_iter().map(|(_, run)| run);
    runs.filter(|run| seen.insert(run.clone())).collect()
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
    pub fn load(files: &Files, session: &SessionId, latest_seq: u64) -> Self {
        let (list, length) = read(files, session, latest_seq);
        let runs = list.iter().cloned().collect();
        Self { runs, unwritten: if length == 0 { list } else { Vec::new() }, length }
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
        for (request, run) in std::mem::take(&mut self.unwritten) {
            push_line(&mut bytes, &request, &run);
        }
        push_line(&mut bytes, request_id, run_id);
        let offset = self.length;
        self.length += bytes.len() as u64;
        self.runs.insert(request_id.to_owned(), run_id.clone());
        transaction.write_at(relative::requests(session), offset, bytes);
    }
}

/// Reads a session's list in order, and the length of its file; 0 when the file is not to be gone on with.
fn read(files: &Files, session: &SessionId, latest_seq: u64) -> (Vec<(String, RunId)>, u64) {
    let history = History::of(files, session);
    let stored = files.read(&relative::requests(session)).unwrap_or_default();
    if let Some(list) = parse(&stored) {
        // Older tools append messages and know no list; a list that was cut lacks the last one, too.
        let last = (1..=latest_seq).rev().find_map(|seq| asked(&history.event(seq, Bodies::Preview)?));
        if last.is_none_or(|(request, _)| list.iter().rev().any(|(known, _)| *known == request)) {
            return (list, stored.len() as u64);
        }
    }
    let lines = stored.split(|&byte| byte == b'\n').filter_map(|line| Line::parse(line).ok());
    let events = history.read(1..=latest_seq, Bodies::Preview);
    let mut seen = HashSet::new();
    let list = lines.chain(events.iter().flat_map(all_asked));
    (list.filter(|(request, _)| seen.insert(request.clone())).collect(), 0)
}

/// Reads a list that has no damage; an empty one counts as missing.
fn parse(bytes: &[u8]) -> Option<Vec<(String, RunId)>> {
    let whole = bytes.strip_suffix(b"\n")?;
    whole.split(|&byte| byte == b'\n').map(Line::parse).collect::<Result<_, _>>().ok()
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
