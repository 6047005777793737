//! What a delivery is answered.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::payload::Fault;
use crate::ingest::{self, Refused};

/// When a refused delivery should be tried again (seconds).
const RETRY_AFTER: &str = "30";

pub(super) fn json(status: StatusCode, body: &Value) -> Response {
    (status, [(header::CACHE_CONTROL, "no-store")], axum::Json(body)).into_response()
}

/// Says a word that the sender can branch on.
pub(super) fn word(status: StatusCode, error: &str) -> Response {
    json(status, &json!({"ok": false, "error": error}))
}

pub(super) fn unavailable(body: &Value) -> Response {
    let mut response = json(StatusCode::SERVICE_UNAVAILABLE, body);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER));
    response
}

pub(super) fn bad_signature() -> Response {
    tracing::warn!("mail delivery with a wrong or missing signature refused");
    word(StatusCode::UNAUTHORIZED, "bad_signature")
}

pub(super) fn fault(fault: &Fault) -> Response {
    let error = match fault {
        Fault::Refused(reason) => return refused(reason),
        Fault::BadSignature => return bad_signature(),
        Fault::InvalidJson => "invalid_json",
        Fault::MissingRaw => "missing_raw_email",
        Fault::BadRecipient => "missing_or_malformed_recipient",
        Fault::CutOff => "body_cut_off",
    };
    word(StatusCode::BAD_REQUEST, error)
}

pub(super) fn refused(refused: &Refused) -> Response {
    match refused {
        Refused::UnknownRecipient => json(
            StatusCode::FORBIDDEN,
            &json!({"ok": false, "error": "unknown_recipient", "smtp": refused.smtp()}),
        ),
        Refused::TooLarge => json(
            StatusCode::PAYLOAD_TOO_LARGE,
            &json!({"ok": false, "error": "message_too_large", "limit": ingest::MAX_MESSAGE}),
        ),
        Refused::OverQuota => {
            let mut response =
                json(StatusCode::TOO_MANY_REQUESTS, &json!({"ok": false, "error": "over_quota"}));
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("600"));
            response
        }
        Refused::Busy => unavailable(&json!({"ok": false, "error": "busy"})),
        Refused::NoRoom => unavailable(&json!({"ok": false, "error": "no_room"})),
        Refused::Trouble(error) => {
            let reference = format!("{:08x}", rand::random::<u32>());
            tracing::error!(reference, "mail not taken in ({reference}): {error:?}");
            unavailable(&json!({"ok": false, "error": "bridge_error", "reference": reference}))
        }
    }
}
