//! Sending through Cloudflare's email API.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{Dispatch, Environment, http};
use crate::address::Address;
use crate::settings::Outbound;
use crate::state::{Attempt, Failure};

/// Where the API is unless the settings say otherwise.
pub(crate) const BASE: &str = "https://api.cloudflare.com/client/v4";

pub(super) async fn send(outbound: &Outbound, env: Environment<'_>, dispatch: &Dispatch<'_>) -> Attempt {
    let base =
        if outbound.api_base_url.is_empty() { BASE } else { outbound.api_base_url.trim_end_matches('/') };
    let url = format!("{base}/accounts/{}/email/sending/send", outbound.account_id);
    let client = match http::client(&url) {
        Ok(client) => client,
        Err(attempt) => return attempt,
    };
    if !(dispatch.before_text)().await {
        return Attempt::Transient(Failure { code: 0, text: "the row could not be written".to_owned() });
    }
    let key = outbound.api_key(env).unwrap_or_default();
    match http::call(client.post(&url).bearer_auth(key).json(&body(dispatch.letter, dispatch)), false).await {
        Ok(answer) => outcome(answer.status.as_u16(), &answer.body["result"]),
        Err(attempt) => attempt,
    }
}

fn body(letter: &crate::letter::Letter, dispatch: &Dispatch<'_>) -> Value {
    let mut headers: BTreeMap<_, _> = letter.marks().into_iter().collect();
    headers.extend(letter.in_reply_to.as_ref().map(|id| ("In-Reply-To", format!("<{id}>"))));
    headers.extend(letter.references_header().map(|ids| ("References", ids)));
    let files = letter.files.iter().zip(dispatch.files).map(|(file, bytes)| {
        json!({"filename": file.name, "type": file.mime_type, "content": STANDARD.encode(bytes), "disposition": "attachment"})
    });
    let mut body = json!({
        "from": {"address": letter.from.to_string(), "name": letter.from_name},
        "to": letter.recipients().iter().map(ToString::to_string).collect::<Vec<_>>(),
        "subject": letter.subject,
        "text": letter.text,
        "headers": headers,
    });
    if let Some(html) = &letter.html {
        body["html"] = json!(html);
    }
    if let Some(reply_to) = &letter.reply_to {
        body["reply_to"] = json!(reply_to.to_string());
    }
    let files: Vec<Value> = files.collect();
    if !files.is_empty() {
        body["attachments"] = json!(files);
    }
    body
}

/// Each recipient has an outcome of its own.
fn outcome(status: u16, result: &Value) -> Attempt {
    let list = |key: &str| -> Vec<String> {
        let list = result[key].as_array().into_iter().flatten();
        list.filter_map(|address| address.as_str().map(str::to_owned)).collect()
    };
    let bounced = list("permanent_bounces");
    let taken = list("delivered").len() + list("queued").len();
    let named =
        || bounced.iter().filter(|address| Address::parse(address).is_ok()).cloned().collect::<Vec<_>>();
    match (taken, bounced.is_empty()) {
        (0, false) => {
            Attempt::Permanent(http::failure(status, &format!("refused for {}", named().join(", "))))
        }
        (_, true) => Attempt::Accepted(format!("{status} taken")),
        (_, false) => Attempt::Accepted(format!("{status} taken; refused for {}", named().join(", "))),
    }
}
