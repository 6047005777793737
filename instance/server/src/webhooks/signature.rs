//! The signature of a delivery: the receiver computes the same and knows who sent it, and when.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::hook::SigningSecret;

/// The header that carries the signature.
pub(super) const HEADER: &str = "x-remotelab-signature";

/// Returns the header's value: `t=<Unix seconds>,v1=<hex HMAC-SHA256 of "<t>.<body>">`.
pub(super) fn sign(secret: &SigningSecret, unix_seconds: i64, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.reveal().as_bytes()).expect("any length is a key");
    mac.update(format!("{unix_seconds}.").as_bytes());
    mac.update(body);
    format!("t={unix_seconds},v1={}", hex::encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac 0123456789abcdef` has it.
    #[test]
    fn a_receiver_computes_the_same() {
        let secret: SigningSecret = serde_json::from_str("\"0123456789abcdef\"").unwrap();
        assert_eq!(
            sign(&secret, 1_700_000_000, br#"{"a":1}"#),
            "t=1700000000,v1=9eb18f493f8ec135d9eb2dad817c369bb4e9cbfa818657897a7437c1cd8c3a23"
        );
    }
}
