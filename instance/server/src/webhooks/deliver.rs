//! Making the deliveries: several hooks at once, each hook one after the other, so that a receiver that hangs
//! keeps nobody but itself waiting.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use remotelab_protocol::reply::Chosen;
use reqwest::{Client, StatusCode, redirect};
use serde_json::json;
use tokio::task::{Id, JoinSet};

use super::delivery::Delivery;
use super::hook::Hook;
use super::{Error, signature};
use crate::app::{Shared, blocking};
use crate::clock::now_ms;
use crate::reply::{self, Reply};
use crate::sessions;

/// How many deliveries are made at once.
const PARALLEL: usize = 8;
const CONNECT: Duration = Duration::from_secs(5);
/// How long an attempt may take.
const ATTEMPT: Duration = Duration::from_secs(10);
/// The longest sleep; the time of day may be set meanwhile.
const POLL: Duration = Duration::from_secs(60);
/// How long to wait after storage refused.
const STORAGE_RETRY_MS: i64 = 5_000;
/// How much of a reply is told, in bytes.
const REPLY_MAX: usize = 64 << 10;

/// Makes every delivery when it is due, for as long as the server lives.
pub(crate) async fn deliver_for_ever(app: Shared) {
    // Made when it is needed: most instances have no hooks, and roots of trust take time to read.
    let mut client: Option<Client> = None;
    let mut attempts: JoinSet<()> = JoinSet::new();
    let mut hooks: HashMap<Id, String> = HashMap::new();
    loop {
        let busy: BTreeSet<String> = hooks.values().cloned().collect();
        let next = app.webhooks.outbox().next(&busy).filter(|_| attempts.len() < PARALLEL);
        let wait = next.as_ref().map_or(POLL, |(_, at)| until(*at));
        if let Some((delivery, _)) = next.filter(|_| wait.is_zero()) {
            let client = client.get_or_insert_with(new_client).clone();
            let hook = delivery.hook.clone();
            hooks.insert(attempts.spawn(attempt(Arc::clone(&app), client, delivery)).id(), hook);
            continue;
        }
        tokio::select! {
            Some(ended) = attempts.join_next_with_id() => {
                let id = match ended { Ok((id, ())) => id, Err(error) => error.id() };
                hooks.remove(&id);
            }
            () = app.webhooks.changed.notified() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

fn until(at_ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(at_ms.saturating_sub(now_ms())).unwrap_or(0)).min(POLL)
}

fn new_client() -> Client {
    // Fails only when another part of the process installed one first, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = Client::builder()
        .redirect(redirect::Policy::none())
        .connect_timeout(CONNECT)
        .timeout(ATTEMPT)
        .user_agent(concat!("remotelab/", env!("CARGO_PKG_VERSION")))
        .build();
    client.unwrap_or_default()
}

/// How an attempt ended.
enum Outcome {
    /// The receiver has it, or there is nothing to tell any more.
    Done,
    /// The receiver wants nothing more.
    Gone,
    Failed(String),
}

async fn attempt(app: Shared, client: Client, mut delivery: Delivery) {
    let Some(hook) = app.webhooks.hook(&delivery.hook) else {
        return finish(&app, delivery).await;
    };
    // It tells of the files that the run made.
    app.publishing.over(&delivery.run_id).await;
    match send(&app, &client, &hook, &delivery).await {
        Outcome::Done => finish(&app, delivery).await,
        Outcome::Gone => {
            tracing::warn!(webhook.id = %hook.id, "the receiver answered 410: the webhook is removed");
            let worker = Arc::clone(&app);
            match blocking(move || worker.webhooks.delete(&hook.id)).await {
                Ok(_) | Err(Error::NotFound) => finish(&app, delivery).await,
                Err(error) => {
                    tracing::warn!(%error, "a webhook cannot be removed");
                    later(&app, delivery);
                }
            }
        }
        Outcome::Failed(reason) => {
            if delivery.failed(&reason, now_ms(), rand::random()) {
                tracing::debug!(webhook.id = %hook.id, delivery.id = %delivery.id, %reason, "a delivery failed");
                keep(&app, delivery).await;
            } else {
                tracing::warn!(webhook.id = %hook.id, delivery.id = %delivery.id, %reason, "a delivery is given up");
                finish(&app, delivery).await;
            }
        }
    }
}

async fn send(app: &Shared, client: &Client, hook: &Hook, delivery: &Delivery) -> Outcome {
    let Some(body) = body(app, delivery).await else {
        return Outcome::Done;
    };
    let seconds = now_ms() / 1_000;
    let request = client
        .post(&hook.url)
        .header("content-type", "application/json")
        .header("x-remotelab-event", delivery.event.name())
        .header("x-remotelab-delivery", &delivery.id)
        .header(signature::HEADER, signature::sign(&hook.secret, seconds, &body))
        .body(body);
    // Only the status counts; whatever body comes with it is not read.
    match request.send().await {
        Ok(answer) if answer.status().is_success() => Outcome::Done,
        Ok(answer) if answer.status() == StatusCode::GONE => Outcome::Gone,
        Ok(answer) => Outcome::Failed(format!("answered {}", answer.status().as_u16())),
        Err(error) if error.is_timeout() => Outcome::Failed("no answer in time".to_owned()),
        Err(error) if error.is_connect() => Outcome::Failed("cannot connect".to_owned()),
        Err(_) => Outcome::Failed("the connection broke".to_owned()),
    }
}

/// Writes what is told; the same at each attempt. `None` when the run is no longer there.
async fn body(app: &Shared, delivery: &Delivery) -> Option<Vec<u8>> {
    let cell = sessions::find(app, &delivery.session_id)?;
    let (store, id) = (Arc::clone(&app.store), delivery.run_id.clone());
    let run = blocking(move || store.run(&id)).await.ok().flatten()?;
    let (asked, history) = (run.clone(), cell.history());
    let latest = cell.with(|state| state.meta.latest_seq);
    let Reply { chosen, attachments, .. } = blocking(move || reply::of(&asked, &history, latest)).await;
    let (text, seq) = chosen.map(|Chosen { text, seq }| (text, seq)).unzip();
    let cut = text.as_ref().map(|text| &text[..text.floor_char_boundary(REPLY_MAX)]);
    let body = json!({
        "id": delivery.id,
        "event": delivery.event,
        "createdAt": delivery.created_at,
        "sessionId": delivery.session_id,
        "run": run,
        "reply": cut,
        "replySeq": seq,
        "replyTruncated": cut.map(str::len) != text.as_ref().map(String::len),
        "attachments": attachments,
    });
    serde_json::to_vec(&body).ok()
}

/// Ends a delivery. Its file says so durably before it is removed: the journal may still hold the delivery
/// and would bring it back after a crash. It is removed when nothing is left to be written to it.
async fn finish(app: &Shared, mut delivery: Delivery) {
    delivery.done = true;
    let path = delivery.path();
    let noted = app.store.put(&path, delivery.bytes());
    if noted.durable().await.is_err() || app.store.carry_out().durable().await.is_err() {
        delivery.done = false;
        return later(app, delivery);
    }
    let file = app.settings.paths.config().join(path);
    if let Err(error) = blocking(move || std::fs::remove_file(file)).await {
        tracing::debug!(%error, "a delivery that is done is removed at the next start");
    }
    app.webhooks.outbox().remove(&delivery.id);
}

/// Notes a failed attempt. When that is not possible the next server tries a little earlier.
async fn keep(app: &Shared, delivery: Delivery) {
    let _ = app.store.put(delivery.path(), delivery.bytes()).durable().await;
    app.webhooks.outbox().put(delivery);
}

fn later(app: &Shared, mut delivery: Delivery) {
    delivery.next_attempt_at = now_ms() + STORAGE_RETRY_MS;
    app.webhooks.outbox().put(delivery);
}
