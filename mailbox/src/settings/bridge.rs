//! `bridge.json`: how the edge proves itself to the bridge.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// The bridge's settings. `Debug` shows no token.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Bridge {
    pub(crate) provider: String,
    pub(crate) cloudflare_webhook_token: String,
    /// Keys that may sign deliveries: the one in use, and others while it is changed.
    pub(crate) signing_keys: Vec<SigningKey>,
    /// Whether the webhook takes signed deliveries alone.
    pub(crate) require_signature: bool,
    /// What scripts present at the door for raw messages; closed while it is empty.
    pub(crate) ingress_token: String,
    /// What other providers prove themselves by; one that is not named here is not let in.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) adapters: BTreeMap<String, Adapter>,
    /// Doors for mail servers.
    pub(crate) listen: Vec<Listen>,
    /// Public address, validation state and what else stands in the file.
    #[serde(flatten)]
    pub(crate) rest: Map<String, Value>,
}

/// A key that signs deliveries.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct SigningKey {
    pub(crate) id: String,
    pub(crate) key: String,
    /// Since when it is there.
    pub(crate) since: String,
}

/// What a provider proves itself by, and what is asked of it.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Adapter {
    /// The signing key, or the password of basic authentication.
    pub(crate) secret: String,
    /// What is presented to its API.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) api_key: String,
    /// Where its API is, when not at its usual place.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) api_base_url: String,
    /// The topic whose notes count.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) topic: String,
}

/// A door for mail servers of this machine.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Listen {
    pub(crate) proto: Proto,
    /// The path of a Unix socket.
    pub(crate) socket: PathBuf,
    /// Its mode in octal; by default its owner's alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) mode: Option<String>,
}

/// What is spoken at a door.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Proto {
    Lmtp,
}

impl Bridge {
    /// Returns the settings as they may be shown.
    pub(crate) fn shown(&self) -> Value {
        let hidden = |secret: &str| if secret.is_empty() { "" } else { "[configured]" };
        let key = |key: &SigningKey| json!({"id": key.id, "key": hidden(&key.key), "since": key.since});
        let mut shown = Map::from_iter([
            ("provider".to_owned(), json!(self.provider)),
            ("cloudflareWebhookToken".to_owned(), json!(hidden(&self.cloudflare_webhook_token))),
            ("ingressToken".to_owned(), json!(hidden(&self.ingress_token))),
            ("signingKeys".to_owned(), self.signing_keys.iter().map(key).collect()),
            ("requireSignature".to_owned(), json!(self.require_signature)),
            ("adapters".to_owned(), json!(self.adapters.keys().collect::<Vec<_>>())),
            ("listen".to_owned(), json!(self.listen)),
        ]);
        shown.extend(self.rest.clone());
        Value::Object(shown)
    }

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

impl fmt::Debug for Adapter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Adapter").field("topic", &self.topic).finish_non_exhaustive()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("id", &self.id).finish_non_exhaustive()
    }
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
    fn shows_no_secret() {
        let text =
            r#"{"cloudflareWebhookToken":"s1","ingressToken":"s2","signingKeys":[{"id":"a","key":"s3"}]}"#;
        let bridge: Bridge = serde_json::from_str(text).unwrap();
        let shown = format!("{} {bridge:?} {:?}", bridge.shown(), bridge.signing_keys);
        assert!(!["s1", "s2", "s3"].iter().any(|secret| shown.contains(secret)), "{shown}");
        assert_eq!(bridge.shown()["signingKeys"][0]["key"], "[configured]");
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
