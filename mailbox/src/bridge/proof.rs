//! Who may deliver: the Email Worker by its signature or its token, scripts by a token of their own.

use std::sync::Arc;

use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::answer;
use super::signature::Signed;
use crate::ingest::Refused;
use crate::office::{Error, Office, blocking};
use crate::settings::{Bridge, token_matches};

/// The override of the stored webhook token.
const TOKEN_ENV: &str = "AGENT_MAILBOX_CLOUDFLARE_WEBHOOK_TOKEN";

/// By what a delivery was believed.
pub(super) enum Proof {
    Token,
    /// Its content is still to be compared.
    Signed(Signed),
}

/// Checks a delivery of the Email Worker; an `Err` is its answer.
pub(super) async fn of_worker(office: &Arc<Office>, headers: &HeaderMap) -> Result<Proof, Response> {
    let lookup = Arc::clone(office);
    let (settings, token) = settings(office, move || webhook_token(&lookup)).await?;
    if token.is_none() && settings.signing_keys.is_empty() {
        return Err(answer::unavailable(&json!({"ok": false, "error": "cloudflare_webhook_unconfigured"})));
    }
    let now = office.clock.now() / 1000;
    match Signed::read(headers) {
        Some(signed) => signed
            .and_then(|signed| signed.verify(&settings.signing_keys, now).map(|()| Proof::Signed(signed)))
            .map_err(|_| answer::bad_signature()),
        None if settings.require_signature => Err(answer::bad_signature()),
        None if token_matches(&token.unwrap_or_default(), &presented(headers)) => Ok(Proof::Token),
        None => Err(wrong_token("invalid_cloudflare_webhook_token")),
    }
}

/// Checks a delivery of a script; an `Err` is its answer.
pub(super) async fn of_script(office: &Arc<Office>, headers: &HeaderMap) -> Result<(), Response> {
    let (settings, ()) = settings(office, || Ok(())).await?;
    if settings.ingress_token.is_empty() {
        return Err(answer::unavailable(&json!({"ok": false, "error": "ingress_unconfigured"})));
    }
    match token_matches(&settings.ingress_token, &presented(headers)) {
        true => Ok(()),
        false => Err(wrong_token("invalid_ingress_token")),
    }
}

pub(super) fn webhook_token(office: &Office) -> Result<Option<String>, Error> {
    if let Some(token) = office.env.get(TOKEN_ENV) {
        return Ok(Some(token.to_owned()));
    }
    let bridge = office.places.bridge()?;
    Ok(bridge.map(|bridge| bridge.cloudflare_webhook_token).filter(|token| !token.is_empty()))
}

/// Reads the bridge's settings and something more; an `Err` answers when there is no mailbox yet.
async fn settings<T: Send + 'static>(
    office: &Arc<Office>,
    more: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<(Bridge, T), Response> {
    let lookup = Arc::clone(office);
    let read = blocking(move || {
        let is_named = lookup.places.identity()?.is_some();
        Ok((is_named, lookup.places.bridge()?.unwrap_or_default(), more()?))
    });
    match read.await {
        Ok((true, bridge, more)) => Ok((bridge, more)),
        Ok((false, ..)) => {
            Err(answer::unavailable(&json!({"ok": false, "error": "cloudflare_webhook_unconfigured"})))
        }
        Err(error) => Err(answer::refused(&Refused::Trouble(error))),
    }
}

/// Returns the token of `Authorization`, as bearer or as the password of basic, else of the older header.
pub(super) fn presented(headers: &HeaderMap) -> String {
    let text = |name| headers.get(name).and_then(|value: &header::HeaderValue| value.to_str().ok());
    let Some(authorization) = text("authorization") else {
        return text("x-bridge-token").unwrap_or_default().trim().to_owned();
    };
    if let Some(basic) = authorization.strip_prefix("Basic ") {
        let decoded = STANDARD.decode(basic.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let password = decoded.and_then(|pair| Some(pair.split_once(':')?.1.to_owned()));
        return password.unwrap_or_default();
    }
    authorization.strip_prefix("Bearer ").unwrap_or(authorization).trim().to_owned()
}

fn wrong_token(error: &str) -> Response {
    tracing::warn!("mail delivery with a wrong or missing token refused");
    answer::word(StatusCode::FORBIDDEN, error)
}
