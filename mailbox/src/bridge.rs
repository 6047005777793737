//! The HTTP door for mail: what the Email Worker at the edge talks to.

mod payload;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use remotelab_protocol::time::iso_from_ms;
use serde_json::{Value, json};
use tokio::sync::{Notify, Semaphore};

use crate::address::Address;
use crate::intake;
use crate::office::{Error, Office, blocking};
use crate::places::Place;
use crate::recipient;
use crate::settings::token_matches;
use crate::state::Inbound;
use crate::store::{Item, NewItem, Stored};
use payload::{Delivery, Fault};

/// The override of the stored webhook token.
const TOKEN_ENV: &str = "AGENT_MAILBOX_CLOUDFLARE_WEBHOOK_TOKEN";

/// Deliveries taken in at the same time, and those that may wait for their turn; more are asked to
/// come back.
const MAX_DELIVERIES: usize = 32;
const MAX_WAITING: usize = 512;

/// Large mail through a tunnel takes minutes.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(300);

/// When a refused delivery should be tried again (seconds).
const RETRY_AFTER: &str = "30";

struct Bridge {
    office: Arc<Office>,
    wake: Arc<Notify>,
    addr: SocketAddr,
    slots: Semaphore,
    waiting: Semaphore,
}

/// The routes of the bridge.
pub(crate) fn router(office: Arc<Office>, wake: Arc<Notify>, addr: SocketAddr) -> Router {
    let bridge = Bridge {
        office,
        wake,
        addr,
        slots: Semaphore::new(MAX_DELIVERIES),
        waiting: Semaphore::new(MAX_WAITING),
    };
    Router::new()
        .route("/healthz", get(healthz))
        .route("/cloudflare-email/webhook", post(webhook))
        .fallback(not_found)
        .method_not_allowed_fallback(not_found)
        .with_state(Arc::new(bridge))
}

async fn not_found(request: Request) -> Response {
    let path = request.uri().path();
    answer(StatusCode::NOT_FOUND, json!({"ok": false, "error": "not_found", "path": path}))
}

async fn healthz(State(bridge): State<Arc<Bridge>>) -> Response {
    let office = Arc::clone(&bridge.office);
    let configured = blocking(move || {
        let is_named = office.places.identity()?.is_some();
        Ok((is_named, expected_token(&office)?.is_some()))
    });
    let (is_named, has_token) = configured.await.unwrap_or((false, false));
    let body = json!({
        "ok": true,
        "service": "agent-mail-http-bridge",
        "status": if is_named && has_token { "configured" } else { "unconfigured" },
        "host": bridge.addr.ip().to_string(),
        "port": bridge.addr.port(),
        "cloudflareWebhookConfigured": has_token,
        "time": iso_from_ms(bridge.office.clock.now()),
    });
    answer(StatusCode::OK, body)
}

async fn webhook(State(bridge): State<Arc<Bridge>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    if let Err(response) = authenticate(&bridge.office, &parts.headers).await {
        return response;
    }
    let Ok(_place) = bridge.waiting.try_acquire() else {
        return refusal(&Fault::Busy);
    };
    let delivery = async {
        let _slot = bridge.slots.acquire().await.map_err(|_| Fault::Busy)?;
        take(&bridge.office, &parts.headers, body).await
    };
    match tokio::time::timeout(DELIVERY_TIMEOUT, delivery).await {
        Ok(Ok(response)) => {
            bridge.wake.notify_one();
            response
        }
        Ok(Err(fault)) => refusal(&fault),
        Err(_) => refusal(&Fault::Busy),
    }
}

async fn authenticate(office: &Arc<Office>, headers: &HeaderMap) -> Result<(), Response> {
    let lookup = Arc::clone(office);
    let expected = blocking(move || {
        let is_named = lookup.places.identity()?.is_some();
        Ok(expected_token(&lookup)?.filter(|_| is_named))
    });
    let expected = match expected.await {
        Ok(Some(expected)) => expected,
        Ok(None) => {
            let body = json!({"ok": false, "error": "cloudflare_webhook_unconfigured"});
            return Err(retry_later(answer(StatusCode::SERVICE_UNAVAILABLE, body)));
        }
        Err(error) => return Err(refusal(&Fault::Office(error))),
    };
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let authorization = text("authorization").map(|text| text.strip_prefix("Bearer ").unwrap_or(text));
    let presented = authorization.or_else(|| text("x-bridge-token")).unwrap_or_default();
    if token_matches(&expected, presented.trim()) {
        return Ok(());
    }
    tracing::warn!("mail delivery with a wrong or missing token refused");
    let body = json!({"ok": false, "error": "invalid_cloudflare_webhook_token"});
    Err(answer(StatusCode::FORBIDDEN, body))
}

fn expected_token(office: &Office) -> Result<Option<String>, Error> {
    if let Some(token) = office.env.get(TOKEN_ENV) {
        return Ok(Some(token.to_owned()));
    }
    let bridge = office.places.bridge()?;
    Ok(bridge.map(|bridge| bridge.cloudflare_webhook_token).filter(|token| !token.is_empty()))
}

/// Takes one delivery in: recipient first, then the body, then the answer once it is durable.
async fn take(office: &Arc<Office>, headers: &HeaderMap, body: Body) -> Result<Response, Fault> {
    let delivery = payload::open(headers, body).await?;
    let recipient = delivery.recipient()?;
    let lookup = Arc::clone(office);
    let place = blocking(move || route(&lookup, &recipient)).await.map_err(Fault::Office)?;
    let (place, recipient) = place.ok_or(Fault::UnknownRecipient)?;
    let (item, duplicate) = store(office, place, recipient, delivery).await?;
    let summary = json!({
        "id": item.id,
        "queue": item.state.queue(),
        "status": item.state.status(),
        "from": item.facts.from,
        "to": item.rcpt,
        "subject": item.facts.subject,
        "targetInstance": item.instance,
        "createdAt": iso_from_ms(item.received_at),
    });
    let body = json!({
        "ok": true,
        "id": item.id,
        "duplicate": duplicate,
        "disposition": item.state.as_str(),
        "trustedSource": true,
        "provider": "cloudflare_email_worker",
        "mailboxItem": summary,
    });
    Ok(answer(StatusCode::OK, body))
}

/// Finds whose mail it is; `None` for a recipient that nobody here has.
fn route(office: &Office, recipient: &Address) -> Result<Option<(Place, Address)>, Error> {
    let Some(identity) = office.places.identity()? else {
        return Ok(None);
    };
    let guests = office.places.guests()?;
    let Ok(routed) = recipient::resolve(recipient, &identity, &guests) else {
        return Ok(None);
    };
    let place = office.places.find(routed.guest.as_ref())?;
    Ok(place.map(|place| (place, recipient.clone())))
}

async fn store(
    office: &Arc<Office>,
    place: Place,
    recipient: Address,
    delivery: Delivery,
) -> Result<(Item, bool), Fault> {
    let opening = (Arc::clone(office), place.clone());
    let store = blocking(move || opening.0.store(&opening.1)).await.map_err(Fault::Office)?;
    let receiving = Arc::clone(&store);
    let incoming = blocking(move || Ok(receiving.incoming()?)).await.map_err(Fault::Office)?;
    let source = delivery.source.clone();
    let mail_from = delivery.mail_from.clone();
    let incoming = delivery.write_to(incoming).await?;
    let office = Arc::clone(office);
    blocking(move || {
        let new = NewItem {
            instance: place.label(),
            rcpt: recipient.key(),
            mail_from: mail_from.as_deref(),
            source: &source,
        };
        let Stored { id, duplicate } = intake::commit(&office, &store, incoming, &new)?;
        // From here on the mail is safe; what fails now is done by the worker.
        if let Err(error) = intake::settle(&office, &place, &store, &id) {
            tracing::warn!(mail.id = %id, "mail {id} stored, not read yet: {error}");
        }
        let item = store.item(&id)?.ok_or(Error::CutOff)?;
        let held = matches!(item.state, Inbound::Quarantined | Inbound::ParseFailed);
        tracing::info!(mail.id = %id, duplicate, held, "mail {id} taken in");
        Ok((item, duplicate))
    })
    .await
    .map_err(Fault::Office)
}

fn refusal(fault: &Fault) -> Response {
    let (status, body) = match fault {
        Fault::UnknownRecipient => (
            StatusCode::FORBIDDEN,
            json!({"ok": false, "error": "unknown_recipient", "smtp": "550 5.1.1 no mailbox with this address here"}),
        ),
        Fault::TooLarge => (
            StatusCode::PAYLOAD_TOO_LARGE,
            json!({"ok": false, "error": "message_too_large", "limit": intake::MAX_MESSAGE}),
        ),
        Fault::InvalidJson => (StatusCode::BAD_REQUEST, json!({"ok": false, "error": "invalid_json"})),
        Fault::MissingRaw => (StatusCode::BAD_REQUEST, json!({"ok": false, "error": "missing_raw_email"})),
        Fault::BadRecipient => {
            (StatusCode::BAD_REQUEST, json!({"ok": false, "error": "missing_or_malformed_recipient"}))
        }
        Fault::CutOff => (StatusCode::BAD_REQUEST, json!({"ok": false, "error": "body_cut_off"})),
        Fault::Busy => (StatusCode::SERVICE_UNAVAILABLE, json!({"ok": false, "error": "busy"})),
        Fault::Office(error) => {
            let reference = format!("{:08x}", rand::random::<u32>());
            tracing::error!(reference, "mail not taken in ({reference}): {error:?}");
            let body = json!({"ok": false, "error": "bridge_error", "reference": reference});
            (StatusCode::SERVICE_UNAVAILABLE, body)
        }
    };
    let response = answer(status, body);
    if status == StatusCode::SERVICE_UNAVAILABLE { retry_later(response) } else { response }
}

fn retry_later(mut response: Response) -> Response {
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER));
    response
}

fn answer(status: StatusCode, body: Value) -> Response {
    (status, [(header::CACHE_CONTROL, "no-store")], axum::Json(body)).into_response()
}
