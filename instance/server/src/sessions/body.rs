//! A session as the wire shows it.

use remotelab_protocol::Session;
use remotelab_store::session::State;
use serde_json::{Map, Value, json};

use super::activity;

/// How much of a session a body tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Detail {
    /// Everything.
    Full,
    /// Without the queued messages and the instructions, for lists.
    Summary,
}

/// Returns a session as the wire shows it.
pub(crate) fn body(state: &State, detail: Detail) -> Value {
    let session = &state.session;
    let meta = &state.meta;
    let activity = activity(state);
    let mark = session.context_mark.clone().unwrap_or_default();
    let messages = meta.counts.get("message").copied().unwrap_or_default();
    let mut fields = session.public_fields();
    let mut workflow = Map::new();
    workflow.insert("entryMode".into(), session.entry_mode().into());
    for (key, value) in [
        ("state", &session.workflow_state),
        ("priority", &session.workflow_priority),
        ("lastReviewedAt", &session.last_reviewed_at),
    ] {
        if let Some(value) = value {
            workflow.insert(key.into(), value.as_str().into());
        }
    }
    let mut manager = Map::new();
    if let Some(agreements) = &session.active_agreements {
        manager.insert("activeAgreements".into(), json!(agreements));
    }
    manager.insert("memoryActivation".into(), json!({"searchPolicy": "pointer-first"}));
    let mut work = Map::new();
    work.insert("workflow".into(), Value::Object(workflow));
    if let Some(card) = session.rest.get("taskCard") {
        work.insert("taskCard".into(), card.clone());
    }
    let computed = json!({
        "latestSeq": meta.latest_seq,
        "lastEventAt": meta.last_event_at,
        "lastAssistantMessageAt": meta.last_assistant_message_at,
        "messageCount": messages,
        "activeMessageCount": messages.saturating_sub(mark.messages_before),
        "contextMode": if session.context_mark.is_some() { "summary" } else { "history" },
        "activeFromSeq": mark.active_from_seq,
        "compactedThroughSeq": mark.compacted_through_seq,
        "contextTokenEstimate": session.context_tokens,
        "managerState": manager,
        "workState": work,
        "activity": activity,
    });
    if let Value::Object(computed) = computed {
        fields.extend(computed);
    }
    match detail {
        Detail::Full => drop(fields.insert("queuedMessages".into(), queued_messages(session))),
        // Kilobytes that lists would repeat at every poll.
        Detail::Summary => drop(fields.remove("systemPrompt")),
    }
    Value::Object(fields)
}

fn queued_messages(session: &Session) -> Value {
    let rows = session.follow_up_queue.iter().map(|item| {
        let mut row = json!({"requestId": item.request_id, "text": item.text, "queuedAt": item.queued_at});
        if !item.images.is_empty() {
            let files: Vec<_> = item.images.iter().map(remotelab_protocol::Attachment::public).collect();
            row["attachments"] = json!(files);
            row["images"] = json!(files);
        }
        row
    });
    rows.collect()
}
