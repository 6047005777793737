//! Mailgun: a form with the raw message, for routes whose address ends in `mime`.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use axum::body::Body;
use axum::extract::{FromRequest, Multipart, Request};
use axum::http::header;
use futures_util::future::BoxFuture;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use super::{Adapter, Call, Fault, Mail, Opened};
use crate::ingest::Door;

/// The signature covers a token and no text: each counts once.
static SEEN: Mutex<VecDeque<String>> = Mutex::new(VecDeque::new());
const REMEMBERED: usize = 10_000;

pub(super) struct Mailgun;

impl Adapter for Mailgun {
    fn door(&self) -> Door {
        Door::Mailgun
    }

    fn open<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Result<Opened, Fault>> {
        Box::pin(async move {
            let form = Form::read(call).await?;
            call.is_recent(&form.timestamp)?;
            let mut mac = Hmac::<Sha256>::new_from_slice(call.secrets.secret.as_bytes())
                .map_err(|_| Fault::Unproved)?;
            mac.update(form.timestamp.as_bytes());
            mac.update(form.token.as_bytes());
            let given = hex::decode(&form.signature).unwrap_or_default();
            let is_theirs = bool::from(mac.finalize().into_bytes().as_slice().ct_eq(&given));
            if call.secrets.secret.is_empty() || !is_theirs || is_replayed(&form) {
                return Err(Fault::Unproved);
            }
            if form.raw.is_empty() {
                return Err(Fault::Form("no body-mime: let the address of the route end in /mime"));
            }
            let to = form.recipient.split(',').map(|to| to.trim().to_owned()).collect();
            Ok(Opened::Mail(Mail { from: Some(form.sender), to, raw: form.raw }))
        })
    }
}

/// Tells whether a token came with another message before. The same message may come again.
fn is_replayed(form: &Form) -> bool {
    use sha2::Digest;
    let mark = format!("{} {}", form.token, hex::encode(Sha256::digest(&form.raw)));
    let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
    if seen.contains(&mark) {
        return false;
    }
    let token = format!("{} ", form.token);
    let is_known = seen.iter().any(|known| known.starts_with(&token));
    if !is_known {
        seen.truncate(REMEMBERED - 1);
        seen.push_front(mark);
    }
    is_known
}

#[derive(Default)]
struct Form {
    timestamp: String,
    token: String,
    signature: String,
    sender: String,
    recipient: String,
    raw: Vec<u8>,
}

impl Form {
    async fn read(call: &Call) -> Result<Self, Fault> {
        let kind = call.header("content-type").to_owned();
        let mut form = Self::default();
        if kind.starts_with("multipart/form-data") {
            let request =
                Request::builder().header(header::CONTENT_TYPE, kind).body(Body::from(call.body.clone()));
            let request = request.map_err(|_| Fault::Form("no form"))?;
            let mut parts =
                Multipart::from_request(request, &()).await.map_err(|_| Fault::Form("no form"))?;
            while let Some(part) = parts.next_field().await.map_err(|_| Fault::Form("a broken form"))? {
                let name = part.name().unwrap_or_default().to_owned();
                let bytes = part.bytes().await.map_err(|_| Fault::Form("a broken form"))?;
                form.set(&name, bytes.to_vec());
            }
        } else {
            for pair in call.body.split(|&byte| byte == b'&') {
                let mut halves = pair.splitn(2, |&byte| byte == b'=');
                let (name, value) = (halves.next().unwrap_or_default(), halves.next().unwrap_or_default());
                form.set(&String::from_utf8_lossy(&unescape(name)), unescape(value));
            }
        }
        Ok(form)
    }

    fn set(&mut self, name: &str, value: Vec<u8>) {
        let text = |value: Vec<u8>| String::from_utf8_lossy(&value).trim().to_owned();
        match name {
            "timestamp" => self.timestamp = text(value),
            "token" => self.token = text(value),
            "signature" => self.signature = text(value),
            "sender" => self.sender = text(value),
            "recipient" => self.recipient = text(value),
            "body-mime" => self.raw = value,
            _ => {}
        }
    }
}

fn unescape(text: &[u8]) -> Vec<u8> {
    let spaced: Vec<u8> = text.iter().map(|&byte| if byte == b'+' { b' ' } else { byte }).collect();
    percent_encoding::percent_decode(&spaced).collect()
}
