//! Which host name a new guest gets.

use remotelab_config::InstanceName;

use super::tunnel::Ingress;

/// What the operator said about the host name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// The whole name, as it is.
    pub hostname: Option<String>,
    /// The first label instead of the guest's name.
    pub subdomain: Option<String>,
    /// The domain below which it goes.
    pub domain: Option<String>,
    /// None at all.
    pub local_only: bool,
    /// Take it also when it leads elsewhere now.
    pub overwrite_dns: bool,
    /// Leave it to [`Guests::reconnect`](super::Guests::reconnect) to put it into force, for more follow.
    pub more_follow: bool,
}

/// Why there is no host name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No label, a bad character, too long, or no dot.
    #[error("{0:?} is not a host name")]
    Invalid(String),
    /// A subdomain without a domain to put it under.
    #[error("there is no domain to put {0:?} under")]
    NoDomain(String),
}

/// What was decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// This name.
    Public(String),
    /// None: reached locally and by prefix.
    Local,
    /// None, for the domain below this host name of the owner's might belong to everybody.
    Unsure(String),
}

/// Chooses a host name; without any wish, domain or tunnel there is none.
///
/// # Errors
/// [`Error`] when a wish cannot be fulfilled.
pub fn choose(
    wish: &Wish,
    name: &InstanceName,
    public_domain: Option<&str>,
    owner_hostname: Option<&str>,
) -> Result<Choice, Error> {
    if wish.local_only {
        return Ok(Choice::Local);
    }
    if let Some(hostname) = &wish.hostname {
        return valid(hostname.trim().trim_end_matches('.')).map(Choice::Public);
    }
    let label = match &wish.subdomain {
        Some(text) => InstanceName::normalise(text).ok_or_else(|| Error::Invalid(text.clone()))?,
        None => name.clone(),
    };
    let domain = wish.domain.as_deref().or(public_domain).map(clean).filter(|it| !it.is_empty());
    if let Some(domain) = domain {
        return valid(&format!("{label}.{domain}")).map(Choice::Public);
    }
    let derived = owner_hostname.map(clean).and_then(|hostname| {
        let (_, domain) = hostname.split_once('.')?;
        Some((hostname.clone(), domain.to_owned()))
    });
    match derived {
        Some((hostname, domain)) if is_public_suffix(&domain) => Ok(Choice::Unsure(hostname)),
        Some((_, domain)) => valid(&format!("{label}.{domain}")).map(Choice::Public),
        None if wish.subdomain.is_some() => Err(Error::NoDomain(label.to_string())),
        None => Ok(Choice::Local),
    }
}

/// Finds the owner's host name among the tunnel's rules: the first for its port whose name has
/// `remotelab` in it, else the first for its port.
#[must_use]
pub fn owner_hostname(rules: &[Ingress], owner_port: u16) -> Option<&str> {
    let mut owners =
        rules.iter().filter(|rule| rule.port == Some(owner_port)).map(|rule| rule.hostname.as_str());
    let first = owners.clone().next();
    owners.find(|hostname| hostname.contains("remotelab")).or(first)
}

fn clean(text: &str) -> String {
    text.trim().trim_matches('.').to_lowercase()
}

/// Tells whether a domain looks like one under which anybody can register: a single label, or a country
/// with its usual second level. Errs on the side of asking.
fn is_public_suffix(domain: &str) -> bool {
    match domain.rsplit_once('.') {
        None => true,
        Some((second, country)) => {
            country.len() == 2
                && matches!(
                    second,
                    "ac" | "co" | "com" | "edu" | "gov" | "gob" | "go" | "ne" | "net" | "or" | "org"
                )
        }
    }
}

/// Tells whether a text is a host name of more than one label.
#[must_use]
pub fn is_valid(text: &str) -> bool {
    valid(text).is_ok()
}

/// Checks the form (RFC 1123 §2.1).
fn valid(text: &str) -> Result<String, Error> {
    let hostname = text.to_lowercase();
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if hostname.len() <= 253 && hostname.contains('.') && hostname.split('.').all(is_label) {
        Ok(hostname)
    } else {
        Err(Error::Invalid(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn chosen(wish: &Wish, name: &str, domain: Option<&str>, owner: Option<&str>) -> Result<Choice, Error> {
        choose(wish, &InstanceName::normalise(name).unwrap(), domain, owner)
    }

    fn public(name: &str) -> Result<Choice, Error> {
        Ok(Choice::Public(name.to_owned()))
    }

    #[test]
    fn derives_the_documented_names() {
        let none = Wish::default();
        let owner = |hostname| chosen(&none, "trial4", None, Some(hostname));
        assert_eq!(owner("remotelab.example.com"), public("trial4.example.com"));
        assert_eq!(owner("example.com"), Ok(Choice::Unsure("example.com".into())));
        assert_eq!(owner("example.co.uk"), Ok(Choice::Unsure("example.co.uk".into())));
        assert_eq!(chosen(&none, "x", None, None), Ok(Choice::Local));
        assert_eq!(chosen(&none, "x", Some("b.org"), Some("r.a.com")), public("x.b.org"));
        let domain = Wish { domain: Some(".Ex.COM.".into()), ..Wish::default() };
        assert_eq!(chosen(&domain, "x", None, None), public("x.ex.com"));
        let subdomain = Wish { subdomain: Some("A b".into()), ..domain };
        assert_eq!(chosen(&subdomain, "x", None, None), public("a-b.ex.com"));
        let local = Wish { local_only: true, ..Wish::default() };
        assert_eq!(chosen(&local, "x", Some("b.org"), None), Ok(Choice::Local));
    }

    #[test]
    fn a_given_name_must_be_one() {
        let hostname = |text: &str| {
            let wish = Wish { hostname: Some(text.into()), ..Wish::default() };
            chosen(&wish, "x", None, None)
        };
        assert_eq!(hostname("Demo.Example.COM."), public("demo.example.com"));
        for wrong in ["", "localhost", "a..b", "-a.b", "a b.c", "a/b.c", "http://a.b"] {
            assert!(hostname(wrong).is_err(), "{wrong}");
        }
        let wish = Wish { subdomain: Some("a".into()), ..Wish::default() };
        assert_eq!(chosen(&wish, "x", None, None), Err(Error::NoDomain("a".into())));
    }

    #[test]
    fn the_owner_is_the_rule_that_says_remotelab() {
        let rule = |hostname: &str, port| Ingress { hostname: hostname.into(), port: Some(port) };
        let rules = [rule("x.io", 80), rule("a.one.io", 7690), rule("remotelab.two.io", 7690)];
        assert_eq!(owner_hostname(&rules, 7690), Some("remotelab.two.io"));
        assert_eq!(owner_hostname(&rules[..2], 7690), Some("a.one.io"));
        assert_eq!(owner_hostname(&rules, 1), None);
    }

    proptest! {
        #[test]
        fn never_yields_a_bad_name(text in ".{0,300}") {
            let wish = Wish { hostname: Some(text), ..Wish::default() };
            if let Ok(Choice::Public(hostname)) = chosen(&wish, "x", None, None) {
                prop_assert!(valid(&hostname).is_ok());
            }
        }
    }
}
