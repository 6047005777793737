//! Files that hold a list of records: executors, triggers, templates, webhooks, logins. Who works with such a file takes
//! the entries that he understands and leaves the others alone; here they are told of.

use std::path::Path;

use remotelab_config::InstancePaths;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::{Damage, check, entries, is_json};

/// What an entry has at least.
#[derive(Deserialize)]
struct Tool {
    #[serde(rename = "command")]
    _command: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Trigger {
    #[serde(rename = "status")]
    _status: TriggerStatus,
    #[serde(rename = "enabled")]
    _enabled: bool,
    #[serde(rename = "id")]
    _id: String,
    #[serde(rename = "sessionId")]
    _session_id: String,
    #[serde(rename = "scheduledAt")]
    _scheduled_at: String,
    #[serde(rename = "text")]
    _text: String,
    #[serde(rename = "requestId")]
    _request_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum TriggerStatus {
    Pending,
    Delivering,
    Delivered,
    Failed,
    Cancelled,
}

#[derive(Deserialize)]
struct Named {
    #[serde(rename = "id")]
    _id: String,
}

#[derive(Deserialize)]
struct Webhooks {
    #[serde(default)]
    webhooks: Vec<Value>,
}

#[derive(Deserialize)]
struct Webhook {
    #[serde(rename = "id")]
    _id: String,
    #[serde(rename = "url")]
    _url: String,
    #[serde(rename = "events")]
    _events: Vec<WebhookEvent>,
    #[serde(rename = "secret")]
    _secret: String,
}

#[derive(Deserialize)]
enum WebhookEvent {
    #[serde(rename = "run.completed")]
    Completed,
    #[serde(rename = "run.failed")]
    Failed,
    #[serde(rename = "run.cancelled")]
    Cancelled,
}

#[derive(Deserialize)]
struct RunTokens {
    #[serde(rename = "key")]
    _key: String,
    #[serde(rename = "scope")]
    _scope: String,
}

/// Looks at all of them and at what else stands in the configuration folder, and at those that were put aside
/// because they could not be read.
pub(super) fn scan(paths: &InstancePaths, damaged: &mut Vec<Damage>) {
    let config = paths.config();
    each::<Tool>(&paths.tools(), damaged);
    each::<Trigger>(&config.join("chat-triggers.json"), damaged);
    each::<Named>(&paths.apps(), damaged);
    let webhooks = config.join("webhooks.json");
    if let Some(file) = check::<Webhooks>(&webhooks, damaged) {
        usable::<Webhook>(&webhooks, file.webhooks, damaged);
    }
    check::<RunTokens>(&paths.run_tokens(), damaged);
    for keyed in [paths.auth_sessions(), config.join("install-handoffs.json")] {
        check::<Map<String, Value>>(&keyed, damaged);
    }
    for delivery in entries(&config.join("webhooks/outbox"), damaged).iter().filter(|path| is_json(path)) {
        check::<Map<String, Value>>(delivery, damaged);
    }
    for path in entries(config, damaged) {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.contains(".json.damaged") {
            damaged.push(Damage::new(path, "it was put aside, since it could not be read".to_owned()));
        }
    }
}

fn each<T: DeserializeOwned>(path: &Path, damaged: &mut Vec<Damage>) {
    if let Some(list) = check::<Vec<Value>>(path, damaged) {
        usable::<T>(path, list, damaged);
    }
}

fn usable<T: DeserializeOwned>(path: &Path, list: Vec<Value>, damaged: &mut Vec<Damage>) {
    let all = list.len();
    let unusable: Vec<_> =
        list.into_iter().filter_map(|entry| serde_json::from_value::<T>(entry).err()).collect();
    if let Some(why) = unusable.first() {
        let count = unusable.len();
        damaged.push(Damage::new(path.to_owned(), format!("{count} of {all} entries cannot be used: {why}")));
    }
}
