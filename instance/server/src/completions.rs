//! Where else answers go: targets that a connector names with a session or a message.
//!
//! The change that ends a run writes the targets of its requests into `completions/<run>.json`. Whoever carries
//! answers there, such as the mail bridge, asks for what waits and reports what became of it, which stands in the
//! run's record. A server that dies at any moment tells again what was not reported; the taker knows it by its id.

mod entry;
mod report;
pub(crate) mod targets;
mod told;
mod waiting;

use remotelab_protocol::{Run, RunId, Session};
use remotelab_store::{Draft, runs};
use serde_json::{Map, Value, json};

use crate::app::App;
use crate::clock::now_iso;
use crate::sessions;

use entry::{Entry, Open};
pub(crate) use report::{Error, Report, State, give_up_old, report};
use targets::{id_of, is_enabled, request_of};
pub(crate) use told::Query;
pub(crate) use waiting::Waiting;

/// The field of a run's record that tells what became of its targets.
const FIELD: &str = "completionTargets";

/// Notes with the end of a run whom its answer is for.
pub(crate) fn note(app: &App, draft: &mut Draft<'_>, run: &mut Run) {
    let refused = note_for(app, draft, &run.id.clone(), run.internal_operation.is_none());
    for open in refused {
        set_state(run, &open, "failed", json!({"failedAt": now_iso(), "lastError": "too many answers wait"}));
    }
}

/// As [`note`], for a run whose record is damaged.
pub(crate) fn note_lost(app: &App, draft: &mut Draft<'_>, run: &RunId) {
    drop(note_for(app, draft, run, false));
}

/// Adds targets to a session: each once for a request and an id, a later one in place of the earlier. One whose
/// request has its answer already is told of that.
pub(crate) fn add(app: &App, draft: &mut Draft<'_>, given: Vec<Value>) {
    let is_visitors = sessions::is_visitors(draft.session());
    for target in given.into_iter().filter(|_| !is_visitors) {
        let request = request_of(&target).to_owned();
        let run = if request.is_empty() { None } else { draft.run_of(&request) };
        let active = draft.session().active_run_id.as_ref();
        match run.filter(|run| active != Some(run)) {
            Some(ended) => add_late(app, draft, &ended, target),
            // As often as it is created again, a session changes when something is new.
            None if draft.session().completion_targets.contains(&target) => {}
            None => targets::merge(&mut draft.session_mut().completion_targets, target),
        }
    }
}

/// Writes the targets of a run's requests down and takes them from the session; those for every answer stay
/// there. Returns those for which there is no room.
fn note_for(app: &App, draft: &mut Draft<'_>, run: &RunId, for_people: bool) -> Vec<Open> {
    if draft.session().completion_targets.is_empty() {
        return Vec::new();
    }
    let (mut entry, mut left) = (Entry::new(run, &draft.session().id), Vec::new());
    for target in draft.session().completion_targets.clone() {
        let request = request_of(&target);
        let is_for_all = request.is_empty();
        let is_its = if is_for_all { for_people } else { draft.run_of(request).as_ref() == Some(run) };
        if is_its && is_enabled(&target) {
            entry.add(target.clone());
        }
        if !is_its || is_for_all {
            left.push(target);
        }
    }
    if left.len() < draft.session().completion_targets.len() {
        draft.session_mut().completion_targets = left;
    }
    put(app, draft, entry)
}

/// Adds a target whose run has ended, unless it was told already.
fn add_late(app: &App, draft: &mut Draft<'_>, run: &RunId, target: Value) {
    let mut entry = app.completions.get(run).unwrap_or_else(|| Entry::new(run, &draft.session().id));
    let record = runs::load(app.store.files(), run).ok().flatten();
    let was_told = record.is_some_and(|record| states(&record).any(|state| is_about(state, &target)));
    if was_told || !is_enabled(&target) || entry.has(&target) {
        return;
    }
    entry.add(target);
    if !put(app, draft, entry).is_empty() {
        tracing::warn!(run.id = %run, "a late target is dropped");
    }
}

/// Writes an entry along, unless too many wait: returns its targets then.
fn put(app: &App, draft: &mut Draft<'_>, entry: Entry) -> Vec<Open> {
    if entry.open.is_empty() {
        return Vec::new();
    }
    let (path, bytes) = (entry.path(), entry.bytes());
    match app.completions.put(entry) {
        Ok(()) => {
            draft.put_file(path, bytes);
            Vec::new()
        }
        Err(refused) => {
            tracing::error!(run.id = %refused.run_id, "too many answers wait to be taken; this one is not told");
            refused.open
        }
    }
}

/// What became of a run's targets so far.
fn states(run: &Run) -> impl Iterator<Item = &Value> {
    run.rest.get(FIELD).and_then(Value::as_object).into_iter().flat_map(Map::values)
}

fn is_about(state: &Value, target: &Value) -> bool {
    state["id"] == id_of(target) && state["requestId"] == request_of(target)
}

/// Writes into a run's record what became of a target; fields that are not given stay.
fn set_state(run: &mut Run, open: &Open, word: &str, more: Value) {
    let all = run.rest.entry(FIELD).or_insert_with(|| json!({}));
    let Some(all) = all.as_object_mut() else { return };
    let state = all.entry(open.key.clone()).or_insert_with(|| json!({}));
    state["id"] = id_of(&open.target).into();
    state["requestId"] = request_of(&open.target).into();
    state["state"] = word.into();
    if let (Some(state), Value::Object(more)) = (state.as_object_mut(), more) {
        state.extend(more);
    }
}

/// Keeps what a connector names with a new session.
pub(crate) fn begin(session: &mut Session, given: Vec<Value>) {
    given.into_iter().for_each(|target| targets::merge(&mut session.completion_targets, target));
}
