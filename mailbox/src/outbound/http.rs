//! What providers that are spoken to over HTTP have in common: one call, and what its outcome means.

use std::sync::OnceLock;
use std::time::Duration;

use http::StatusCode;
use reqwest::{Client, RequestBuilder, Response, header};
use serde_json::Value;

use crate::message::one_line;
use crate::state::{Attempt, Failure};

/// A call with all that it carries.
const TIMEOUT: Duration = Duration::from_secs(120);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// What is read of an answer (bytes).
const ANSWER_MAX: usize = 64 * 1024;

/// Longest wait that a provider can ask for.
const LONGEST_WAIT: Duration = Duration::from_secs(12 * 3600);

/// An answer that says yes.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Value,
}

/// A client for an address. A machine of ours is not asked through the proxies of the environment.
pub(super) fn client(url: &str) -> Result<&'static Client, Attempt> {
    static PUBLIC: OnceLock<Option<Client>> = OnceLock::new();
    static LOCAL: OnceLock<Option<Client>> = OnceLock::new();
    // Fails only when another part of the process installed one first, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = || {
        Client::builder()
            .timeout(TIMEOUT)
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
    };
    let host = url.split("://").nth(1).unwrap_or_default();
    let is_local = ["127.", "localhost", "[::1]"].iter().any(|local| host.starts_with(local));
    let made = match is_local {
        true => LOCAL.get_or_init(|| builder().no_proxy().build().ok()),
        false => PUBLIC.get_or_init(|| builder().build().ok()),
    };
    made.as_ref().ok_or_else(|| Attempt::Transient(failure(0, "no HTTP client can be made here")))
}

/// Makes the call. `is_keyed`: the provider takes the same letter once, however often it is sent.
pub(super) async fn call(call: RequestBuilder, is_keyed: bool) -> Result<Answer, Attempt> {
    let response = match call.send().await {
        Ok(response) => response,
        Err(error) => {
            let failure = failure(0, &error.without_url().to_string());
            return Err(unclear(failure, is_keyed));
        }
    };
    let status = response.status();
    let wait = retry_after(&response);
    let Some(bytes) = read(response).await else {
        return Err(unclear(failure(status.as_u16(), "the answer broke off"), is_keyed));
    };
    let body: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    if status.is_success() {
        return Ok(Answer { status, body });
    }
    Err(refused(status, &body, wait))
}

/// What a refusal means.
fn refused(status: StatusCode, body: &Value, wait: Option<Duration>) -> Attempt {
    let text = error_text(body);
    let failure = failure(status.as_u16(), &text);
    let is_transient = status.is_server_error()
        || matches!(
            status,
            StatusCode::REQUEST_TIMEOUT
                | StatusCode::TOO_MANY_REQUESTS
                | StatusCode::TOO_EARLY
                | StatusCode::CONFLICT
        );
    // A recipient or sender that this provider may not serve, which another may.
    let lower = text.to_lowercase();
    let is_elsewhere =
        ["verified", "not_entitled", "sending_disabled", "e_sender_", "e_recipient_not_allowed"]
            .iter()
            .any(|word| lower.contains(word))
            || matches!(status, StatusCode::UNAUTHORIZED | StatusCode::NOT_FOUND);
    match wait {
        _ if is_elsewhere => Attempt::Reroute(failure),
        Some(wait) if is_transient => Attempt::Later(failure, wait),
        None if is_transient => Attempt::Transient(failure),
        _ => Attempt::Permanent(failure),
    }
}

fn unclear(failure: Failure, is_keyed: bool) -> Attempt {
    if is_keyed { Attempt::Transient(failure) } else { Attempt::Unknown(failure) }
}

async fn read(mut response: Response) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    while let Some(piece) = response.chunk().await.ok()? {
        let room = ANSWER_MAX - bytes.len();
        bytes.extend_from_slice(&piece[..piece.len().min(room)]);
    }
    Some(bytes)
}

fn retry_after(response: &Response) -> Option<Duration> {
    let text = response.headers().get(header::RETRY_AFTER)?.to_str().ok()?;
    let seconds: u64 = text.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(LONGEST_WAIT))
}

/// The words of a refusal in any of the shapes that providers use.
fn error_text(body: &Value) -> String {
    let word = |value: &Value| value.as_str().map(str::to_owned);
    let listed = body["errors"].as_array().map(|errors| {
        let one =
            |error: &Value| format!("{} {}", error["code"], word(&error["message"]).unwrap_or_default());
        errors.iter().map(one).collect::<Vec<_>>().join("; ")
    });
    let name = word(&body["name"]).or_else(|| word(&body["details"]["name"]));
    let message = word(&body["message"])
        .or_else(|| word(&body["details"]["message"]))
        .or_else(|| word(&body["error"]["message"]))
        .or_else(|| word(&body["error"]));
    let plain = [name, message].into_iter().flatten().collect::<Vec<_>>().join(": ");
    listed.filter(|text| !text.is_empty()).unwrap_or(plain)
}

pub(super) fn failure(code: u16, text: &str) -> Failure {
    let text = one_line(text, 300);
    Failure { code, text: if text.is_empty() { "the provider gave no reason".to_owned() } else { text } }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn knows_who_should_try_again_and_who_another_way() {
        let of = |status: u16, body: Value, wait: Option<u64>| {
            refused(StatusCode::from_u16(status).unwrap(), &body, wait.map(Duration::from_secs))
        };
        assert!(matches!(of(503, json!({}), None), Attempt::Transient(_)));
        assert!(matches!(of(429, json!({}), Some(7)), Attempt::Later(_, wait) if wait.as_secs() == 7));
        assert!(matches!(of(422, json!({"name": "validation_error"}), Some(7)), Attempt::Permanent(_)));
        let unverified = json!({"error": "Failed", "details": {"name": "E", "message": "destination address not verified"}});
        assert!(matches!(
            of(502, json!({"error": "destination address is not verified"}), None),
            Attempt::Reroute(_)
        ));
        assert!(matches!(of(502, unverified, None), Attempt::Reroute(_)), "as older Workers say it");
        let listed = json!({"errors": [{"code": 10105, "message": "email.sending.error.authentication.not_entitled"}]});
        let Attempt::Reroute(failure) = of(403, listed, None) else { panic!("another way") };
        assert_eq!(failure.text, "10105 email.sending.error.authentication.not_entitled");
        assert!(matches!(of(401, json!({}), None), Attempt::Reroute(_)));
    }
}
