//! How the gateway vouches for the forwarding headers that it sets, so that an instance can tell them
//! from a client's own. See `docs/architecture.md`, "Trust".

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::secret::Secret;

/// The header that carries the signature.
pub const HEADER: &str = "x-remotelab-gateway";

/// A signature is good for this many seconds around its time.
pub const WINDOW_SECONDS: i64 = 60;

const BEFORE_TIME: &str = "v1; ts=";
const BEFORE_SIGNATURE: &str = "; sig=";

/// The request facts that a signature covers; absent headers are empty strings.
#[derive(Clone, Copy, Debug, Default)]
pub struct Facts<'a> {
    /// Request method.
    pub method: &'a str,
    /// Path and query as the instance sees them, prefix stripped.
    pub target: &'a str,
    /// `X-Forwarded-Prefix`.
    pub prefix: &'a str,
    /// `X-Forwarded-For`: the one client address.
    pub client: &'a str,
    /// `X-Forwarded-Proto`.
    pub proto: &'a str,
    /// `X-Forwarded-Host`.
    pub host: &'a str,
}

/// A key that signs again and again: what depends on the key alone is computed once.
#[derive(Clone)]
pub struct Signer(Hmac<Sha256>);

impl Signer {
    /// Signs with `secret`.
    #[must_use]
    pub fn new(secret: &Secret) -> Self {
        Self(Hmac::new_from_slice(secret.bytes()).expect("HMAC takes a key of any length"))
    }

    /// Returns the header's value for a request at a time in Unix seconds.
    #[must_use]
    pub fn sign(&self, unix_seconds: i64, facts: &Facts<'_>) -> String {
        let time = unix_seconds.to_string();
        let mut digits = [0; 64];
        hex::encode_to_slice(self.mac(&time, facts).finalize().into_bytes(), &mut digits)
            .expect("a signature has 32 bytes");
        let signature = std::str::from_utf8(&digits).expect("hex digits are text");
        [BEFORE_TIME, &time, BEFORE_SIGNATURE, signature].concat()
    }

    fn mac(&self, time: &str, facts: &Facts<'_>) -> Hmac<Sha256> {
        let mut mac = self.0.clone();
        // No field can hold a line feed: HTTP forbids it in all of them.
        for field in
            ["v1", time, facts.method, facts.target, facts.prefix, facts.client, facts.proto, facts.host]
        {
            mac.update(field.as_bytes());
            mac.update(b"\n");
        }
        mac
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signer(…)")
    }
}

/// Signs once, see [`Signer::sign`].
#[must_use]
pub fn sign(secret: &Secret, unix_seconds: i64, facts: &Facts<'_>) -> String {
    Signer::new(secret).sign(unix_seconds, facts)
}

/// Tells whether a header's value vouches for these facts at this time.
#[must_use]
pub fn verify(secret: &Secret, now_unix_seconds: i64, facts: &Facts<'_>, value: &str) -> bool {
    let Some((time, signature)) = parse(value) else {
        return false;
    };
    let age = now_unix_seconds.saturating_sub(time);
    (-WINDOW_SECONDS..=WINDOW_SECONDS).contains(&age)
        && Signer::new(secret).mac(&time.to_string(), facts).verify_slice(&signature).is_ok()
}

fn parse(value: &str) -> Option<(i64, [u8; 32])> {
    let rest = value.strip_prefix(BEFORE_TIME)?;
    let (time, signature) = rest.split_once(BEFORE_SIGNATURE)?;
    let mut bytes = [0; 32];
    hex::decode_to_slice(signature, &mut bytes).ok()?;
    Some((time.parse().ok()?, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vouches_for_exactly_what_was_signed() {
        let secret = Secret::random();
        let facts = Facts {
            method: "GET",
            target: "/",
            prefix: "/trial1",
            client: "10.0.0.1",
            proto: "https",
            host: "x",
        };
        let value = sign(&secret, 1_000, &facts);
        assert!(verify(&secret, 1_060, &facts, &value));
        assert!(!verify(&secret, 1_061, &facts, &value));
        assert!(!verify(&Secret::random(), 1_000, &facts, &value));
        assert!(!verify(&secret, 1_000, &Facts { prefix: "/trial2", ..facts }, &value));
        for garbage in ["", "v1", "v1; ts=1; sig=00", "v1; ts=x; sig=", "v2; ts=1000; sig=00"] {
            assert!(!verify(&secret, 1_000, &facts, garbage));
        }
    }
}
