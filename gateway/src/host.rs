//! The `Host` of a request, checked and brought to one spelling.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv6Addr};

/// A valid authority without user information.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host<'a> {
    /// Lower case, without port and trailing dot; IPv6 addresses keep their brackets.
    pub name: Cow<'a, str>,
    /// The port, where one was given.
    pub port: Option<u16>,
}

impl<'a> Host<'a> {
    /// Reads `name`, `name:port`, `[v6]` or `[v6]:port`; anything else is `None`.
    #[must_use]
    pub fn parse(text: &'a str) -> Option<Self> {
        let name_end =
            if text.starts_with('[') { text.find(']')? + 1 } else { text.find(':').unwrap_or(text.len()) };
        let (name, rest) = text.split_at(name_end);
        let port = match rest.strip_prefix(':') {
            None if rest.is_empty() => None,
            Some("") => None,
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => Some(digits.parse().ok()?),
            _ => return None,
        };
        if let Some(address) = name.strip_prefix('[').and_then(|v6| v6.strip_suffix(']')) {
            address.parse::<Ipv6Addr>().ok()?;
        } else if !is_domain(name) {
            return None;
        }
        let name = name.strip_suffix('.').unwrap_or(name);
        let name = if name.bytes().any(|b| b.is_ascii_uppercase()) {
            Cow::Owned(name.to_ascii_lowercase())
        } else {
            Cow::Borrowed(name)
        };
        Some(Self { name, port })
    }

    /// Tells whether this names the machine rather than a service: an address or `localhost`.
    #[must_use]
    pub fn is_machine(&self) -> bool {
        self.name.starts_with('[') || self.name == "localhost" || self.name.parse::<IpAddr>().is_ok()
    }

    /// Tells whether this names the machine that asks.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        let ip = self.name.trim_matches(['[', ']']).parse();
        self.name == "localhost" || ip.is_ok_and(|ip: IpAddr| ip.is_loopback())
    }

    /// Tells whether two authorities are one, where a missing port is either default one.
    #[must_use]
    pub fn same_as(&self, other: &Host<'_>) -> bool {
        let port = |host: &Host<'_>| host.port.filter(|port| !matches!(port, 80 | 443));
        self.name == other.name && port(self) == port(other)
    }
}

fn is_domain(name: &str) -> bool {
    let labels = name.strip_suffix('.').unwrap_or(name);
    labels.len() <= 253
        && labels.split('.').all(|label| {
            !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn name(text: &str) -> Option<(String, Option<u16>)> {
        Host::parse(text).map(|host| (host.name.into_owned(), host.port))
    }

    #[test]
    fn one_spelling_for_one_host() {
        let some = |name: &str, port| Some((name.to_owned(), port));
        assert_eq!(name("trial4.example.com"), some("trial4.example.com", None));
        assert_eq!(name("TRIAL4.example.com."), some("trial4.example.com", None));
        assert_eq!(name("a_b.example:8080"), some("a_b.example", Some(8080)));
        assert_eq!(name("example.com:"), some("example.com", None));
        assert_eq!(name("[::1]:7699"), some("[::1]", Some(7699)));
        for wrong in ["", ".", "a..b", "a b", "a/b", "u@a", "[::1", "[x]", "a:b", "a:70000", "::1", "a:1:2"] {
            assert_eq!(name(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn machines_are_addresses_and_localhost() {
        for (text, machine) in
            [("127.0.0.1:1", true), ("[::1]", true), ("localhost", true), ("localhost.example", false)]
        {
            assert_eq!(Host::parse(text).unwrap().is_machine(), machine, "{text}");
        }
    }

    proptest! {
        #[test]
        fn parsing_is_idempotent(text in "\\PC{0,40}") {
            if let Some(host) = Host::parse(&text) {
                let again = Host::parse(&host.name).unwrap();
                prop_assert_eq!(&again.name, &host.name);
            }
        }
    }
}
