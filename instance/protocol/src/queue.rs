//! Messages sent while a session is busy, and how they become one.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::Attachment;

/// How many delivered request ids a session remembers.
pub const REMEMBERED: usize = 100;

/// A message that waits for the session to be free.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Queued {
    /// Its idempotency key.
    pub request_id: String,
    /// Its text.
    pub text: String,
    /// ISO time.
    pub queued_at: String,
    /// Its files.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<Attachment>,
    /// The executor it asks for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    /// The model it asks for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The effort it asks for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effort: Option<String>,
    /// Whether it asks for thinking.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub thinking: bool,
    /// What the connector told about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_context: Option<Value>,
}

/// A queue, taken together as one message.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// What the executor is told.
    pub prompt_text: String,
    /// What the transcript shows.
    pub transcript_text: String,
    /// The last executor asked for.
    pub tool: Option<String>,
    /// The last model asked for.
    pub model: Option<String>,
    /// The last effort asked for.
    pub effort: Option<String>,
    /// Whether any asked for thinking.
    pub thinking: bool,
    /// All files, in order.
    pub attachments: Vec<Attachment>,
    /// One item's own context, or the list of all of them.
    pub source_context: Option<Value>,
    /// The request ids, in order.
    pub request_ids: Vec<String>,
}

/// Takes a queue together; `None` when it is empty.
#[must_use]
pub fn batch(queue: &[Queued]) -> Option<Batch> {
    let (first, more) = queue.split_first()?;
    let last = |field: fn(&Queued) -> &Option<String>| {
        queue.iter().rev().find_map(|item| field(item).clone().filter(|text| !text.is_empty()))
    };
    let (prompt_text, transcript_text, source_context) = if more.is_empty() {
        (first.text.clone(), first.text.clone(), first.source_context.clone())
    } else {
        let list = numbered(queue);
        (
            format!(
                "These messages arrived while the previous turn was still being worked on. Treat them \
                 together as the next turn; where they disagree, the later one counts.\n\n{list}"
            ),
            format!("Queued follow-up messages sent while RemoteLab was busy:\n\n{list}"),
            Some(json!({ "queuedMessages": queue.iter().map(context_row).collect::<Vec<_>>() })),
        )
    };
    Some(Batch {
        prompt_text,
        transcript_text,
        tool: last(|item| &item.tool),
        model: last(|item| &item.model),
        effort: last(|item| &item.effort),
        thinking: queue.iter().any(|item| item.thinking),
        attachments: queue.iter().flat_map(|item| item.images.iter().cloned()).collect(),
        source_context,
        request_ids: queue.iter().map(|item| item.request_id.clone()).collect(),
    })
}

/// Adds delivered ids to those a session remembers, oldest forgotten first.
pub fn remember(remembered: &mut Vec<String>, delivered: &[String]) {
    for id in delivered {
        if !remembered.contains(id) {
            remembered.push(id.clone());
        }
    }
    let excess = remembered.len().saturating_sub(REMEMBERED);
    remembered.drain(..excess);
}

fn numbered(queue: &[Queued]) -> String {
    let lines = queue.iter().enumerate().map(|(index, item)| format!("{}. {}", index + 1, item.text));
    lines.collect::<Vec<_>>().join("\n\n")
}

/// Items without a context are listed too, so that every connector finds its request.
fn context_row(item: &Queued) -> Value {
    match &item.source_context {
        Some(context) => json!({ "requestId": item.request_id, "sourceContext": context }),
        None => json!({ "requestId": item.request_id }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(id: &str, text: &str) -> Queued {
        Queued { request_id: id.into(), text: text.into(), ..Queued::default() }
    }

    #[test]
    fn one_item_stays_itself_and_several_become_a_list() {
        assert_eq!(batch(&[]), None);
        let single =
            batch(&[Queued { source_context: Some(json!({"a": 1})), ..item("q-1", "also check Linux") }])
                .unwrap();
        assert_eq!(single.transcript_text, "also check Linux");
        assert_eq!(single.source_context, Some(json!({"a": 1})));

        let queue = [
            Queued { tool: Some("codex".into()), thinking: true, ..item("q-1", "also check Linux") },
            Queued { source_context: Some(json!({"b": 2})), ..item("q-2", "and Windows") },
        ];
        let both = batch(&queue).unwrap();
        assert_eq!(
            both.transcript_text,
            "Queued follow-up messages sent while RemoteLab was busy:\n\n1. also check Linux\n\n2. and Windows"
        );
        assert_eq!((both.tool.as_deref(), both.thinking), (Some("codex"), true));
        assert_eq!(
            both.source_context,
            Some(
                json!({"queuedMessages": [{"requestId": "q-1"}, {"requestId": "q-2", "sourceContext": {"b": 2}}]})
            )
        );
    }

    #[test]
    fn remembers_the_last_hundred() {
        let mut remembered = Vec::new();
        let ids: Vec<_> = (0..150).map(|n| format!("q-{n}")).collect();
        remember(&mut remembered, &ids);
        remember(&mut remembered, &ids[140..]);
        assert_eq!(remembered, ids[50..]);
    }
}
