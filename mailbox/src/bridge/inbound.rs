//! Mail that other providers hand on: each proves itself in its own way and wraps messages in its own
//! form; what comes out is an envelope and raw bytes, as at every other door.

mod mailgun;
mod postmark;
mod resend;
mod ses;

use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::answer;
use crate::address::Address;
use crate::ingest::{Door, Envelope, Reception, Refused};
use crate::office::{Office, blocking_or};
use crate::settings::Adapter as Secrets;

/// A message in base64 and what stands around it (bytes).
const MAX_BODY: usize = 40 * 1024 * 1024;

/// Recipients of one delivery.
const MAX_RECIPIENTS: usize = 50;

/// Deliveries are held in memory; more than these wait.
static SLOTS: Semaphore = Semaphore::const_new(2);

/// A call as it came, and by what it is to be believed.
pub(super) struct Call {
    headers: HeaderMap,
    body: Bytes,
    secrets: Secrets,
    /// Unix seconds.
    now: i64,
}

/// What a call turned out to be.
#[derive(Debug, PartialEq, Eq)]
enum Opened {
    Mail(Mail),
    /// Proved, and no mail.
    Nothing,
}

/// A message of a provider.
#[derive(Debug, PartialEq, Eq)]
struct Mail {
    from: Option<String>,
    to: Vec<String>,
    raw: Vec<u8>,
}

/// Why a call leads to nothing.
#[derive(Debug, PartialEq, Eq)]
enum Fault {
    /// Not proved. Which of the ways failed is nobody's business.
    Unproved,
    /// Not in the provider's form, with what helps.
    Form(&'static str),
    /// The provider did not hand out what it announced.
    Unfetched(String),
}

/// A provider.
trait Adapter: Sync {
    /// The last part of its address.
    fn door(&self) -> Door;

    /// Proves a call and takes the mail out of it.
    fn open<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Result<Opened, Fault>>;
}

const ADAPTERS: [&dyn Adapter; 4] = [&mailgun::Mailgun, &postmark::Postmark, &resend::Resend, &ses::Ses];

/// Takes a call of a provider in; its answer says whether it should come again.
pub(super) async fn take(office: &Arc<Office>, id: &str, headers: HeaderMap, body: Body) -> Response {
    let Some(adapter) = ADAPTERS.into_iter().find(|adapter| adapter.door().as_str() == id) else {
        return answer::word(StatusCode::NOT_FOUND, "not_found");
    };
    let secrets = match office.places.bridge() {
        Ok(bridge) => bridge.and_then(|mut bridge| bridge.adapters.remove(id)),
        Err(error) => return answer::refused(&Refused::Trouble(error.into())),
    };
    // One that is not set up is not there.
    let Some(secrets) = secrets else { return answer::word(StatusCode::NOT_FOUND, "not_found") };
    let Ok(_slot) = SLOTS.acquire().await else { return answer::refused(&Refused::Busy) };
    let body = match http_body_util::Limited::new(body, MAX_BODY).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => {
            return answer::refused(&Refused::TooLarge);
        }
        Err(_) => return answer::word(StatusCode::BAD_REQUEST, "body_cut_off"),
    };
    let call = Call { headers, body, secrets, now: office.clock.now() / 1000 };
    match adapter.open(&call).await {
        Ok(Opened::Nothing) => answer::json(StatusCode::OK, &json!({"ok": true, "taken": []})),
        Ok(Opened::Mail(mail)) => store(office, adapter.door(), mail).await,
        Err(Fault::Unproved) => answer::bad_signature(),
        Err(Fault::Form(help)) => answer::json(
            StatusCode::UNPROCESSABLE_ENTITY,
            &json!({"ok": false, "error": "wrong_form", "help": help}),
        ),
        Err(Fault::Unfetched(why)) => {
            tracing::warn!("mail announced by {id} not fetched: {why}");
            answer::unavailable(&json!({"ok": false, "error": "not_fetched"}))
        }
    }
}

/// Stores a message for each of its recipients. As long as one may still take it the provider should come
/// again; those that have it already have it once.
async fn store(office: &Arc<Office>, door: Door, mail: Mail) -> Response {
    let raw = Bytes::from(mail.raw);
    let (mut taken, mut refused): (Vec<Value>, Vec<Value>) = (Vec::new(), Vec::new());
    for to in mail.to.iter().take(MAX_RECIPIENTS) {
        let Ok(address) = Address::parse(to) else {
            refused.push(json!({"to": to, "smtp": "550 5.1.3 no address"}));
            continue;
        };
        let envelope =
            Envelope { from: mail.from.clone(), to: address, door, source: door.as_str().to_owned() };
        let (office, bytes) = (Arc::clone(office), raw.clone());
        let stored = blocking_or(move || {
            let mut reception = Reception::open(&office, envelope, Some(bytes.len() as u64))?;
            reception.write(&bytes)?;
            reception.commit()
        });
        match stored.await {
            Ok(stored) => taken.push(json!({"to": to, "id": stored.id, "duplicate": stored.duplicate})),
            Err(reason) if reason.is_final() => refused.push(json!({"to": to, "smtp": reason.smtp()})),
            Err(reason) => return answer::refused(&reason),
        }
    }
    answer::json(StatusCode::OK, &json!({"ok": true, "taken": taken, "refused": refused}))
}

impl Call {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// Compares the password of basic authentication with the secret.
    fn has_password(&self) -> Result<(), Fault> {
        let is_it =
            crate::settings::token_matches(&self.secrets.secret, &super::proof::presented(&self.headers));
        if is_it { Ok(()) } else { Err(Fault::Unproved) }
    }

    fn is_recent(&self, timestamp: &str) -> Result<(), Fault> {
        let timestamp: i64 = timestamp.parse().map_err(|_| Fault::Unproved)?;
        if self.now.abs_diff(timestamp) <= 300 { Ok(()) } else { Err(Fault::Unproved) }
    }

    fn json(&self) -> Result<Value, Fault> {
        serde_json::from_slice(&self.body).map_err(|_| Fault::Form("the body is no JSON"))
    }
}
