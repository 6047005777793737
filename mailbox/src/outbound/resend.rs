//! Sending through an API of Resend's kind.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{Dispatch, Environment, http};
use crate::settings::Outbound;
use crate::state::Attempt;

/// Where the API is unless the settings say otherwise.
pub(crate) const BASE: &str = "https://api.resend.com";

pub(super) async fn send(outbound: &Outbound, env: Environment<'_>, dispatch: &Dispatch<'_>) -> Attempt {
    let base = super::resend_base(&outbound.api_base_url);
    let url = format!("{base}/emails");
    let client = match http::client(&url) {
        Ok(client) => client,
        Err(attempt) => return attempt,
    };
    let key = outbound.api_key(env).unwrap_or_default();
    let call = client.post(&url).bearer_auth(key).header("Idempotency-Key", dispatch.id);
    match http::call(call.json(&body(outbound, dispatch)), true).await {
        Ok(answer) => Attempt::Accepted(format!(
            "{} {}",
            answer.status.as_u16(),
            answer.body["id"].as_str().unwrap_or_default()
        )),
        Err(attempt) => attempt,
    }
}

fn body(outbound: &Outbound, dispatch: &Dispatch<'_>) -> Value {
    let letter = dispatch.letter;
    let reply_to = letter.reply_to.as_ref().map(ToString::to_string);
    let mut headers: BTreeMap<_, _> = letter.marks().into_iter().collect();
    headers.extend(letter.in_reply_to.as_ref().map(|id| ("In-Reply-To", format!("<{id}>"))));
    headers.extend(letter.references_header().map(|ids| ("References", ids)));
    let files = letter.files.iter().zip(dispatch.files);
    let files = files.map(|(file, bytes)| json!({"filename": file.name, "content": STANDARD.encode(bytes)}));
    json!({
        "from": letter.sender(),
        "to": letter.recipients().iter().map(ToString::to_string).collect::<Vec<_>>(),
        "subject": letter.subject,
        "text": letter.text,
        "html": letter.html,
        "reply_to": reply_to.or_else(|| Some(outbound.reply_to.clone()).filter(|to| !to.is_empty())),
        "headers": headers,
        "attachments": files.collect::<Vec<_>>(),
    })
}
