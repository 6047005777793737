//! Resend: a signed note that a message came; the message itself is fetched.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::BoxFuture;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;
use subtle::ConstantTimeEq;

use super::{Adapter, Call, Fault, Mail, Opened};
use crate::ingest::{Door, MAX_MESSAGE};
use crate::outbound::{client, resend_base};

pub(super) struct Resend;

impl Adapter for Resend {
    fn door(&self) -> Door {
        Door::Resend
    }

    fn open<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Result<Opened, Fault>> {
        Box::pin(async move {
            verify(call)?;
            let body = call.json()?;
            if body["type"] != "email.received" {
                return Ok(Opened::Nothing);
            }
            let data = &body["data"];
            let id = data["email_id"].as_str().filter(|id| is_id(id)).ok_or(Fault::Form("no email_id"))?;
            let text = |value: &Value| value.as_str().map(|text| bare(text).to_owned());
            let to = data["to"].as_array().into_iter().flatten().filter_map(text).collect();
            let raw = fetch(call, id).await.map_err(Fault::Unfetched)?;
            Ok(Opened::Mail(Mail { from: text(&data["from"]), to, raw }))
        })
    }
}

/// Checks the signature over id, time and body.
fn verify(call: &Call) -> Result<(), Fault> {
    let (id, timestamp) = (call.header("svix-id"), call.header("svix-timestamp"));
    call.is_recent(timestamp)?;
    let secret = call.secrets.secret.strip_prefix("whsec_").unwrap_or(&call.secrets.secret);
    let key = STANDARD.decode(secret).ok().filter(|key| !key.is_empty()).ok_or(Fault::Unproved)?;
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).map_err(|_| Fault::Unproved)?;
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(&call.body);
    let expected = mac.finalize().into_bytes();
    let given = call.header("svix-signature").split(' ').take(10);
    let mut given = given.filter_map(|one| STANDARD.decode(one.strip_prefix("v1,")?).ok());
    if given.any(|given| bool::from(expected.as_slice().ct_eq(&given))) {
        Ok(())
    } else {
        Err(Fault::Unproved)
    }
}

async fn fetch(call: &Call, id: &str) -> Result<Vec<u8>, String> {
    let base = resend_base(&call.secrets.api_base_url);
    let about = format!("{base}/emails/receiving/{id}");
    let client_of = |url: &str| client(url).map_err(|_| "no HTTP client can be made here".to_owned());
    let said = |error: reqwest::Error| error.without_url().to_string();
    let answer = client_of(&about)?.get(&about).bearer_auth(&call.secrets.api_key).send().await;
    let answer = answer.and_then(reqwest::Response::error_for_status).map_err(said)?;
    let answer: Value = answer.json().await.map_err(said)?;
    let address = answer["raw"]["download_url"].as_str().ok_or("it has no raw form")?;
    // Over the network only in secret.
    let is_fit = address.starts_with("https://") || address.starts_with("http://127.0.0.1:");
    if !is_fit {
        return Err("its raw form is not offered over https".to_owned());
    }
    let mut file = client_of(address)?.get(address).send().await;
    file = file.and_then(reqwest::Response::error_for_status);
    let mut file = file.map_err(said)?;
    let mut raw = Vec::new();
    while let Some(piece) = file.chunk().await.map_err(said)? {
        raw.extend_from_slice(&piece);
        if raw.len() as u64 > MAX_MESSAGE {
            return Err("it is larger than a mail may be".to_owned());
        }
    }
    Ok(raw)
}

fn is_id(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 100
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c))
}

/// The address of `Name <address>`.
fn bare(text: &str) -> &str {
    let inner = text.rsplit_once('<').and_then(|(_, rest)| rest.strip_suffix('>'));
    inner.unwrap_or(text).trim()
}
