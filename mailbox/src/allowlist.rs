//! `allowlist.json`: whose mail an instance takes work from.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::address::Address;

/// Senders that may give work: single addresses and whole domains, exact, without subdomains; and
/// entries that say more.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Allowlist {
    /// Addresses in lower case, sorted.
    pub allowed_emails: Vec<String>,
    /// Domains in lower case, sorted.
    pub allowed_domains: Vec<String>,
    /// Entries with conditions.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub entries: Vec<Entry>,
    /// When the list was last changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<String>,
    /// Everything else that stands in the file.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// An entry with conditions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// An address, a domain, or `*.` and a domain for all that is below it.
    #[serde(rename = "match")]
    pub pattern: String,
    /// Whether the sender must be proved.
    #[serde(default)]
    pub auth: Strictness,
    /// The day it ends with, or a time; absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// Everything else that stands there.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// Whether an entry asks for a proof of the sender.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Strictness {
    /// Nothing becomes work by itself without one.
    #[default]
    Required,
    /// Mail without one is shown to a person, and so is all other mail of this entry.
    Relaxed,
}

/// What kind of entry let a sender in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Rule {
    Email,
    Domain,
    Subdomain,
}

/// The entry that names a sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Match {
    pub(crate) rule: Rule,
    pub(crate) auth: Strictness,
}

/// The text is neither an address nor a domain.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is neither an e-mail address nor a domain")]
pub struct BadEntry(pub String);

impl Allowlist {
    /// Adds an address (`a@b`), a domain (`b`) or what is below one (`*.b`), once.
    ///
    /// # Errors
    /// [`BadEntry`] when it is none of these.
    pub fn add(&mut self, entry: &str) -> Result<(), BadEntry> {
        let entry = normal(entry)?;
        if entry.starts_with("*.") {
            return self.put(&entry, Strictness::Required, None);
        }
        let list = if entry.contains('@') { &mut self.allowed_emails } else { &mut self.allowed_domains };
        list.push(entry);
        list.sort();
        list.dedup();
        Ok(())
    }

    /// Puts in an entry with conditions, in the place of any of the same name.
    ///
    /// # Errors
    /// [`BadEntry`], also when `until` is no time.
    pub fn put(&mut self, entry: &str, auth: Strictness, until: Option<&str>) -> Result<(), BadEntry> {
        let pattern = normal(entry)?;
        if let Some(until) = until.filter(|until| end(until).is_none()) {
            return Err(BadEntry(until.to_owned()));
        }
        self.remove(&pattern)?;
        self.entries.push(Entry { pattern, auth, until: until.map(str::to_owned), rest: Map::new() });
        self.entries.sort_by(|a, b| a.pattern.cmp(&b.pattern));
        Ok(())
    }

    /// Takes an entry out, of whatever kind. `false`: there was none.
    ///
    /// # Errors
    /// [`BadEntry`] when the text is no entry.
    pub fn remove(&mut self, entry: &str) -> Result<bool, BadEntry> {
        let entry = normal(entry)?;
        let count = |list: &Self| list.allowed_emails.len() + list.allowed_domains.len() + list.entries.len();
        let before = count(self);
        self.allowed_emails.retain(|email| *email != entry);
        self.allowed_domains.retain(|domain| *domain != entry);
        self.entries.retain(|one| one.pattern != entry);
        Ok(count(self) < before)
    }

    /// Returns the entry that names this sender at this time (Unix milliseconds): the closest one, and
    /// of two equally close ones the one that asks for a proof.
    pub(crate) fn find(&self, sender: &Address, now: i64) -> Option<Match> {
        let has = |list: &[String], text: &str| list.iter().any(|entry| entry.eq_ignore_ascii_case(text));
        let named = |rule, is_in: bool| is_in.then_some(Match { rule, auth: Strictness::Required });
        let plain = [
            named(Rule::Email, has(&self.allowed_emails, sender.key())),
            named(Rule::Domain, has(&self.allowed_domains, sender.domain())),
        ];
        let lasting = self.entries.iter().filter(|entry| !entry.is_over(now));
        let more = lasting.filter_map(|entry| Some(Match { rule: entry.names(sender)?, auth: entry.auth }));
        plain.into_iter().flatten().chain(more).min_by_key(|found| (found.rule as u8, found.auth as u8))
    }
}

impl Entry {
    fn names(&self, sender: &Address) -> Option<Rule> {
        let pattern = self.pattern.to_lowercase();
        if let Some(parent) = pattern.strip_prefix("*.") {
            let is_below = sender.domain().strip_suffix(parent).is_some_and(|rest| rest.ends_with('.'));
            return is_below.then_some(Rule::Subdomain);
        }
        match pattern.contains('@') {
            true => (pattern == sender.key()).then_some(Rule::Email),
            false => (pattern == sender.domain()).then_some(Rule::Domain),
        }
    }

    /// An end that cannot be read is one that has come.
    fn is_over(&self, now: i64) -> bool {
        self.until.as_deref().is_some_and(|until| end(until).is_none_or(|end| end <= now))
    }
}

impl Strictness {
    /// Reads `required` or `relaxed`; `None` for another word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "required" => Some(Self::Required),
            "relaxed" => Some(Self::Relaxed),
            _ => None,
        }
    }
}

/// Brings an entry into the form in which it is compared.
fn normal(entry: &str) -> Result<String, BadEntry> {
    let bad = || BadEntry(entry.to_owned());
    let text = entry.trim().to_lowercase();
    let text = text.strip_prefix('@').unwrap_or(&text);
    let address = match text.contains('@') {
        true => text.to_owned(),
        false => format!("x@{}", text.strip_prefix("*.").unwrap_or(text)),
    };
    Address::parse(&address).map_err(|_| bad())?;
    Ok(text.to_owned())
}

/// Reads a time, or a day as the end of it, in Unix milliseconds.
fn end(text: &str) -> Option<i64> {
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return Some(time.as_millisecond());
    }
    let day = text.parse::<jiff::civil::Date>().ok()?.tomorrow().ok()?;
    Some(day.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Address {
        Address::parse(text).unwrap()
    }

    fn found(rule: Rule, auth: Strictness) -> Option<Match> {
        Some(Match { rule, auth })
    }

    #[test]
    fn matches_whole_addresses_and_exact_domains() {
        let mut list = Allowlist::default();
        for entry in ["Owner@Example.com", "@partner.test", "owner@example.com", "*.sub.test"] {
            list.add(entry).unwrap();
        }
        assert_eq!(list.allowed_emails, ["owner@example.com"]);
        assert_eq!(list.allowed_domains, ["partner.test"]);
        let find = |text: &str| list.find(&address(text), 0).map(|found| found.rule);
        assert_eq!(find("OWNER@example.com"), Some(Rule::Email));
        assert_eq!(find("anyone@partner.test"), Some(Rule::Domain));
        assert_eq!(find("anyone@sub.partner.test"), None);
        assert_eq!(find("anyone@a.b.sub.test"), Some(Rule::Subdomain));
        assert_eq!(find("anyone@sub.test"), None);
        assert_eq!(find("anyone@xsub.test"), None);
        assert_eq!(find("other@example.com"), None);
        for bad in ["", "a@", "two words", "a@b@", "*.", "*"] {
            assert!(list.add(bad).is_err(), "{bad}");
        }
        assert!(list.remove("Partner.test").unwrap());
        assert!(!list.remove("partner.test").unwrap());
        assert_eq!(list.find(&address("anyone@partner.test"), 0), None);
    }

    #[test]
    fn the_closest_entry_counts_until_its_end() {
        let mut list = Allowlist::default();
        list.add("partner.test").unwrap();
        list.put("odd@partner.test", Strictness::Relaxed, Some("2026-03-10")).unwrap();
        let at = |text: &str| text.parse::<jiff::Timestamp>().unwrap().as_millisecond();
        let find = |list: &Allowlist, time: &str| list.find(&address("odd@partner.test"), at(time));
        assert_eq!(find(&list, "2026-03-10T23:59:59Z"), found(Rule::Email, Strictness::Relaxed));
        assert_eq!(find(&list, "2026-03-11T00:00:00Z"), found(Rule::Domain, Strictness::Required));
        assert!(list.put("a@b.test", Strictness::Required, Some("soon")).is_err());
        list.entries[0].until = Some("soon".to_owned());
        assert_eq!(find(&list, "2026-03-10T00:00:00Z"), found(Rule::Domain, Strictness::Required));
        list.put("partner.test", Strictness::Relaxed, None).unwrap();
        assert!(list.allowed_domains.is_empty(), "one entry of a name");
    }

    #[test]
    fn reads_and_keeps_what_older_files_hold() {
        let text = r#"{"allowedEmails":["a@b.c"],"allowedDomains":[],"future":1,"entries":[{"match":"x.test","scope":"all"}]}"#;
        let list: Allowlist = serde_json::from_str(text).unwrap();
        assert_eq!(list.find(&address("q@x.test"), 0), found(Rule::Domain, Strictness::Required));
        assert_eq!(serde_json::to_value(&list).unwrap()["entries"][0]["scope"], "all");
        assert_eq!(serde_json::to_value(&list).unwrap()["future"], 1);
    }
}
