//! Names of instances: normalisation, reserved words, trial numbering, natural order.

use std::cmp::Ordering;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

/// The longest name: one DNS label (RFC 1035 §2.3.4).
pub const MAX_LEN: usize = 63;

/// Names that the product's own paths, services and mail roles need.
pub const RESERVED: &[&str] = &[
    "abuse",
    "admin",
    "agent",
    "api",
    "app",
    "assets",
    "bounce",
    "chat",
    "claude",
    "connectors",
    "hostmaster",
    "hub",
    "index-html",
    "login",
    "logout",
    "m",
    "mailer-daemon",
    "noreply",
    "owner",
    "postmaster",
    "root",
    "security",
    "share",
    "share-asset",
    "share-payload",
    "static",
    "tunnel",
    "ui",
    "visitor",
    "webmaster",
    "ws",
];

/// Names that the supervisor's own children go by. A guest of an earlier version may have one; a new one
/// may not.
pub const SERVICES: &[&str] = &["gateway", "mail", "supervisor"];

/// The normalised name of a guest: `[a-z0-9-]`, at most 63 characters, no hyphen at either end.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct InstanceName(String);

/// Why a text is no name for a new guest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Nothing is left after normalisation.
    #[error("\"{0}\" holds no letter a–z or digit to make a name of")]
    Empty(String),
    /// Longer than one DNS label.
    #[error("the name {0} is longer than {MAX_LEN} characters")]
    TooLong(String),
    /// Needed by the product itself.
    #[error("the name {0} is reserved")]
    Reserved(String),
}

impl InstanceName {
    /// Normalises any text: lower case, every other run of characters one hyphen, none at the ends.
    #[must_use]
    pub fn normalise(text: &str) -> Option<Self> {
        let mut name = String::with_capacity(text.len());
        for c in text.trim().chars().flat_map(char::to_lowercase) {
            if c.is_ascii_lowercase() || c.is_ascii_digit() {
                name.push(c);
            } else if !name.is_empty() && !name.ends_with('-') {
                name.push('-');
            }
        }
        name.truncate(name.trim_end_matches('-').len());
        (!name.is_empty()).then_some(Self(name))
    }

    /// Normalises a name that somebody wants for a new guest.
    ///
    /// # Errors
    /// [`Error`] when the name is empty, too long or reserved.
    pub fn for_new_guest(text: &str) -> Result<Self, Error> {
        let name = Self::normalise(text).ok_or_else(|| Error::Empty(text.to_owned()))?;
        if name.0.len() > MAX_LEN {
            return Err(Error::TooLong(name.0));
        }
        if RESERVED.contains(&name.0.as_str()) || SERVICES.contains(&name.0.as_str()) {
            return Err(Error::Reserved(name.0));
        }
        Ok(name)
    }

    /// Returns the next trial name: one above the highest slot that is taken, gaps stay gaps.
    pub fn next_trial<'a>(taken: impl IntoIterator<Item = &'a Self>) -> Self {
        let highest = taken.into_iter().filter_map(Self::trial_slot).max().unwrap_or(0);
        Self(format!("trial{}", highest.saturating_add(1)))
    }

    /// Returns `N` of `trialN`; plain `trial` holds slot 1.
    #[must_use]
    pub fn trial_slot(&self) -> Option<u64> {
        match self.0.strip_prefix("trial")? {
            "" => Some(1),
            digits if digits.bytes().all(|b| b.is_ascii_digit()) => digits.parse().ok(),
            _ => None,
        }
    }

    /// Returns the name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Compares with digit runs taken as numbers, so that `trial2` stands before `trial10`.
#[must_use]
pub fn natural_cmp(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (a, b);
    loop {
        let (l_digits, r_digits) = (digit_run(left), digit_run(right));
        if l_digits > 0 && r_digits > 0 {
            let (l, r) =
                (left[..l_digits].trim_start_matches('0'), right[..r_digits].trim_start_matches('0'));
            let order = l.len().cmp(&r.len()).then_with(|| l.cmp(r));
            if order != Ordering::Equal {
                return order;
            }
            (left, right) = (&left[l_digits..], &right[r_digits..]);
            continue;
        }
        let (mut l, mut r) = (left.chars(), right.chars());
        match (l.next(), r.next()) {
            (None, None) => return a.cmp(b),
            (x, y) if x == y => (left, right) = (l.as_str(), r.as_str()),
            (x, y) => return x.cmp(&y),
        }
    }
}

fn digit_run(text: &str) -> usize {
    text.bytes().take_while(u8::is_ascii_digit).count()
}

impl Ord for InstanceName {
    fn cmp(&self, other: &Self) -> Ordering {
        natural_cmp(&self.0, &other.0)
    }
}

impl PartialOrd for InstanceName {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for InstanceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl<'de> Deserialize<'de> for InstanceName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::normalise(&text).ok_or_else(|| serde::de::Error::custom("empty instance name"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn name(text: &str) -> InstanceName {
        InstanceName::normalise(text).unwrap()
    }

    #[test]
    fn normalises_the_documented_vectors() {
        let cases = [
            (" Trial 4 ", Some("trial-4")),
            ("a_b", Some("a-b")),
            ("--a--b", Some("a-b")),
            ("Ünï", Some("n")),
            ("..", None),
            ("-", None),
            ("智能", None),
        ];
        for (input, expected) in cases {
            assert_eq!(InstanceName::normalise(input).as_ref().map(InstanceName::as_str), expected);
        }
    }

    #[test]
    fn refuses_names_the_product_needs_or_dns_cannot_hold() {
        assert_eq!(InstanceName::for_new_guest("Owner"), Err(Error::Reserved("owner".into())));
        assert_eq!(InstanceName::for_new_guest("A".repeat(80).as_str()), Err(Error::TooLong("a".repeat(80))));
        assert_eq!(InstanceName::for_new_guest("…"), Err(Error::Empty("…".into())));
        assert!(InstanceName::for_new_guest("trial4").is_ok());
    }

    #[test]
    fn numbers_trials_above_the_highest_slot() {
        let cases: [(&[&str], &str); 6] = [
            (&[], "trial1"),
            (&["trial"], "trial2"),
            (&["trial1", "trial2"], "trial3"),
            (&["trial2", "demo"], "trial3"),
            (&["demo", "trial4"], "trial5"),
            (&["trial9", "trialx"], "trial10"),
        ];
        for (taken, expected) in cases {
            let taken: Vec<_> = taken.iter().map(|text| name(text)).collect();
            assert_eq!(InstanceName::next_trial(&taken).as_str(), expected);
        }
    }

    #[test]
    fn orders_numbers_as_numbers() {
        let mut names = ["trial10", "demo", "trial2", "trial1"].map(name);
        names.sort();
        assert_eq!(names.map(|n| n.0), ["demo", "trial1", "trial2", "trial10"]);
    }

    proptest! {
        #[test]
        fn normalising_twice_changes_nothing(text in ".{0,80}") {
            if let Some(once) = InstanceName::normalise(&text) {
                prop_assert_eq!(InstanceName::normalise(once.as_str()), Some(once.clone()));
                prop_assert!(once.0.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'));
            }
        }
    }
}
