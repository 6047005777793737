//! Sending through the Email Worker's own endpoint.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{Dispatch, Environment, http};
use crate::settings::Outbound;
use crate::state::Attempt;

pub(super) async fn send(outbound: &Outbound, env: Environment<'_>, dispatch: &Dispatch<'_>) -> Attempt {
    let url = format!("{}/api/send-email", outbound.worker_base_url.trim_end_matches('/'));
    let client = match http::client(&url) {
        Ok(client) => client,
        Err(attempt) => return attempt,
    };
    // The Worker keeps the key of a letter for a day.
    let token = outbound.worker_token(env).unwrap_or_default();
    match http::call(client.post(&url).bearer_auth(token).json(&body(dispatch)), true).await {
        Ok(answer) => {
            let id =
                answer.body["messageId"].as_str().or_else(|| answer.body["id"].as_str()).unwrap_or_default();
            Attempt::Accepted(format!("{} {id}", answer.status.as_u16()))
        }
        Err(attempt) => attempt,
    }
}

fn body(dispatch: &Dispatch<'_>) -> Value {
    let letter = dispatch.letter;
    let files = letter.files.iter().zip(dispatch.files).map(|(file, bytes)| {
        json!({"filename": file.name, "contentType": file.mime_type, "contentBase64": STANDARD.encode(bytes)})
    });
    json!({
        "idempotencyKey": dispatch.id,
        "to": letter.recipients().iter().map(ToString::to_string).collect::<Vec<_>>(),
        "from": letter.from.to_string(),
        "fromName": letter.from_name,
        "replyTo": letter.reply_to.as_ref().map(ToString::to_string),
        "subject": letter.subject,
        "text": letter.text,
        "html": letter.html,
        "inReplyTo": letter.in_reply_to.as_ref().map(|id| format!("<{id}>")).unwrap_or_default(),
        "references": letter.references_header().unwrap_or_default(),
        "headers": letter.marks().into_iter().collect::<std::collections::BTreeMap<_, _>>(),
        "attachments": files.collect::<Vec<_>>(),
    })
}
