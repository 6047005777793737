//! Finding runs and requests in the whole history of a session, as instances want it that are older than
//! this version.

use remotelab_protocol::{Event, Role};
use serde_json::Value;

use crate::submit::item_of_request;

/// Finds the run that works on a request: the user message that carries it, alone or in a batch.
pub(super) fn run_of(events: &[Event], request: &str) -> Option<String> {
    let carries = |event: &&Event| requests_in(event).iter().any(|id| id == request);
    events.iter().filter(|event| event.is_message_of(Role::User)).find(carries)?.run_id.clone()
}

/// Lists the requests of ours that a run answers.
pub(super) fn requests_of(events: &[Event], run_id: &str) -> Vec<String> {
    let of_run = |event: &&Event| event.is_message_of(Role::User) && event.run_id.as_deref() == Some(run_id);
    events.iter().filter(of_run).flat_map(requests_in).collect()
}

/// Reads which of our requests a user message carries, from its request id and its context in both
/// forms.
fn requests_in(event: &Event) -> Vec<String> {
    let mut requests: Vec<String> = event.request_id.clone().into_iter().collect();
    if let Some(message) = event.as_message() {
        let text = |value: &Value| value.get("requestId").and_then(Value::as_str).map(str::to_owned);
        let context = message.source_context.as_ref();
        let queued = context.and_then(|context| context.get("queuedMessages")?.as_array());
        requests.extend(context.and_then(text));
        requests.extend(queued.into_iter().flatten().filter_map(text));
        requests.extend(message.queued_request_ids.iter().flatten().cloned());
    }
    requests.retain(|request| item_of_request(request).is_some());
    requests.sort();
    requests.dedup();
    requests
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::submit::request_id;
    use remotelab_protocol::event::Message;
    use serde_json::json;

    fn user(run: &str, context: Value) -> Event {
        let message = Message { source_context: Some(context), ..Message::default() };
        Event { run_id: Some(run.into()), ..Event::message(Role::User, message, 0) }
    }

    #[test]
    fn finds_the_run_of_a_mail_alone_or_in_a_batch() {
        let mail = |id: &str| json!({"channel": "email", "requestId": request_id(id, 0)});
        let events = [
            user("run_1", mail("mail_a")),
            user("run_2", json!({"comment": 1, "requestId": "other"})),
            user(
                "run_3",
                json!({"queuedMessages": [
                    {"requestId": "mailbox_reply_mail_b", "sourceContext": mail("mail_b")},
                    {"requestId": "mailbox_reply_mail_c"},
                ]}),
            ),
            Event { request_id: Some(request_id("mail_a", 1)), ..user("run_4", json!({})) },
        ];
        let run = |item: &str, round| run_of(&events, &request_id(item, round));
        assert_eq!(run("mail_a", 0).as_deref(), Some("run_1"));
        assert_eq!(run("mail_b", 0).as_deref(), Some("run_3"));
        assert_eq!(run("mail_c", 0).as_deref(), Some("run_3"));
        assert_eq!(run("mail_a", 1).as_deref(), Some("run_4"), "the second round");
        assert_eq!(run("mail_d", 0), None);
        assert_eq!(requests_of(&events, "run_3"), ["mailbox_reply_mail_b", "mailbox_reply_mail_c"]);
        assert_eq!(requests_of(&events, "run_4"), [request_id("mail_a", 1)]);
        assert!(requests_of(&events, "run_2").is_empty());
    }
}
