//! Identifiers: a fixed prefix and a fixed number of lower-case hex digits. A parsed id is safe to use
//! as a file name.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

/// The text is not an identifier of the expected kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a valid {0} id")]
pub struct Malformed(pub &'static str);

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $prefix:literal, $bytes:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Draws a new random identifier.
            #[must_use]
            pub fn random() -> Self {
                let bytes: [u8; $bytes] = rand::random();
                Self(format!("{}{}", $prefix, hex::encode(bytes)))
            }

            /// Reads an identifier.
            ///
            /// # Errors
            /// [`Malformed`] unless the text is exactly the prefix and the right number of hex digits.
            pub fn parse(text: &str) -> Result<Self, Malformed> {
                let digits = text.strip_prefix($prefix).ok_or(Malformed($what))?;
                let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
                if digits.len() == $bytes * 2 && digits.bytes().all(hex) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(Malformed($what))
                }
            }

            /// Returns the identifier as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                Self::parse(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}

id!(
    /// Names a session: 32 hex digits.
    SessionId, "session", "", 16
);
id!(
    /// Names a run: `run_` and 24 hex digits.
    RunId, "run", "run_", 12
);
id!(
    /// Names a file asset: `fasset_` and 24 hex digits.
    AssetId, "asset", "fasset_", 12
);

/// Draws a unique event id, `evt_` and 16 hex digits.
#[must_use]
pub fn event_id() -> String {
    format!("evt_{}", hex::encode(rand::random::<[u8; 8]>()))
}

/// Mints a request id of the documented form `<prefix>_<base-36 milliseconds>_<12 hex>`.
#[must_use]
pub fn request_id(prefix: &str, unix_ms: i64) -> String {
    let random = hex::encode(rand::random::<[u8; 6]>());
    format!("{prefix}_{}_{random}", base36(unix_ms.unsigned_abs()))
}

fn base36(mut number: u64) -> String {
    let mut digits = Vec::new();
    loop {
        let digit = u8::try_from(number % 36).expect("a remainder of 36 fits a byte");
        digits.push(if digit < 10 { b'0' + digit } else { b'a' + digit - 10 });
        number /= 36;
        if number == 0 {
            break;
        }
    }
    digits.iter().rev().map(|&byte| char::from(byte)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exact_form_parses() {
        let id = SessionId::random();
        assert_eq!(SessionId::parse(id.as_str()), Ok(id));
        let run = RunId::random();
        assert_eq!(RunId::parse(run.as_str()), Ok(run));
        for wrong in ["", "..", "run_", "run_0123456789abcdef0123456G", "0123", "run_../../../../../../../.."]
        {
            assert!(RunId::parse(wrong).is_err());
            assert!(SessionId::parse(wrong).is_err());
        }
    }

    #[test]
    fn request_ids_carry_their_time_in_base_36() {
        let id = request_id("compat", 1_795_332_401_768);
        let parts: Vec<_> = id.split('_').collect();
        assert_eq!(u64::from_str_radix(parts[1], 36), Ok(1_795_332_401_768));
        assert_eq!((parts[0], parts[2].len()), ("compat", 12));
    }
}
