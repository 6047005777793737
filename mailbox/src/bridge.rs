//! The HTTP doors for mail: the webhook of the Email Worker at the edge, and raw messages from scripts.

mod answer;
mod payload;
mod proof;
mod signature;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Query, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use remotelab_protocol::time::iso_from_ms;
use serde_json::json;
use tokio::sync::{Notify, Semaphore};

use crate::ingest::Refused;
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
        .route("/inbound/raw", post(raw))
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
        Ok((is_named, proof::webhook_token(&office)?.is_some()))
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
