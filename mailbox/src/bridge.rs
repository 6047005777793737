//! The HTTP doors for mail: the webhook of the Email Worker at the edge, and raw messages from scripts.

mod answer;
mod inbound;
mod payload;
mod proof;
mod signature;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::routing::{get, post};
use remotelab_protocol::time::iso_from_ms;
use serde_json::json;
use tokio::sync::{Notify, Semaphore};

use crate::ingest::{self, Refused};
use crate::office::{Office, blocking};
use payload::Fault;
use proof::Proof;

/// Deliveries taken in at the same time, and those that may wait for their turn; more are asked to
/// come back.
const MAX_DELIVERIES: usize = 32;
const MAX_WAITING: usize = 512;

/// Large mail through a tunnel takes minutes.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(300);

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
        .route("/cloudflare-email/recipient", get(recipient))
        .route("/inbound/raw", post(raw))
        .route("/inbound/{provider}", post(provider))
        .fallback(not_found)
        .method_not_allowed_fallback(not_found)
        .with_state(Arc::new(bridge))
}

async fn not_found(request: Request) -> Response {
    let path = request.uri().path();
    answer::json(StatusCode::NOT_FOUND, &json!({"ok": false, "error": "not_found", "path": path}))
}

async fn healthz(State(bridge): State<Arc<Bridge>>) -> Response {
    let office = Arc::clone(&bridge.office);
    let configured = blocking(move || {
        let is_named = office.places.identity()?.is_some();
        let bridge = office.places.bridge()?.unwrap_or_default();
        let keys: Vec<String> = bridge.signing_keys.iter().map(|key| key.id.clone()).collect();
        Ok((is_named, proof::webhook_token(&office)?.is_some(), keys, bridge.require_signature))
    });
    let (is_named, has_token, keys, is_strict) = configured.await.unwrap_or_default();
    let body = json!({
        "ok": true,
        "service": "agent-mail-http-bridge",
        "status": if is_named && (has_token || !keys.is_empty()) { "configured" } else { "unconfigured" },
        "host": bridge.addr.ip().to_string(),
        "port": bridge.addr.port(),
        "cloudflareWebhookConfigured": has_token,
        "signingKeys": keys,
        "requireSignature": is_strict,
        "time": iso_from_ms(bridge.office.clock.now()),
    });
    answer::json(StatusCode::OK, &body)
}

async fn webhook(State(bridge): State<Arc<Bridge>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let proof = match proof::of_worker(&bridge.office, &parts.headers).await {
        Ok(proof) => proof,
        Err(response) => return response,
    };
    bridge.taken(async { payload::open(&parts.headers, body).await?.take(&bridge.office, proof).await }).await
}

/// Whether there is a recipient: asked before a message is sent here.
async fn recipient(
    State(bridge): State<Arc<Bridge>>,
    Query(query): Query<payload::RawQuery>,
    headers: HeaderMap,
) -> Response {
    let proof = match proof::of_worker(&bridge.office, &headers).await {
        Ok(proof) => proof,
        Err(response) => return response,
    };
    let address = match payload::recipient(&query, &headers, &proof) {
        Ok(address) => address,
        Err(fault) => return answer::fault(&fault),
    };
    let office = Arc::clone(&bridge.office);
    match blocking(move || ingest::knows(&office, &address)).await {
        Ok(true) => answer::json(StatusCode::OK, &json!({"ok": true})),
        Ok(false) => answer::refused(&Refused::UnknownRecipient),
        Err(error) => answer::refused(&Refused::Trouble(error)),
    }
}

/// A delivery of another provider.
async fn provider(State(bridge): State<Arc<Bridge>>, Path(id): Path<String>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    bridge.taken(async { Ok(inbound::take(&bridge.office, &id, parts.headers, body).await) }).await
}

/// A raw message, from whoever has the token for it.
async fn raw(
    State(bridge): State<Arc<Bridge>>,
    Query(query): Query<payload::RawQuery>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    if let Err(response) = proof::of_script(&bridge.office, &parts.headers).await {
        return response;
    }
    bridge
        .taken(async { payload::raw(&parts.headers, query, body).take(&bridge.office, Proof::Token).await })
        .await
}

impl Bridge {
    /// Takes a delivery in when it is its turn, and answers it.
    async fn taken(&self, take: impl Future<Output = Result<Response, Fault>>) -> Response {
        let Ok(_place) = self.waiting.try_acquire() else {
            return answer::refused(&Refused::Busy);
        };
        let delivery = async {
            let _slot = self.slots.acquire().await.map_err(|_| Refused::Busy)?;
            take.await
        };
        match tokio::time::timeout(DELIVERY_TIMEOUT, delivery).await {
            Ok(Ok(response)) => {
                self.wake.notify_one();
                response
            }
            Ok(Err(fault)) => answer::fault(&fault),
            Err(_) => answer::refused(&Refused::Busy),
        }
    }
}
