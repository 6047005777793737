//! Ids by which a request is found again: ULIDs.

use http::HeaderValue;

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const LEN: usize = 26;

/// Makes the ULID of a time in Unix milliseconds and 80 random bits.
#[must_use]
pub fn ulid(unix_ms: u64, random: u128) -> HeaderValue {
    let mut value = (u128::from(unix_ms) << 80) | (random & ((1 << 80) - 1));
    let mut text = [0; LEN];
    for digit in text.iter_mut().rev() {
        // Five bits always index the alphabet.
        *digit = ALPHABET[(value & 31) as usize];
        value >>= 5;
    }
    HeaderValue::from_bytes(&text).expect("digits and capitals are a header value")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values() {
        assert_eq!(ulid(0, 0), "00000000000000000000000000");
        assert_eq!(ulid(1_469_918_176_385, 0), "01ARYZ6S410000000000000000");
        assert_eq!(ulid((1 << 48) - 1, u128::MAX), "7ZZZZZZZZZZZZZZZZZZZZZZZZZ");
    }
}
