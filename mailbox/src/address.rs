//! One mail address: `local@domain` of RFC 5321 §4.1.2, with the UTF-8 of RFC 6531.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The longest local part and domain, in octets (RFC 5321 §4.5.3.1).
const MAX_LOCAL: usize = 64;
const MAX_DOMAIN: usize = 255;

/// A parsed address. Two addresses that differ only in case are equal.
#[derive(Clone, Debug)]
pub struct Address {
    local: String,
    domain: String,
    key: String,
}

/// The text is not one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an e-mail address")]
pub struct Malformed;

impl Address {
    /// Reads one address, with or without angle brackets, and nothing else.
    ///
    /// # Errors
    /// [`Malformed`] for display names, lists, groups, address literals and control characters.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let text = text.trim();
        let text = match text.strip_prefix('<') {
            Some(rest) => rest.strip_suffix('>').ok_or(Malformed)?,
            None => text,
        };
        let (local, domain) = text.rsplit_once('@').ok_or(Malformed)?;
        // What is printed must read back, so the form that is printed is the one that is checked.
        let domain = domain.to_lowercase();
        if !is_local_part(local) || !is_domain(&domain) {
            return Err(Malformed);
        }
        let key = format!("{}@{domain}", local.to_lowercase());
        Ok(Self { local: local.to_owned(), domain, key })
    }

    /// Returns the part before the `@`, in lower case.
    pub(crate) fn local_key(&self) -> &str {
        &self.key[..self.key.len() - self.domain.len() - 1]
    }

    /// Returns the part after the `@`, in lower case.
    #[must_use]
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// Returns the whole address in lower case, for comparing and indexing.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }
}

fn is_local_part(local: &str) -> bool {
    if local.is_empty() || local.len() > MAX_LOCAL {
        return false;
    }
    match local.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(quoted) => is_quoted_string(quoted),
        None => local.split('.').all(|atom| !atom.is_empty() && atom.chars().all(is_atext)),
    }
}

fn is_quoted_string(inner: &str) -> bool {
    let mut escaped = false;
    for c in inner.chars() {
        if c.is_control() || (c == '"' && !escaped) {
            return false;
        }
        escaped = c == '\\' && !escaped;
    }
    !escaped
}

fn is_domain(domain: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c == '-' || c == '_' || c.is_alphanumeric() || is_mark(c))
    };
    domain.len() <= MAX_DOMAIN && domain.split('.').all(is_label)
}

/// Combining marks and joiners that words of many scripts need (the virama of हिन्दी).
fn is_mark(c: char) -> bool {
    !c.is_ascii() && !c.is_control() && !c.is_whitespace()
}

fn is_atext(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c);
    }
    !c.is_control() && !c.is_whitespace()
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.local, self.domain)
    }
}

impl PartialEq for Address {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Eq for Address {}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_addresses_and_nothing_around_them() {
        for good in [
            "owner@example.com",
            "<Rowan+Trial4@Example.COM>",
            "用户@例子.测试",
            "\"odd local\"@example.com",
            "a@localhost",
        ] {
            assert!(Address::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "owner",
            "@example.com",
            "a@",
            "a@b@",
            "a..b@example.com",
            "a b@example.com",
            "a@exa mple.com",
            "a@[127.0.0.1]",
            "a@-b.com",
            "a\r\nb@example.com",
            "\"a\"b\"@example.com",
            "\"owner@example.com\" <attacker@evil.test>",
            "<a@example.com",
            "a@example.com, b@example.com",
        ] {
            assert_eq!(Address::parse(bad), Err(Malformed), "{bad}");
        }
    }

    #[test]
    fn compares_without_case_and_prints_as_written() {
        let address = Address::parse("Rowan+Trial4@Example.COM").unwrap();
        assert_eq!(address, Address::parse("rowan+trial4@example.com").unwrap());
        assert_eq!(address.to_string(), "Rowan+Trial4@example.com");
        assert_eq!((address.local_key(), address.domain()), ("rowan+trial4", "example.com"));
    }

    proptest! {
        #[test]
        fn what_parses_survives_printing(text in ".{0,100}") {
            if let Ok(address) = Address::parse(&text) {
                prop_assert_eq!(&Address::parse(&address.to_string()).unwrap(), &address);
                prop_assert!(!address.to_string().chars().any(char::is_control));
                prop_assert_eq!(address.key(), format!("{}@{}", address.local_key(), address.domain()));
            }
        }
    }
}
