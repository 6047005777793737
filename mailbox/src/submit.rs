//! An approved mail becomes a message in a session of its instance.

use std::sync::Arc;

use remotelab_client::{Instance, Upload};
use remotelab_config::atomic;
use remotelab_protocol::wire::{CreateSession, PostMessage};
use serde::Deserialize;

use crate::clock::millis;
use crate::intake;
use crate::message::{Attachment, one_line};
use crate::office::{Error, Office, blocking};
use crate::places::{Place, Settings};
use crate::prompt::{self, Origin};
use crate::settings::{Automation, DeliveryMode, SessionDefaults};
use crate::state::Inbound;
use crate::store::{Answer, Delivery, Item, NewLetter, Store};
use crate::{backoff, reply, text, thread};

const REQUEST: &str = "mailbox_reply_";
const ROUND: &str = "_r";

/// What trying to hand a mail over led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The row moved on.
    Moved,
    /// The instance cannot be reached: others for it need not be tried in this pass.
    Unreachable,
}

/// Which executor a new session gets, and what a message asks of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Choice {
    tool: String,
    model: Option<String>,
    effort: Option<String>,
    thinking: bool,
    /// Set by the mailbox's operator: it also holds for sessions that exist.
    pinned: bool,
}

/// Hands over one mail. Doing it again is safe: the session is found by its conversation's key, the
/// message by its request id.
pub(crate) async fn submit(
    office: &Arc<Office>,
    place: &Place,
    settings: &Settings,
    store: &Arc<Store>,
    item: &Item,
) -> Result<Outcome, Error> {
    let (packing, packed) = (Arc::clone(store), item.clone());
    let Some(parcel) = blocking(move || pack(&packing, &packed)).await? else {
        give_up(office, place, settings, store, item, "the stored mail cannot be read").await?;
        return Ok(Outcome::Moved);
    };
    match hand_over(office, place, store, item, &settings.automation, parcel).await {
        Ok((session_id, run_id)) => {
            let state = match settings.automation.delivery_mode {
                DeliveryMode::ReplyEmail => Inbound::Submitted,
                DeliveryMode::SessionOnly => Inbound::NoReply,
            };
            let (store, item, now) = (Arc::clone(store), item.clone(), office.clock.now());
            blocking(move || {
                let run_id = run_id.as_deref();
                let delivery = Delivery { session_id: &session_id, run_id, state };
                Ok(store.delivered(&item, &delivery, now)?)
            })
            .await?;
            Ok(Outcome::Moved)
        }
        Err(Fault::Office(error)) => Err(error),
        Err(Fault::Instance(error)) => {
            let why = one_line(&chain(&error), 300);
            tracing::warn!(mail.id = %item.id, instance = place.label(), "mail {} not handed over: {why}", item.id);
            let wait = backoff::SUBMITTING.wait(item.attempts + 1, rand::random());
            let Some(wait) = wait.filter(|_| error.is_transient()) else {
                give_up(office, place, settings, store, item, &why).await?;
                return Ok(Outcome::Moved);
            };
            let due = office.clock.now() + millis(wait);
            let (store, item) = (Arc::clone(store), item.clone());
            blocking(move || Ok(store.postpone(&item, due, Some(&why))?)).await?;
            Ok(Outcome::Unreachable)
        }
    }
}

/// What a session gets of a mail.
struct Parcel {
    text: String,
    files: Vec<Upload>,
}

/// Reads the stored mail and writes its message. Blocks; `None` when it cannot be read.
fn pack(store: &Store, item: &Item) -> Result<Option<Parcel>, Error> {
    let Some(message) = intake::read(&store.raw(&item.sha256)?.into()) else { return Ok(None) };
    let extract = text::extract(&message.text, &message.head.subject);
    let text = prompt::text(&message, &item.message_id, &extract);
    let taken = prompt::within_limits(message.attachments);
    let upload = |file: Attachment| Upload { name: file.name, mime_type: file.mime_type, bytes: file.bytes };
    Ok(Some(Parcel { text, files: taken.into_iter().map(upload).collect() }))
}

enum Fault {
    Office(Error),
    Instance(remotelab_client::Error),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Office(error)
    }
}

impl From<remotelab_client::Error> for Fault {
    fn from(error: remotelab_client::Error) -> Self {
        Self::Instance(error)
    }
}

/// Returns the session and, unless the message was queued, its run.
async fn hand_over(
    office: &Office,
    place: &Place,
    store: &Arc<Store>,
    item: &Item,
    automation: &Automation,
    parcel: Parcel,
) -> Result<(String, Option<String>), Fault> {
    office.awake(place).await;
    let client = office.client(place)?;
    let thread_id = item.thread_id.unwrap_or_default();
    let reader = Arc::clone(store);
    let key = blocking(move || Ok(reader.thread_key(thread_id)?)).await?;
    let request = request_id(&item.id, item.round);
    let origin = Origin {
        item_id: &item.id,
        request_id: &request,
        thread_id,
        from: &item.facts.from,
        to: &item.rcpt,
        subject: &item.facts.subject,
        message_id: &item.message_id,
        auth_verdict: item.facts.word().as_str(),
    };
    let choice = choose(&client, place, &automation.session).await?;
    let session = client.create_session(&session(item, automation, &choice, &key, &origin)).await?;
    let post = PostMessage {
        request_id: Some(request.clone()),
        text: parcel.text,
        tool: choice.pinned.then(|| choice.tool.clone()),
        model: choice.model.clone().filter(|_| choice.pinned || session.tool == choice.tool),
        effort: choice.effort.clone().filter(|_| choice.pinned || session.tool == choice.tool),
        thinking: choice.thinking.then_some(true.into()),
        source_context: Some(origin.context()),
        ..PostMessage::default()
    };
    let accepted = client.post_message(session.id.as_str(), &post, &parcel.files).await?;
    Ok((session.id.to_string(), accepted.run.map(|run| run.id.to_string())))
}

/// The idempotency key of a mail's message; another one for each round.
pub(crate) fn request_id(item_id: &str, round: u32) -> String {
    match round {
        0 => format!("{REQUEST}{item_id}"),
        round => format!("{REQUEST}{item_id}{ROUND}{round}"),
    }
}

/// The mail that a request id belongs to.
pub(crate) fn item_of_request(request_id: &str) -> Option<&str> {
    let rest = request_id.strip_prefix(REQUEST)?;
    Some(rest.split_once(ROUND).map_or(rest, |(item_id, _)| item_id))
}

fn session(
    item: &Item,
    automation: &Automation,
    choice: &Choice,
    key: &str,
    origin: &Origin<'_>,
) -> CreateSession {
    let defaults = &automation.session;
    let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let description = format!("Inbound email from {}: {}", item.facts.from, item.facts.subject);
    CreateSession {
        folder: defaults.folder.clone(),
        tool: choice.tool.clone(),
        name: some(&item.facts.subject).or_else(|| some(&item.facts.from)),
        source_id: Some("email".to_owned()),
        source_name: Some("Email".to_owned()),
        group: some(&defaults.group),
        description: Some(one_line(&description, 160)),
        system_prompt: some(&defaults.system_prompt),
        external_trigger_id: Some(thread::external_trigger_id(key)),
        source_context: Some(origin.context()),
        ..CreateSession::default()
    }
}

/// Picks the executor: what the operator pinned, else what the instance's owner picked last, else
/// the first that is there.
async fn choose(
    client: &Instance,
    place: &Place,
    defaults: &SessionDefaults,
) -> Result<Choice, remotelab_client::Error> {
    let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    // `codex` alone is what older settings files hold by default, not a wish.
    let pinned = !matches!(defaults.tool.as_str(), "" | "codex")
        || defaults.thinking
        || !defaults.model.is_empty()
        || !defaults.effort.is_empty();
    let selection = selection(place).await;
    let wanted = if pinned {
        let tool = some(&defaults.tool).unwrap_or_else(|| selection.selected_tool.clone());
        Choice {
            tool,
            model: some(&defaults.model),
            effort: some(&defaults.effort),
            thinking: defaults.thinking,
            pinned: true,
        }
    } else {
        Choice {
            model: some(&selection.selected_model),
            effort: some(&selection.selected_effort),
            thinking: selection.thinking_enabled,
            tool: selection.selected_tool,
            pinned: false,
        }
    };
    let tools = client.tools().await?;
    let is_there = |id: &str| tools.iter().any(|tool| tool.id == id && tool.available);
    if is_there(&wanted.tool) {
        return Ok(wanted);
    }
    let usual = ["codex", "claude"].into_iter().find(|id| is_there(id)).map(str::to_owned);
    let first = || tools.iter().find(|tool| tool.available).map(|tool| tool.id.clone());
    let tool = usual.or_else(first).unwrap_or_else(|| "codex".to_owned());
    Ok(Choice { tool, ..Choice::default() })
}

/// `ui-runtime-selection.json` of an instance.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Selection {
    selected_tool: String,
    selected_model: String,
    selected_effort: String,
    thinking_enabled: bool,
}

async fn selection(place: &Place) -> Selection {
    let path = place.config.join("ui-runtime-selection.json");
    // A selection that cannot be read is no selection; the chat server reports broken files.
    tokio::task::spawn_blocking(move || atomic::read_json(&path).ok().flatten())
        .await
        .ok()
        .flatten()
        .unwrap_or_default()
}

/// Ends a mail that cannot be handed over and tells its sender.
async fn give_up(
    office: &Office,
    place: &Place,
    settings: &Settings,
    store: &Arc<Store>,
    item: &Item,
    why: &str,
) -> Result<(), Error> {
    let letter = reply::is_told(item, settings)
        .then(|| reply::compose(item, place, settings, None, reply::FAILURE_NOTICE))
        .flatten();
    let (store, item, why, now) = (Arc::clone(store), item.clone(), why.to_owned(), office.clock.now());
    blocking(move || {
        let target = format!("dead:{}", item.id);
        let letter = letter.as_ref().map(|letter| NewLetter {
            target: &target,
            kind: "failure",
            thread_id: item.thread_id,
            letter,
        });
        let items = [item.id.clone()];
        let unless_since = Some(now - reply::NOTICE_PAUSE);
        let answer = Answer { items: &items, state: Inbound::Dead, reason: &why, letter, unless_since };
        Ok(store.answer(&answer, now)?)
    })
    .await
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
