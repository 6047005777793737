//! Secrets that print nothing and compare in constant time.

use std::fmt;

use subtle::ConstantTimeEq;

/// A 32-byte secret written as 64 lower-case hex digits: owner tokens, login cookies, shared keys.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Secret([u8; 32]);

/// The text is not 64 hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("secret is not 64 hex digits")]
pub struct Malformed;

impl Secret {
    /// Draws a new secret from the operating system's generator.
    #[must_use]
    pub fn random() -> Self {
        Self(rand::random())
    }

    /// Reads 64 hex digits, upper or lower case, and nothing else.
    ///
    /// # Errors
    /// [`Malformed`] for any other text: an empty or damaged stored secret must never match anything.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| Malformed)?;
        Ok(Self(bytes))
    }

    /// Compares with text from outside, in time that depends on neither.
    #[must_use]
    pub fn matches(&self, presented: &str) -> bool {
        Self::parse(presented).is_ok_and(|other| self.0.ct_eq(&other.0).into())
    }

    /// Writes the secret out; the caller answers for where it goes.
    #[must_use]
    pub fn reveal(&self) -> String {
        hex::encode(self.0)
    }

    /// Returns the raw bytes, for use as a key.
    #[must_use]
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sixty_four_hex_digits_are_a_secret() {
        let text = "0123456789abcdef".repeat(4);
        assert!(Secret::parse(&text).unwrap().matches(&text.to_uppercase()));
        for wrong in ["", "zz", &text[1..], &format!("{text}0"), &format!("{}g", &text[1..])] {
            assert_eq!(Secret::parse(wrong), Err(Malformed));
            assert!(!Secret::parse(&text).unwrap().matches(wrong));
        }
        assert_eq!(format!("{:?}", Secret::random()), "Secret(…)");
    }
}
