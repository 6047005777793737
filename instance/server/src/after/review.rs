//! What the history tells of a review. Pages fold these lines by their beginning.

use remotelab_protocol::event::Known;
use remotelab_protocol::{Event, Run, RunId};
use remotelab_store::Draft;
use serde_json::{Map, Value, json};

use crate::clock::now_ms;
use crate::submit::of_run;

/// Why a review was left out or changed nothing.
pub(super) const NEW_MESSAGES: &str = "new messages came first";

/// How a review ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Applied,
    Skipped,
    Failed,
}

/// Says that the reply of a run is going to be reviewed.
pub(super) fn announce(draft: &mut Draft<'_>, run: &Run) {
    let line = "Assistant self-check: reviewing the reply";
    draft.append(of_run(run, status(line)));
    draft.append(of_run(run, operation("queued", "Reviewing the reply", "")));
}

/// Says how the review ended.
pub(super) fn conclude(draft: &mut Draft<'_>, run: &RunId, phase: Phase, told: &str) {
    let (word, title) = match phase {
        Phase::Applied => ("applied", "Going on with what was missing"),
        Phase::Skipped => ("skipped", "The reply stands"),
        Phase::Failed => ("failed", "The reply was not reviewed"),
    };
    let of_run = |event: Event| Event { run_id: Some(run.to_string()), ..event };
    draft.append(of_run(status(&format!("Assistant self-check: {told}"))));
    draft.append(of_run(operation(word, title, told)));
}

fn status(content: &str) -> Event {
    Event::new(Known::Status { content: content.to_owned() }, now_ms())
}

fn operation(phase: &str, title: &str, summary: &str) -> Event {
    let fields: Map<String, Value> = match json!({
        "operation": "continue_turn", "phase": phase, "trigger": "automatic", "title": title, "summary": summary,
        "content": title,
    }) {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    Event::new(Known::ContextOperation(fields), now_ms())
}
