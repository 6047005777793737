//! The two forms in which a message arrives: streamed as it is, or in base64 inside JSON.

use axum::body::Body;
use axum::http::HeaderMap;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::StreamExt;
use http_body_util::BodyExt;
use percent_encoding::percent_decode_str;
use serde_json::Value;
use tokio::sync::{Semaphore, mpsc};

use crate::address::Address;
use crate::intake::MAX_MESSAGE;
use crate::message::one_line;
use crate::office::{Error, blocking};
use crate::scan::{self, Scanner};
use crate::store::Incoming;

/// A JSON delivery holds the message in base64 and little else (bytes).
const MAX_JSON: usize = 36 * 1024 * 1024;

/// JSON deliveries are held in memory; more than these wait.
static JSON_SLOTS: Semaphore = Semaphore::const_new(2);

/// Pieces of a streamed message on their way to the disk.
const PIECES: usize = 8;

/// Why a delivery was not taken.
#[derive(Debug)]
pub(super) enum Fault {
    UnknownRecipient,
    BadRecipient,
    TooLarge,
    InvalidJson,
    MissingRaw,
    CutOff,
    Busy,
    Office(Error),
}

/// A delivery whose envelope is known and whose message is still to be read.
pub(super) struct Delivery {
    pub(super) mail_from: Option<String>,
    /// Where it came from, for listings.
    pub(super) source: String,
    recipient: Option<String>,
    message: Message,
}

enum Message {
    Stream(Body),
    Bytes(Vec<u8>),
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
        if declared.is_some_and(|length| length > MAX_MESSAGE) {
            return Err(Fault::TooLarge);
        }
        let envelope = |name: &str| {
            text(name).map(|text| percent_decode_str(text).decode_utf8_lossy().trim().to_owned())
        };
        return Ok(Delivery {
            mail_from: envelope("x-envelope-from"),
            recipient: envelope("x-envelope-to").filter(|text| !text.is_empty()),
            source: source(request.as_deref()),
            message: Message::Stream(body),
        });
    }
    if declared.is_some_and(|length| length > MAX_JSON as u64) {
        return Err(Fault::TooLarge);
    }
    from_json(body, request).await
}

impl Delivery {
    /// The envelope recipient; a JSON delivery without one falls back on its `To` header.
    pub(super) fn recipient(&self) -> Result<Address, Fault> {
        let parse = |text: &str| Address::parse(text).map_err(|_| Fault::BadRecipient);
        match (&self.recipient, &self.message) {
            (Some(text), _) => parse(text),
            (None, Message::Bytes(raw)) => {
                let mut scanner = Scanner::new();
                scanner.update(scan::header_block(raw));
                parse(&scanner.finish().to)
            }
            (None, Message::Stream(_)) => Err(Fault::BadRecipient),
        }
    }

    /// Moves the message to the disk.
    pub(super) async fn write_to(self, incoming: Incoming) -> Result<Incoming, Fault> {
        match self.message {
            Message::Bytes(raw) => blocking(move || {
                let mut incoming = incoming;
                incoming.write(&raw)?;
                Ok(incoming)
            })
            .await
            .map_err(Fault::Office),
            Message::Stream(body) => stream(body, incoming).await,
        }
    }
}

/// Passes the pieces of a body to a thread that writes them; memory stays at a few pieces.
async fn stream(body: Body, mut incoming: Incoming) -> Result<Incoming, Fault> {
    let (sender, mut receiver) = mpsc::channel::<Bytes>(PIECES);
    let writer = tokio::spawn(blocking(move || {
        while let Some(piece) = receiver.blocking_recv() {
            incoming.write(&piece)?;
        }
        Ok(incoming)
    }));
    let mut pieces = body.into_data_stream();
    let mut size = 0u64;
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|_| Fault::CutOff)?;
        size += piece.len() as u64;
        if size > MAX_MESSAGE {
            return Err(Fault::TooLarge);
        }
        if sender.send(piece).await.is_err() {
            break;
        }
    }
    drop(sender);
    writer.await.map_err(|_| Fault::CutOff)?.map_err(Fault::Office)
}

async fn from_json(body: Body, request: Option<String>) -> Result<Delivery, Fault> {
    let _slot = JSON_SLOTS.acquire().await.map_err(|_| Fault::Busy)?;
    let limited = http_body_util::Limited::new(body, MAX_JSON);
    let bytes = limited.collect().await.map_err(|error| {
        if error.is::<http_body_util::LengthLimitError>() { Fault::TooLarge } else { Fault::CutOff }
    })?;
    let payload: Value = serde_json::from_slice(&bytes.to_bytes()).map_err(|_| Fault::InvalidJson)?;
    if !payload.is_object() {
        return Err(Fault::InvalidJson);
    }
    let text = |path: &str| payload.pointer(path).and_then(Value::as_str).map(str::to_owned);
    let raw = match (text("/rawBase64"), text("/raw")) {
        (Some(encoded), _) => decode(&encoded)?,
        (None, Some(raw)) => raw.into_bytes(),
        (None, None) => return Err(Fault::MissingRaw),
    };
    if raw.is_empty() {
        return Err(Fault::MissingRaw);
    }
    if raw.len() as u64 > MAX_MESSAGE {
        return Err(Fault::TooLarge);
    }
    let non_empty = |text: &String| !text.trim().is_empty();
    let recipient = ["/envelope/rcptTo", "/session/recipient", "/recipients/0"]
        .into_iter()
        .find_map(|path| text(path).filter(non_empty));
    Ok(Delivery {
        mail_from: text("/envelope/mailFrom"),
        recipient,
        source: source(request.or_else(|| text("/requestId")).as_deref()),
        message: Message::Bytes(raw),
    })
}

fn decode(encoded: &str) -> Result<Vec<u8>, Fault> {
    let packed: Vec<u8> = encoded.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    STANDARD.decode(packed).map_err(|_| Fault::MissingRaw)
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
