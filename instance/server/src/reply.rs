//! What a run said to a person, read from the stored events.

use remotelab_protocol::reply::{Choice, Chosen};
use remotelab_protocol::{Attachment, Event, Role, Run};
use remotelab_store::history::{Bodies, History};
use serde_json::Value;

/// The field of a run's record that tells where its events begin.
pub(crate) const FIRST_SEQ: &str = "firstSeq";

/// What a run said to a person.
#[derive(Debug, Default)]
pub(crate) struct Reply {
    pub(crate) chosen: Option<Chosen>,
    /// The files of all its messages, each once.
    pub(crate) attachments: Vec<Attachment>,
    /// The requests that it answers: its own, or those that were delivered together.
    pub(crate) request_ids: Vec<String>,
}

/// Reads a run's reply in a history that ends at `latest`. Blocks; holds one event at a time.
pub(crate) fn of(run: &Run, history: &History, latest: u64) -> Reply {
    let mut reply = Reply::default();
    let mut choice = Choice::default();
    // Runs of older servers do not tell where they begin.
    let first = run.rest.get(FIRST_SEQ).and_then(Value::as_u64).unwrap_or(1);
    for seq in first..=latest {
        let Some(event) = history.event(seq, Bodies::Preview).filter(|event| belongs_to(event, run)) else {
            continue;
        };
        if event.is_message_of(Role::User) {
            reply.request_ids = asked_in(&event);
        }
        if !event.is_message_of(Role::Assistant) {
            continue;
        }
        let event = match event.body.body_loaded {
            Some(false) => history.event(seq, Bodies::Whole).unwrap_or(event),
            _ => event,
        };
        choice.look(&event);
        for file in event.as_message().into_iter().flat_map(|message| &message.attachments) {
            if !reply.attachments.iter().any(|known| known.identity() == file.identity()) {
                reply.attachments.push(file.public());
            }
        }
    }
    Reply { chosen: choice.chosen(), ..reply }
}

fn belongs_to(event: &Event, run: &Run) -> bool {
    event.run_id.as_deref() == Some(run.id.as_str())
}

fn asked_in(event: &Event) -> Vec<String> {
    let together = event.as_message().and_then(|message| message.queued_request_ids.clone());
    together.unwrap_or_else(|| event.request_id.clone().into_iter().collect())
}
