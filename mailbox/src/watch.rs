//! A mail in a session is watched until its run ends, then answered.

use std::sync::Arc;
use std::time::Duration;

use remotelab_client::Instance;
use remotelab_protocol::{Event, Role, RunState, reply as protocol_reply};
use serde_json::Value;

use crate::clock::millis;
use crate::office::{Error, Office, blocking};
use crate::places::{Place, Settings};
use crate::state::Inbound;
use crate::store::{Answer, Item, NewLetter, Store};
use crate::submit::{item_of_request, request_id};
use crate::{backoff, reply};

/// A run that has not ended by then counts as failed.
const PATIENCE: Duration = Duration::from_secs(7 * 24 * 3600);

/// The pause after an instance did not answer: it is local and comes back soon or stays away.
const UNREACHABLE_PAUSE: Duration = Duration::from_secs(2);

/// How a run ended for the mails it worked on.
#[derive(Clone, Debug, PartialEq, Eq)]
enum End {
    Answered(String),
    /// A word for the listing.
    Failed(String),
}

/// Looks at one submitted mail once.
pub(crate) async fn look(
    office: &Arc<Office>,
    place: &Place,
    settings: &Settings,
    store: &Arc<Store>,
    item: &Item,
) -> Result<(), Error> {
    let now = office.clock.now();
    let watched = now - item.submitted_at.unwrap_or(now);
    if watched > millis(PATIENCE) {
        let end = End::Failed("no answer within seven days".to_owned());
        return conclude(office, place, settings, store, item, &[], end).await;
    }
    let pause = match find_end(office, place, store, item).await {
        Ok(Some((items, end))) => {
            return conclude(office, place, settings, store, item, &items, end).await;
        }
        Ok(None) => backoff::poll_pause(Duration::from_millis(u64::try_from(watched).unwrap_or(0))),
        Err(Fault::Office(error)) => return Err(error),
        Err(Fault::Instance(error)) if is_gone(&error) => {
            let end = End::Failed("its session or run is gone".to_owned());
            return conclude(office, place, settings, store, item, &[], end).await;
        }
        Err(Fault::Instance(error)) => {
            tracing::debug!(mail.id = %item.id, "run of mail {} not readable: {error}", item.id);
            UNREACHABLE_PAUSE
        }
    };
    let (store, item, due) = (Arc::clone(store), item.clone(), now + millis(pause));
    blocking(move || Ok(store.postpone(&item, due, None)?)).await
}

enum Fault {
    Office(Error),
    Instance(remotelab_client::Error),
}

impl From<remotelab_client::Error> for Fault {
    fn from(error: remotelab_client::Error) -> Self {
        Self::Instance(error)
    }
}

/// Tells whether the instance knows nothing of the session or run any more.
fn is_gone(error: &remotelab_client::Error) -> bool {
    error.status().is_some_and(|status| status == http::StatusCode::NOT_FOUND)
}

/// Returns how the mail's run ended and which mails it answers, or `None` while it goes on.
async fn find_end(
    office: &Office,
    place: &Place,
    store: &Arc<Store>,
    item: &Item,
) -> Result<Option<(Vec<String>, End)>, Fault> {
    let client: Arc<Instance> = office.client(place)?;
    let session_id = item.session_id.as_deref().unwrap_or_default();
    let run_id = match &item.run_id {
        Some(run_id) => run_id.clone(),
        None => {
            let events = client.events(session_id).await?;
            let Some(run_id) = run_of(&events, &request_id(&item.id, item.round)) else {
                return Ok(None);
            };
            let (store, id, found) = (Arc::clone(store), item.id.clone(), run_id.clone());
            let now = office.clock.now();
            blocking(move || Ok(store.found_run(&id, &found, now)?)).await.map_err(Fault::Office)?;
            run_id
        }
    };
    let run = client.run(&run_id).await?;
    if !run.state.is_terminal() {
        return Ok(None);
    }
    let events = client.events(run.session_id.as_str()).await?;
    let items = items_of(&events, &run_id);
    let text = protocol_reply::choose(&events, protocol_reply::Of::Run(&run_id));
    let end = match (run.state, text) {
        (RunState::Completed, Some(text)) => End::Answered(text),
        (RunState::Completed, None) => End::Failed("the run said nothing".to_owned()),
        (RunState::Cancelled, _) => End::Failed("the run was cancelled".to_owned()),
        (_, _) => End::Failed(run.failure_reason.unwrap_or_else(|| "the run failed".to_owned())),
    };
    Ok(Some((items, end)))
}

/// Finds the run that works on a request: the user message that carries it, alone or in a batch.
fn run_of(events: &[Event], request: &str) -> Option<String> {
    let carries = |event: &&Event| requests_in(event).iter().any(|id| id == request);
    events.iter().filter(|event| event.is_message_of(Role::User)).find(carries)?.run_id.clone()
}

/// Lists the mails that a run answers.
fn items_of(events: &[Event], run_id: &str) -> Vec<String> {
    let of_run = |event: &&Event| event.is_message_of(Role::User) && event.run_id.as_deref() == Some(run_id);
    let requests = events.iter().filter(of_run).flat_map(requests_in);
    requests.filter_map(|request| item_of_request(&request).map(str::to_owned)).collect()
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

/// Writes the answer and the mails' fate in one step. A run that worked on several mails gives one
/// letter, which answers the newest of them.
async fn conclude(
    office: &Office,
    place: &Place,
    settings: &Settings,
    store: &Arc<Store>,
    item: &Item,
    items: &[String],
    end: End,
) -> Result<(), Error> {
    let now = office.clock.now();
    let (store, item, place, settings) = (Arc::clone(store), item.clone(), place.clone(), settings.clone());
    let items = items.to_vec();
    blocking(move || {
        let mut together = vec![item.clone()];
        for id in items.iter().filter(|id| **id != item.id) {
            let other = store.item(id)?;
            together.extend(other.filter(|other| other.thread_id == item.thread_id && is_open(other)));
        }
        let newest = together.iter().max_by_key(|item| (item.received_at, &item.id)).unwrap_or(&item);
        let (state, kind, text, reason) = match &end {
            End::Answered(text) => (Inbound::Answered, "reply", text.as_str(), ""),
            End::Failed(why) => (Inbound::Failed, "failure", reply::FAILURE_NOTICE, why.as_str()),
        };
        let letter = reply::compose(newest, &place, &settings, text);
        let target = format!("run:{}", item.run_id.as_deref().unwrap_or(&item.id));
        let letter = letter.as_ref().map(|letter| NewLetter {
            target: &target,
            kind,
            thread_id: item.thread_id,
            letter,
        });
        let ids: Vec<String> = together.iter().map(|item| item.id.clone()).collect();
        let unless_since = (state == Inbound::Failed).then_some(now - reply::NOTICE_PAUSE);
        Ok(store.answer(&Answer { items: &ids, state, reason, letter, unless_since }, now)?)
    })
    .await
}

/// Whether a mail still waits for its answer.
fn is_open(item: &Item) -> bool {
    matches!(item.state, Inbound::Submitted | Inbound::Approved)
}

#[cfg(test)]
mod tests {
    use super::*;
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
        assert_eq!(items_of(&events, "run_3"), ["mail_b", "mail_c"]);
        assert_eq!(items_of(&events, "run_4"), ["mail_a"]);
        assert!(items_of(&events, "run_2").is_empty());
    }
}
