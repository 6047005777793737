//! What stands behind a name in an address of ours: the conversation that an answer belongs to
//! (`r-<token>`), or the letter that a report is about (`b-<key>`).

use hmac::{Hmac, KeyInit, Mac};
use remotelab_config::InstanceName;
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::address::Address;
use crate::identity::{AddressMode, Identity};

/// RFC 4648 §6 in lower case: relays may change the case of an address.
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// Bytes of a conversation's number, and of what proves that we wrote it down.
const NUMBER: usize = 5;
const PROOF: usize = 8;

/// What an address says beside whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Detail {
    /// The token of a conversation, not yet proved.
    Thread(String),
    /// The key of a letter.
    Bounce(String),
}

/// Reads what stands behind the name in a recipient's address.
pub(crate) fn read(recipient: &str) -> Option<Detail> {
    let (local, _) = recipient.rsplit_once('@')?;
    let detail = local.rsplit(['+', '.']).next()?.to_ascii_lowercase();
    if let Some(token) = detail.strip_prefix("r-") {
        return Some(Detail::Thread(token.to_owned()));
    }
    detail.strip_prefix("b-").map(|key| Detail::Bounce(key.to_owned()))
}

/// Writes an address of an instance, `None` being the owner, with a detail. `None` when it grows longer
/// than an address may be.
pub(crate) fn write(identity: &Identity, name: Option<&InstanceName>, detail: &str) -> Option<Address> {
    let (local, domain) = (&identity.local_part, &identity.domain);
    let text = match (name, identity.instance_address_mode) {
        (None, _) => format!("{local}+{detail}@{domain}"),
        (Some(name), AddressMode::Plus) => format!("{local}+{name}.{detail}@{domain}"),
        (Some(name), AddressMode::LocalPart) => format!("{name}+{detail}@{domain}"),
    };
    Address::parse(&text).ok()
}

/// Returns the token of a conversation; `None` beyond the numbers that it can hold.
pub(crate) fn token(key: &[u8], thread_id: i64) -> Option<String> {
    let number = thread_id.to_be_bytes();
    let (high, low) = number.split_at(number.len() - NUMBER);
    high.iter().all(|&byte| byte == 0).then(|| base32(&[low, &proof(key, low)].concat()))
}

/// Returns the conversation of a token that we wrote.
pub(crate) fn verify(key: &[u8], token: &str) -> Option<i64> {
    let bytes = unbase32(token).filter(|bytes| bytes.len() == NUMBER + PROOF)?;
    let (number, proved) = bytes.split_at(NUMBER);
    if !bool::from(proof(key, number).as_slice().ct_eq(proved)) {
        return None;
    }
    let mut wide = [0; 8];
    wide[8 - NUMBER..].copy_from_slice(number);
    Some(i64::from_be_bytes(wide))
}

/// Draws the key of a letter.
pub(crate) fn bounce_key() -> String {
    base32(&rand::random::<[u8; 12]>())
}

fn proof(key: &[u8], number: &[u8]) -> Vec<u8> {
    // A key of any length is one.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return Vec::new() };
    mac.update(b"thread:");
    mac.update(number);
    mac.finalize().into_bytes()[..PROOF].to_vec()
}

fn base32(bytes: &[u8]) -> String {
    let bit = |at: usize| bytes.get(at / 8).is_some_and(|byte| byte >> (7 - at % 8) & 1 == 1);
    (0..bytes.len() * 8)
        .step_by(5)
        .map(|at| (at..at + 5).fold(0, |index, at| index << 1 | usize::from(bit(at))))
        .map(|index| char::from(ALPHABET[index]))
        .collect()
}

fn unbase32(text: &str) -> Option<Vec<u8>> {
    let mut bits = Vec::new();
    for c in text.bytes().take(64) {
        let index = ALPHABET.iter().position(|known| *known == c.to_ascii_lowercase())?;
        bits.extend((0..5).rev().map(|at| index >> at & 1 == 1));
    }
    let whole = bits.chunks_exact(8);
    // What is left over is filling, and nothing else.
    if whole.remainder().len() >= 5 || whole.remainder().iter().any(|bit| *bit) {
        return None;
    }
    Some(whole.map(|bits| bits.iter().fold(0, |byte, bit| byte << 1 | u8::from(*bit))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn identity(mode: AddressMode) -> Identity {
        let text = r#"{"name":"Rowan","localPart":"rowan","domain":"example.com"}"#;
        Identity { instance_address_mode: mode, ..serde_json::from_str(text).unwrap() }
    }

    #[test]
    fn is_written_as_it_is_read() {
        let name = InstanceName::normalise("trial4");
        for (mode, name, expected) in [
            (AddressMode::Plus, name.as_ref(), "rowan+trial4.r-abc@example.com"),
            (AddressMode::LocalPart, name.as_ref(), "trial4+r-abc@example.com"),
            (AddressMode::Plus, None, "rowan+r-abc@example.com"),
        ] {
            let address = write(&identity(mode), name, "r-abc").unwrap().to_string();
            assert_eq!(address, expected);
            assert_eq!(read(&address.to_uppercase()), Some(Detail::Thread("abc".into())));
        }
        assert_eq!(read("rowan+trial4.b-xyz@example.com"), Some(Detail::Bounce("xyz".into())));
        assert_eq!(read("trial4@example.com"), None);
        let long = InstanceName::normalise(&"n".repeat(60));
        assert_eq!(write(&identity(AddressMode::Plus), long.as_ref(), "r-abcdefghijklmnopqrstu"), None);
    }

    #[test]
    fn only_our_own_tokens_count() {
        let token = token(b"key", 77).unwrap();
        assert_eq!(token.len(), 21);
        assert_eq!(verify(b"key", &token.to_uppercase()), Some(77));
        assert_eq!(verify(b"other", &token), None);
        assert_eq!(super::token(b"key", 1 << 40), None);
        let changed = token.replace(token.chars().next_back().unwrap(), "a");
        assert!(changed == token || verify(b"key", &changed).is_none());
        assert_eq!(bounce_key().len(), 20);
    }

    proptest! {
        #[test]
        fn any_bytes_come_back(bytes in prop::collection::vec(any::<u8>(), 0..20), junk in "\\PC{0,40}") {
            prop_assert_eq!(unbase32(&base32(&bytes)), Some(bytes));
            let _ = (read(&junk), verify(b"key", &junk));
        }
    }
}
