//! The two forms in which a message arrives: streamed as it is, or in base64 inside JSON.

use std::borrow::Cow;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::StreamExt;
use http_body_util::BodyExt;
use percent_encoding::percent_decode_str;
use remotelab_protocol::time::iso_from_ms;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::answer;
use super::proof::Proof;
use crate::address::Address;
use crate::ingest::{Door, Envelope, Reception, Refused, Writer};
use crate::message::one_line;
use crate::office::{Error, Office, blocking_or};
use crate::scan::{self, Scanner};
use crate::store::Item;

/// A JSON delivery holds the message in base64 and little else (bytes).
const MAX_JSON: usize = 36 * 1024 * 1024;

/// SHA-256 of no bytes.
const NO_CONTENT: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// JSON deliveries are held in memory; more than these wait.
static JSON_SLOTS: Semaphore = Semaphore::const_new(2);

/// Why a delivery was not taken.
#[derive(Debug)]
pub(super) enum Fault {
    Refused(Refused),
    BadRecipient,
    InvalidJson,
    MissingRaw,
    CutOff,
    BadSignature,
}

impl From<Refused> for Fault {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

/// A delivery whose envelope is known and whose message is still to be read.
pub(super) struct Delivery {
    mail_from: Option<String>,
    /// Where it came from, for listings.
    source: String,
    recipient: Option<String>,
    /// The message's size, when the sender tells it.
    announced: Option<u64>,
    door: Door,
    message: Message,
}

enum Message {
    Stream(Body),
    /// A message that is held in memory, and the right to do so.
    Held(Vec<u8>, SemaphorePermit<'static>),
}

/// Reads the envelope of either form.
pub(super) async fn open(headers: &HeaderMap, body: Body) -> Result<Delivery, Fault> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let declared = text("content-length").and_then(|text| text.parse::<u64>().ok());
    let is_streamed = text("content-type").is_some_and(|kind| {
        kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("message/rfc822"))
    });
    let request = text("cf-ray").map(str::to_owned);
    if is_streamed {
        let envelope = |name: &str| envelope_header(headers, name);
        return Ok(Delivery {
            mail_from: envelope("x-envelope-from"),
            recipient: envelope("x-envelope-to").filter(|text| !text.is_empty()),
            source: source(request.as_deref()),
            announced: declared,
            door: Door::Webhook,
            message: Message::Stream(body),
        });
    }
    if declared.is_some_and(|length| length > MAX_JSON as u64) {
        return Err(Refused::TooLarge.into());
    }
    from_json(body, request).await
}

/// The envelope of a raw message, where its headers do not tell it.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct RawQuery {
    from: Option<String>,
    to: Option<String>,
}

/// Reads the envelope of a raw message.
pub(super) fn raw(headers: &HeaderMap, query: RawQuery, body: Body) -> Delivery {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    Delivery {
        mail_from: query.from.or_else(|| envelope_header(headers, "x-envelope-from")),
        source: "http".to_owned(),
        recipient: query.to.or_else(|| envelope_header(headers, "x-envelope-to")),
        announced: text("content-length").and_then(|text| text.parse().ok()),
        door: Door::Http,
        message: Message::Stream(body),
    }
}

/// The recipient that is asked about. A signed question is about the one that was signed.
pub(super) fn recipient(query: &RawQuery, headers: &HeaderMap, proof: &Proof) -> Result<Address, Fault> {
    let asked = query.to.clone().unwrap_or_default();
    if let Proof::Signed(signed) = proof {
        let is_it = envelope_header(headers, "x-envelope-to").is_some_and(|to| to == asked.trim());
        if !is_it || signed.verify_content(NO_CONTENT).is_err() {
            return Err(Fault::BadSignature);
        }
    }
    Address::parse(&asked).map_err(|_| Fault::BadRecipient)
}

fn envelope_header(headers: &HeaderMap, name: &str) -> Option<String> {
    let text = headers.get(name)?.to_str().ok()?;
    Some(percent_decode_str(text).decode_utf8_lossy().trim().to_owned())
}

impl Delivery {
    /// Takes the delivery in: recipient first, then the body, then the answer once it is durable.
    pub(super) async fn take(self, office: &Arc<Office>, proof: Proof) -> Result<Response, Fault> {
        let is_held = matches!(self.message, Message::Held(..));
        if is_held && matches!(proof, Proof::Signed(_)) {
            return Err(Fault::BadSignature);
        }
        let (opening, envelope, announced) = (Arc::clone(office), self.envelope()?, self.announced);
        let reception = blocking_or(move || Reception::open(&opening, envelope, announced)).await?;
        let reception = self.write_to(reception).await?;
        let Proof::Signed(signed) = proof else { return settled(office, reception).await };
        let taken = blocking_or(move || {
            if signed.verify_content(&reception.digest()).is_err() {
                return Ok(None);
            }
            reception.commit().map(Some)
        });
        let Some(taken) = taken.await? else { return Err(Fault::BadSignature) };
        // What becomes of it is found out after the answer.
        let body = match taken.duplicate {
            true => json!({"ok": true, "id": taken.id, "duplicate": true}),
            false => json!({"ok": true, "id": taken.id, "duplicate": false, "disposition": "received"}),
        };
        Ok(answer::json(StatusCode::OK, &body))
    }

    /// What is known before the message is read.
    fn envelope(&self) -> Result<Envelope, Fault> {
        Ok(Envelope {
            from: self.mail_from.clone(),
            to: self.recipient()?,
            door: self.door,
            source: self.source.clone(),
        })
    }

    /// The envelope recipient; a JSON delivery without one falls back on its `To` header.
    fn recipient(&self) -> Result<Address, Fault> {
        let parse = |text: &str| Address::parse(text).map_err(|_| Fault::BadRecipient);
        match (&self.recipient, &self.message) {
            (Some(text), _) => parse(text),
            (None, Message::Held(raw, _)) => {
                let mut scanner = Scanner::new();
                scanner.update(scan::header_block(raw));
                parse(&scanner.finish().to)
            }
            (None, Message::Stream(_)) => Err(Fault::BadRecipient),
        }
    }

    /// Moves the message to the disk.
    async fn write_to(self, mut reception: Reception) -> Result<Reception, Fault> {
        match self.message {
            Message::Held(raw, _permit) => {
                let written = blocking_or(move || reception.write(&raw).map(|()| reception)).await;
                Ok(written?)
            }
            Message::Stream(body) => stream(body, reception).await,
        }
    }
}

/// Takes a mail in and tells what becomes of it, as older Workers want to know.
async fn settled(office: &Arc<Office>, reception: Reception) -> Result<Response, Fault> {
    let taken = blocking_or(move || reception.commit()).await?;
    let item = taken.settle(office).await.map_err(Refused::from)?;
    let body = json!({
        "ok": true,
        "id": taken.id,
        "duplicate": taken.duplicate,
        "disposition": item.as_ref().map_or("deleted", |item| item.state.as_str()),
        "trustedSource": true,
        "provider": "cloudflare_email_worker",
        "mailboxItem": item.as_ref().map(summary),
    });
    Ok(answer::json(StatusCode::OK, &body))
}

fn summary(item: &Item) -> Value {
    json!({
        "id": item.id,
        "queue": item.state.queue(),
        "status": item.state.status(),
        "from": item.facts.from,
        "to": item.rcpt,
        "subject": item.facts.subject,
        "targetInstance": item.instance,
        "createdAt": iso_from_ms(item.received_at),
    })
}

async fn stream(body: Body, reception: Reception) -> Result<Reception, Fault> {
    let writer = Writer::start(vec![reception]);
    let mut pieces = body.into_data_stream();
    while let Some(piece) = pieces.next().await {
        if !writer.piece(piece.map_err(|_| Fault::CutOff)?).await {
            break;
        }
    }
    let written = writer.finish().await?.pop();
    Ok(written.unwrap_or(Err(Refused::Trouble(Error::CutOff)))?)
}

/// The JSON form as far as it is read. The message is borrowed from the body where it can be.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Payload<'a> {
    #[serde(borrow)]
    raw_base64: Option<Text<'a>>,
    #[serde(borrow)]
    raw: Option<Text<'a>>,
    envelope: Value,
    session: Value,
    recipients: Value,
    request_id: Value,
}

#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

async fn from_json(body: Body, request: Option<String>) -> Result<Delivery, Fault> {
    let permit = JSON_SLOTS.acquire().await.map_err(|_| Refused::Busy)?;
    let limited = http_body_util::Limited::new(body, MAX_JSON);
    let bytes = limited.collect().await.map_err(|error| {
        if error.is::<http_body_util::LengthLimitError>() { Refused::TooLarge.into() } else { Fault::CutOff }
    })?;
    let bytes = bytes.to_bytes();
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        return Err(Fault::InvalidJson);
    }
    let payload: Payload<'_> = serde_json::from_slice(&bytes).map_err(|_| Fault::InvalidJson)?;
    let raw = match (payload.raw_base64, payload.raw) {
        (Some(encoded), _) => decode(&encoded.0)?,
        (None, Some(raw)) => raw.0.into_owned().into_bytes(),
        (None, None) => return Err(Fault::MissingRaw),
    };
    if raw.is_empty() {
        return Err(Fault::MissingRaw);
    }
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    let recipients = [
        text(payload.envelope.get("rcptTo")),
        text(payload.session.get("recipient")),
        text(payload.recipients.get(0)),
    ];
    Ok(Delivery {
        mail_from: text(payload.envelope.get("mailFrom")),
        recipient: recipients.into_iter().flatten().find(|text| !text.trim().is_empty()),
        source: source(request.or_else(|| text(Some(&payload.request_id))).as_deref()),
        announced: Some(raw.len() as u64),
        door: Door::Webhook,
        message: Message::Held(raw, permit),
    })
}

fn decode(encoded: &str) -> Result<Vec<u8>, Fault> {
    let decoded = if encoded.bytes().any(|byte| byte.is_ascii_whitespace()) {
        STANDARD.decode(encoded.split_ascii_whitespace().collect::<String>())
    } else {
        STANDARD.decode(encoded)
    };
    decoded.map_err(|_| Fault::MissingRaw)
}

fn source(request: Option<&str>) -> String {
    let id = one_line(request.unwrap_or_default(), 100);
    let id: String =
        id.chars().map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' }).collect();
    format!("cloudflare-email:{id}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderName;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    #[tokio::test]
    async fn reads_the_envelope_of_a_streamed_message() {
        let headers = headers(&[
            ("content-type", "message/rfc822"),
            ("x-envelope-from", "Owner%40example.com"),
            ("x-envelope-to", "trial4@example.com"),
            ("cf-ray", "8f00/aa"),
        ]);
        let delivery = open(&headers, Body::from("From: a@b.c\r\n\r\nHi")).await.ok().unwrap();
        assert_eq!(delivery.mail_from.as_deref(), Some("Owner@example.com"));
        assert_eq!(delivery.recipient().unwrap().key(), "trial4@example.com");
        assert_eq!(delivery.source, "cloudflare-email:8f00_aa");
    }

    #[tokio::test]
    async fn reads_the_json_form_and_says_what_is_wrong_with_it() {
        let open = async |body: &str| open(&HeaderMap::new(), Body::from(body.to_owned())).await;
        let delivery = open(r#"{"rawBase64":"RnJvbTogYUBiLmMKVG86IHRyaWFsNEBleGFtcGxlLmNvbQoKSGk="}"#).await;
        assert_eq!(delivery.ok().unwrap().recipient().unwrap().key(), "trial4@example.com");
        let delivery = open(r#"{"raw":"x","recipients":["r@e.com"],"envelope":{"rcptTo":""}}"#).await;
        assert_eq!(delivery.ok().unwrap().recipient().unwrap().key(), "r@e.com");
        assert!(matches!(open("{").await, Err(Fault::InvalidJson)));
        assert!(matches!(open("[]").await, Err(Fault::InvalidJson)));
        assert!(matches!(open("{}").await, Err(Fault::MissingRaw)));
        assert!(matches!(open(r#"{"rawBase64":"***"}"#).await, Err(Fault::MissingRaw)));
    }
}
