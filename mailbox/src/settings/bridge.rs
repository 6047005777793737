//! `bridge.json`: how the edge proves itself to the bridge.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// The bridge's settings. `Debug` shows no token.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Bridge {
    pub(crate) provider: String,
    pub(crate) cloudflare_webhook_token: String,
    /// Public address, validation state and what else stands in the file.
    #[serde(flatten)]
    pub(crate) rest: Map<String, Value>,
}

impl Bridge {
    /// Tells what the validation state in the file says about the way in from outside.
    pub(crate) fn public_ingress(&self) -> &'static str {
        let validation = self.rest.get("validation");
        let is_true =
            |key: &str| validation.and_then(|value| value.get(key)).and_then(Value::as_bool).unwrap_or(false);
        if is_true("realExternalMailValidated") {
            "external_mail_validated"
        } else if is_true("queueReadyForRealMail") {
            "ready_for_external_mail"
        } else if validation.and_then(|v| v.get("publicHealth")).is_some_and(|v| v == "pass") {
            "public_webhook_healthy"
        } else {
            "bridge_configured_pending_validation"
        }
    }
}

/// Compares a presented token with the expected one; both are hashed first, so that the time tells
/// neither content nor length.
pub(crate) fn token_matches(expected: &str, presented: &str) -> bool {
    let digest = |text: &str| Sha256::digest(text.as_bytes());
    !expected.is_empty() && bool::from(digest(expected).as_slice().ct_eq(digest(presented).as_slice()))
}

impl fmt::Debug for Bridge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bridge").field("provider", &self.provider).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_token_matches_nothing() {
        assert!(!token_matches("", ""));
        assert!(!token_matches("tok", "tok2"));
        assert!(token_matches("tok", "tok"));
    }

    #[test]
    fn reads_the_validation_state() {
        let ingress = |text: &str| serde_json::from_str::<Bridge>(text).unwrap().public_ingress();
        assert_eq!(ingress("{}"), "bridge_configured_pending_validation");
        assert_eq!(ingress(r#"{"validation":{"publicHealth":"pass"}}"#), "public_webhook_healthy");
        assert_eq!(
            ingress(r#"{"validation":{"realExternalMailValidated":true}}"#),
            "external_mail_validated"
        );
    }
}
