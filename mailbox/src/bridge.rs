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

use crate::ingest::{self, Reception, Refused};
use crate::office::{Error, Office, blocking, blocking_or};
use crate::settings::token_matches;
use crate::store::Item;
use payload::Fault;

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
        return refused_mail(&Refused::Busy);
    };
    let delivery = async {
        let _slot = bridge.slots.acquire().await.map_err(|_| Refused::Busy)?;
        take(&bridge.office, &parts.headers, body).await
    };
    match tokio::time::timeout(DELIVERY_TIMEOUT, delivery).await {
        Ok(Ok(response)) => {
            bridge.wake.notify_one();
            response
        }
        Ok(Err(fault)) => refusal(&fault),
        Err(_) => refused_mail(&Refused::Busy),
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
            return Err(unavailable(body));
        }
        Err(error) => return Err(refused_mail(&Refused::Trouble(error))),
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
    let (opening, envelope, announced) = (Arc::clone(office), delivery.envelope()?, delivery.announced);
    let reception = blocking_or(move || Reception::open(&opening, envelope, announced)).await?;
    let reception = delivery.write_to(reception).await?;
    let settling = Arc::clone(office);
    let (taken, item) = blocking_or(move || {
        let taken = reception.commit()?;
        let item = taken.settle(&settling)?;
        Ok::<_, Refused>((taken, item))
    })
    .await?;
    let summary = item.as_ref().map(summary);
    let body = json!({
        "ok": true,
        "id": taken.id,
        "duplicate": taken.duplicate,
        "disposition": item.as_ref().map_or("deleted", |item| item.state.as_str()),
        "trustedSource": true,
        "provider": "cloudflare_email_worker",
        "mailboxItem": summary,
    });
    Ok(answer(StatusCode::OK, body))
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

fn refusal(fault: &Fault) -> Response {
    let (status, body) = match fault {
        Fault::Refused(refused) => return refused_mail(refused),
        Fault::InvalidJson => (StatusCode::BAD_REQUEST, "invalid_json"),
        Fault::MissingRaw => (StatusCode::BAD_REQUEST, "missing_raw_email"),
        Fault::BadRecipient => (StatusCode::BAD_REQUEST, "missing_or_malformed_recipient"),
        Fault::CutOff => (StatusCode::BAD_REQUEST, "body_cut_off"),
    };
    answer(status, json!({"ok": false, "error": body}))
}

fn refused_mail(refused: &Refused) -> Response {
    match refused {
        Refused::UnknownRecipient => answer(
            StatusCode::FORBIDDEN,
            json!({"ok": false, "error": "unknown_recipient", "smtp": refused.smtp()}),
        ),
        Refused::TooLarge => answer(
            StatusCode::PAYLOAD_TOO_LARGE,
            json!({"ok": false, "error": "message_too_large", "limit": ingest::MAX_MESSAGE}),
        ),
        Refused::Busy => unavailable(json!({"ok": false, "error": "busy"})),
        Refused::NoRoom => unavailable(json!({"ok": false, "error": "no_room"})),
        Refused::Trouble(error) => {
            let reference = format!("{:08x}", rand::random::<u32>());
            tracing::error!(reference, "mail not taken in ({reference}): {error:?}");
            unavailable(json!({"ok": false, "error": "bridge_error", "reference": reference}))
        }
    }
}

fn unavailable(body: Value) -> Response {
    retry_later(answer(StatusCode::SERVICE_UNAVAILABLE, body))
}

fn retry_later(mut response: Response) -> Response {
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER));
    response
}

fn answer(status: StatusCode, body: Value) -> Response {
    (status, [(header::CACHE_CONTROL, "no-store")], axum::Json(body)).into_response()
}
