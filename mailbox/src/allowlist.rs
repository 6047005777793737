//! `allowlist.json`: whose mail an instance takes work from.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::address::Address;

/// Senders that may give work: single addresses and whole domains, exact, without subdomains.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Allowlist {
    /// Addresses in lower case, sorted.
    pub allowed_emails: Vec<String>,
    /// Domains in lower case, sorted.
    pub allowed_domains: Vec<String>,
    /// When the list was last changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<String>,
    /// Everything else that stands in the file.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// What kind of entry let a sender in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Rule {
    Email,
    Domain,
}

/// The text is neither an address nor a domain.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is neither an e-mail address nor a domain")]
pub struct BadEntry(pub String);

impl Allowlist {
    /// Adds an address (`a@b`) or a domain (`b`), once.
    ///
    /// # Errors
    /// [`BadEntry`] when it is neither.
    pub fn add(&mut self, entry: &str) -> Result<(), BadEntry> {
        let bad = || BadEntry(entry.to_owned());
        let entry = entry.trim().to_lowercase();
        let list = if entry.contains('@') && !entry.starts_with('@') {
            Address::parse(&entry).map_err(|_| bad())?;
            &mut self.allowed_emails
        } else {
            let domain = entry.trim_start_matches('@');
            Address::parse(&format!("x@{domain}")).map_err(|_| bad())?;
            &mut self.allowed_domains
        };
        list.push(entry.trim_start_matches('@').to_owned());
        list.sort();
        list.dedup();
        Ok(())
    }

    /// Returns the kind of entry that names this sender.
    pub(crate) fn find(&self, sender: &Address) -> Option<Rule> {
        let has = |list: &[String], text: &str| list.iter().any(|entry| entry.eq_ignore_ascii_case(text));
        if has(&self.allowed_emails, sender.key()) {
            return Some(Rule::Email);
        }
        has(&self.allowed_domains, sender.domain()).then_some(Rule::Domain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_whole_addresses_and_exact_domains() {
        let mut list = Allowlist::default();
        for entry in ["Owner@Example.com", "@partner.test", "owner@example.com"] {
            list.add(entry).unwrap();
        }
        assert_eq!(list.allowed_emails, ["owner@example.com"]);
        assert_eq!(list.allowed_domains, ["partner.test"]);
        let find = |text: &str| list.find(&Address::parse(text).unwrap());
        assert_eq!(find("OWNER@example.com"), Some(Rule::Email));
        assert_eq!(find("anyone@partner.test"), Some(Rule::Domain));
        assert_eq!(find("anyone@sub.partner.test"), None);
        assert_eq!(find("other@example.com"), None);
        for bad in ["", "a@", "two words", "a@b@"] {
            assert!(list.add(bad).is_err(), "{bad}");
        }
    }
}
