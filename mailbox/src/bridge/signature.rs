//! The signature of a delivery (`X-RemoteLab-Signature`): who sent it, when, for whom, and which bytes.

use axum::http::HeaderMap;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::settings::SigningKey;

/// How far the sender's clock may be from ours (seconds).
const WINDOW: i64 = 300;

/// Most signatures in one header: one for each key while keys are changed.
const MAX_SIGNATURES: usize = 5;

/// What a signed delivery says of itself, not believed yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Signed {
    timestamp: String,
    delivery: String,
    /// The envelope as it was sent, percent-encoded or not.
    from: String,
    to: String,
    content: String,
    signatures: Vec<Vec<u8>>,
}

/// The delivery is not what it says, or too old. Which of these is nobody's business.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BadSignature;

impl Signed {
    /// Reads the headers. `None`: it is not signed.
    pub(super) fn read(headers: &HeaderMap) -> Option<Result<Self, BadSignature>> {
        headers.contains_key("x-remotelab-signature").then(|| Self::parse(headers).ok_or(BadSignature))
    }

    fn parse(headers: &HeaderMap) -> Option<Self> {
        // Of two headers of one name another reader may take the other.
        let only = |name: &str| {
            let mut values = headers.get_all(name).iter();
            let value = values.next()?.to_str().ok()?;
            values.next().is_none().then(|| value.to_owned())
        };
        let signatures = only("x-remotelab-signature")?;
        let signatures: Vec<_> = signatures
            .split(',')
            .take(MAX_SIGNATURES)
            .filter_map(|one| hex::decode(one.trim().strip_prefix("v1=")?).ok())
            .collect();
        Some(Self {
            timestamp: only("x-remotelab-timestamp")?,
            delivery: only("x-remotelab-delivery").filter(|id| !id.is_empty() && id.len() <= 100)?,
            from: if headers.contains_key("x-envelope-from") {
                only("x-envelope-from")?
            } else {
                String::new()
            },
            to: only("x-envelope-to")?,
            content: only("x-remotelab-content-sha256")?.to_ascii_lowercase(),
            signatures,
        })
    }

    /// Checks all but the content.
    pub(super) fn verify(&self, keys: &[SigningKey], unix_seconds: i64) -> Result<(), BadSignature> {
        let timestamp: i64 = self.timestamp.parse().map_err(|_| BadSignature)?;
        if unix_seconds.abs_diff(timestamp) > WINDOW.unsigned_abs() {
            return Err(BadSignature);
        }
        let Self { timestamp, delivery, from, to, content, .. } = self;
        let text = format!("v1\n{timestamp}\n{delivery}\n{from}\n{to}\n{content}");
        let known = keys.iter().filter(|key| !key.key.is_empty()).any(|key| {
            let expected = hmac(&key.key, &text);
            self.signatures.iter().any(|given| bool::from(expected.as_slice().ct_eq(given)))
        });
        if known { Ok(()) } else { Err(BadSignature) }
    }

    /// Checks the content, by its SHA-256 in hex.
    pub(super) fn verify_content(&self, sha256: &str) -> Result<(), BadSignature> {
        if self.content == sha256 { Ok(()) } else { Err(BadSignature) }
    }
}

fn hmac(key: &str, text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).expect("any length is a key");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::{HeaderName, HeaderValue};
    use sha2::Digest;

    const NOW: i64 = 1_795_332_302;

    fn keys(keys: &[&str]) -> Vec<SigningKey> {
        keys.iter().map(|key| SigningKey { key: (*key).to_owned(), ..SigningKey::default() }).collect()
    }

    /// The headers of a delivery signed with a key.
    fn headers(key: &str) -> HeaderMap {
        let content = hex::encode(Sha256::digest("Hi"));
        let text = format!("v1\n{NOW}\nd-1\na%40b.c\ntrial1@example.com\n{content}");
        let signature = format!("v1={}", hex::encode(hmac(key, &text)));
        [
            ("x-remotelab-timestamp", NOW.to_string()),
            ("x-remotelab-delivery", "d-1".to_owned()),
            ("x-envelope-from", "a%40b.c".to_owned()),
            ("x-envelope-to", "trial1@example.com".to_owned()),
            ("x-remotelab-content-sha256", content),
            ("x-remotelab-signature", signature),
        ]
        .into_iter()
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::try_from(value).unwrap()))
        .collect()
    }

    fn verdict(headers: &HeaderMap, keys: &[SigningKey], now: i64) -> Result<(), BadSignature> {
        Signed::read(headers).expect("it is signed").and_then(|signed| {
            signed.verify(keys, now)?;
            signed.verify_content(&hex::encode(Sha256::digest("Hi")))
        })
    }

    /// As `openssl dgst -sha256 -hmac key` has it.
    #[test]
    fn a_sender_computes_the_same() {
        let text = "v1\n1795332302\nd-1\na%40b.c\ntrial1@example.com\nabc";
        assert_eq!(
            hex::encode(hmac("key", text)),
            "b5700b60c84764e983ee6a1b3b36923e03ef28c65af46bb11549826bffd06172"
        );
    }

    #[test]
    fn believes_what_a_known_key_signed_a_short_while_ago() {
        assert_eq!(verdict(&headers("k"), &keys(&["k"]), NOW), Ok(()));
        assert_eq!(verdict(&headers("k"), &keys(&["new", "k"]), NOW + 300), Ok(()));
        for (keys, now) in
            [(keys(&["other"]), NOW), (keys(&[]), NOW), (keys(&[""]), NOW), (keys(&["k"]), NOW + 301)]
        {
            assert_eq!(verdict(&headers("k"), &keys, now), Err(BadSignature));
        }
        assert_eq!(verdict(&headers("k"), &keys(&["k"]), NOW - 301), Err(BadSignature));
        assert_eq!(verdict(&headers(""), &keys(&[""]), NOW), Err(BadSignature));
        assert_eq!(Signed::read(&HeaderMap::new()), None);
    }

    #[test]
    fn nothing_of_it_can_be_changed_left_out_or_doubled() {
        let names: Vec<HeaderName> = headers("k").keys().cloned().collect();
        for name in names {
            let mut changed = headers("k");
            let value = format!("{}0", changed[&name].to_str().unwrap());
            changed.insert(name.clone(), HeaderValue::try_from(value).unwrap());
            assert_eq!(verdict(&changed, &keys(&["k"]), NOW), Err(BadSignature), "{name} changed");
            let mut doubled = headers("k");
            let value = doubled[&name].clone();
            doubled.append(name.clone(), value);
            assert_eq!(verdict(&doubled, &keys(&["k"]), NOW), Err(BadSignature), "{name} doubled");
            let mut left_out = headers("k");
            left_out.remove(&name);
            if name != "x-remotelab-signature" {
                assert_eq!(verdict(&left_out, &keys(&["k"]), NOW), Err(BadSignature), "{name} left out");
            }
        }
        let mut several = headers("k");
        let value = format!("v1=00, v0=x, nonsense, {}", several["x-remotelab-signature"].to_str().unwrap());
        several.insert("x-remotelab-signature", HeaderValue::try_from(value).unwrap());
        assert_eq!(verdict(&several, &keys(&["k"]), NOW), Ok(()));
    }
}
