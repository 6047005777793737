//! Taking a finished summary over, or saying why there is none.

use remotelab_protocol::event::{Known, Message};
use remotelab_protocol::pending::Compaction;
use remotelab_protocol::{Context, Event, Kind, Role, RunId, context};
use remotelab_store::{Commit, Draft, SessionCell};
use serde_json::{Map, json};

use super::summary::Summary;
use super::{message_count, prompt, tool_index};
use crate::clock::{now_iso, now_ms};

/// Takes the outcome over, once.
pub(super) fn take(
    source: &SessionCell,
    pending: &Compaction,
    run: Option<&RunId>,
    said: Result<String, String>,
) -> Commit {
    let outcome = said.and_then(|text| Summary::parse(&text).ok_or_else(|| "it held no summary".to_owned()));
    let history = source.history();
    let tools = tool_index::of(&history, prompt::stretch(&history.context(), pending.through_seq));
    let ((), commit) = source.change(|draft| {
        if draft.session().compaction.as_ref() != Some(pending) {
            return;
        }
        draft.session_mut().compaction = None;
        match outcome {
            Ok(summary) => apply(draft, pending, run, summary, tools),
            Err(reason) => {
                let text = format!("error: the conversation was not summarised: {reason}");
                draft.append(Event::new(Known::Status { content: text }, now_ms()));
                draft.append(operation("failed", pending.automatic, "Context summary failed", &reason));
                // Not again after each turn: only new figures may ask for it.
                draft.session_mut().context_tokens = None;
            }
        }
    });
    commit
}

fn apply(
    draft: &mut Draft<'_>,
    pending: &Compaction,
    run: Option<&RunId>,
    summary: Summary,
    tool_index: String,
) {
    let barrier_seq = draft.append(Event::new(
        Known::ContextBarrier {
            content: "What is above is told to the executor as a summary from here on.".to_owned(),
            automatic: pending.automatic,
            compaction_session_id: Some(pending.session_id.to_string()),
        },
        now_ms(),
    ));
    let handoff = Message {
        content: summary.handoff,
        source: Some("context_compaction_handoff".to_owned()),
        compaction_run_id: run.map(ToString::to_string),
        ..Message::default()
    };
    let handoff_seq = draft.append(Event::message(Role::Assistant, handoff, now_ms()));
    let mut applied = operation("applied", pending.automatic, "Context summarised", "");
    if let Kind::Known(Known::ContextOperation(fields)) = &mut applied.kind {
        fields.insert("compactedThroughSeq".into(), pending.through_seq.into());
        fields.insert("summaryChars".into(), summary.summary.chars().count().into());
    }
    draft.append(applied);
    let active_from_seq = draft.append(Event::new(status("The conversation was summarised"), now_ms()));
    let context = Context {
        mode: context::Mode::Summary,
        summary: summary.summary,
        active_from_seq,
        compacted_through_seq: pending.through_seq,
        input_tokens: draft.session().context_tokens,
        updated_at: Some(now_iso()),
        source: Some("context_compaction".to_owned()),
        tool_index,
        barrier_seq: Some(barrier_seq),
        handoff_seq: Some(handoff_seq),
        compaction_session_id: Some(pending.session_id.to_string()),
        rest: Map::new(),
    };
    let messages = message_count(draft);
    draft.put_context(&context, messages);
    let session = draft.session_mut();
    session.forget_resume_ids();
    session.context_tokens = None;
    session.updated_at = now_iso();
}

pub(super) fn status(content: &str) -> Known {
    Known::Status { content: content.to_owned() }
}

pub(super) fn operation(phase: &str, automatic: bool, title: &str, reason: &str) -> Event {
    let trigger = if automatic { "automatic" } else { "manual" };
    let mut fields = Map::new();
    for (key, value) in [
        ("operation", "compact_context"),
        ("phase", phase),
        ("trigger", trigger),
        ("title", title),
        ("content", title),
        ("reason", reason),
    ] {
        if !value.is_empty() {
            fields.insert(key.to_owned(), json!(value));
        }
    }
    Event::new(Known::ContextOperation(fields), now_ms())
}
