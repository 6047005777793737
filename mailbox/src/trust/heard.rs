//! What another mail server says it found (RFC 8601), and whether it is he who says it.
//!
//! Anybody can write such a field into a mail. One counts when no other field claims the same name and
//! when it stands where only the server itself can have put it.

use crate::scan::Field;
use crate::settings::Seal;

/// SPF as a server saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Heard {
    /// The name of the server.
    pub(super) authserv: String,
    /// `pass`, `fail`, `softfail` and so on.
    pub(super) spf: String,
    /// The domain it was about.
    pub(super) domain: String,
}

/// Finds the sealed results of an edge: the field of the set with the highest number, which is `count`,
/// above the first trace of anybody else. That the seal holds is for the caller to see.
pub(super) fn sealed(fields: &[Field], edge: &Seal, count: usize) -> Option<Heard> {
    let (at, field) = only_claim(fields, &edge.authserv)?;
    if !field.name.eq_ignore_ascii_case("ARC-Authentication-Results") {
        return None;
    }
    let mut parts = field.value.splitn(2, ';');
    let instance = parts.next()?.trim().strip_prefix("i=")?.trim().parse::<usize>().ok()?;
    let foreign = fields.iter().position(|field| {
        field.name.eq_ignore_ascii_case("Received")
            && !edge.domains.iter().any(|own| is_by(&field.value, own))
    });
    (instance == count && foreign.is_none_or(|foreign| at < foreign)).then(|| results(parts.next()?))?
}

/// Finds the results of the mail server of this machine: above every trace of the path.
pub(super) fn relayed(fields: &[Field], authserv: &str) -> Option<Heard> {
    let (at, field) = only_claim(fields, authserv)?;
    let first = fields.iter().position(|field| field.name.eq_ignore_ascii_case("Received"));
    let is_plain = field.name.eq_ignore_ascii_case("Authentication-Results");
    (is_plain && first.is_none_or(|first| at < first)).then(|| results(&field.value))?
}

/// The one field, of any kind, that claims to be of a server.
fn only_claim<'a>(fields: &'a [Field], authserv: &str) -> Option<(usize, &'a Field)> {
    let mut claims = fields.iter().enumerate().filter(|(_, field)| {
        let results = match field.name.to_ascii_lowercase().as_str() {
            "authentication-results" => Some(field.value.as_str()),
            "arc-authentication-results" => field.value.split_once(';').map(|(_, rest)| rest),
            _ => None,
        };
        results.is_some_and(|results| claimant(results).eq_ignore_ascii_case(authserv))
    });
    match (claims.next(), claims.next()) {
        (Some(claim), None) => Some(claim),
        _ => None,
    }
}

/// The name at the beginning of results.
fn claimant(results: &str) -> &str {
    results.trim_start().split([';', ' ', '\t', '(']).next().unwrap_or_default()
}

/// Reads SPF out of results. Two statements about it are none.
fn results(text: &str) -> Option<Heard> {
    let text = without_comments(text);
    let mut parts = text.split(';');
    let authserv = claimant(parts.next()?).to_owned();
    let mut statements = parts.filter_map(|part| {
        let mut words = part.split_whitespace();
        let spf = words.next()?.strip_prefix("spf=")?.to_lowercase();
        let from = words.find_map(|word| word.strip_prefix("smtp.mailfrom="))?;
        let from = from.trim_matches('"');
        let domain = from.rsplit_once('@').map_or(from, |(_, domain)| domain).to_lowercase();
        Some(Heard { authserv: authserv.clone(), spf, domain })
    });
    match (statements.next(), statements.next()) {
        (Some(heard), None) => Some(heard),
        _ => None,
    }
}

/// Leaves out what stands in parentheses, nested or not.
fn without_comments(text: &str) -> String {
    let mut depth = 0_u32;
    let mut kept = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '(' => depth = depth.saturating_add(1),
            ')' => depth = depth.saturating_sub(1),
            c if depth == 0 => kept.push(c),
            _ => {}
        }
    }
    kept
}

/// Tells whether a trace field was written by a host of a domain.
fn is_by(received: &str, domain: &str) -> bool {
    let text = without_comments(received).to_lowercase();
    let mut words = text.split([' ', '\t', ';']).skip_while(|word| *word != "by").skip(1);
    let host = words.find(|word| !word.is_empty()).unwrap_or_default();
    host == domain || host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan;
    use proptest::prelude::*;

    const EDGE: &str = "Received: from a.test (1.2.3.4) by cloudflare-email.net (x) id 1; now\r\n\
        ARC-Seal: i=1\r\n\
        ARC-Authentication-Results: i=1; mx.cloudflare.net; dkim=none; dmarc=pass header.from=a.test;\r\n\
        \x20spf=pass (mx.cloudflare.net: (nested) ok) smtp.mailfrom=x@a.test\r\n";
    const REST: &str = "Received: from b by a.test; then\r\nFrom: x@a.test\r\n";

    fn edge() -> Seal {
        crate::settings::Policy::default().seal().unwrap()
    }

    fn of_edge(header: &str, count: usize) -> Option<Heard> {
        sealed(&scan::fields(header.as_bytes()), &edge(), count)
    }

    #[test]
    fn hears_the_edge_alone_and_where_only_it_can_speak() {
        let heard =
            Heard { authserv: "mx.cloudflare.net".into(), spf: "pass".into(), domain: "a.test".into() };
        assert_eq!(of_edge(&format!("{EDGE}{REST}"), 1), Some(heard));
        assert_eq!(of_edge(&format!("{EDGE}{REST}"), 2), None, "an older set");
        assert_eq!(of_edge(&format!("{REST}{EDGE}"), 1), None, "below somebody else's trace");
        let forged = "Authentication-Results: mx.cloudflare.net; spf=pass smtp.mailfrom=a.test\r\n";
        assert_eq!(of_edge(&format!("{EDGE}{forged}{REST}"), 1), None, "two that claim the name");
        assert_eq!(of_edge(&format!("{forged}{REST}"), 0), None, "no seal");
        assert_eq!(of_edge(REST, 1), None);
    }

    #[test]
    fn hears_the_mail_server_of_this_machine_above_the_path() {
        let relayed = |header: &str| relayed(&scan::fields(header.as_bytes()), "mx.own.test");
        let own = "Authentication-Results: MX.own.test; spf=fail smtp.mailfrom=a.test\r\n";
        assert_eq!(relayed(&format!("{own}{REST}")).unwrap().spf, "fail");
        assert_eq!(relayed(&format!("{REST}{own}")), None);
        assert_eq!(relayed(&format!("{own}{own}{REST}")), None);
        assert_eq!(relayed("Authentication-Results: other.test; spf=pass smtp.mailfrom=a.test\r\n"), None);
    }

    proptest! {
        #[test]
        fn takes_any_header(text in "\\PC{0,200}", claim in "(mx.cloudflare.net|i=1|;|spf=pass|\\(|\\)| |smtp.mailfrom=a@b.c){0,20}") {
            for name in ["Authentication-Results", "ARC-Authentication-Results", "Received"] {
                let fields = scan::fields(format!("{name}: {claim}{text}\r\n").as_bytes());
                let _ = (sealed(&fields, &edge(), 1), relayed(&fields, "mx.cloudflare.net"));
            }
        }
    }
}
