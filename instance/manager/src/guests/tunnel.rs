//! The rules of the owner's Cloudflare tunnel, as far as new guests must know them.

use std::path::Path;

use remotelab_config::atomic;

/// One rule of `~/.cloudflared/config.yml`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ingress {
    /// The host name, perhaps with a leading `*.`.
    pub hostname: String,
    /// The port of the service behind it, when that is HTTP.
    pub port: Option<u16>,
}

impl Ingress {
    /// Tells whether the rule matches a host name.
    #[must_use]
    pub fn covers(&self, hostname: &str) -> bool {
        match self.hostname.strip_prefix('*') {
            Some(domain) => hostname.ends_with(domain) && hostname.len() > domain.len(),
            None => self.hostname == hostname,
        }
    }
}

/// Reads the rules; without a tunnel there are none.
pub(super) fn load(home: &Path) -> Result<Vec<Ingress>, atomic::Error> {
    let bytes = atomic::read(&home.join(".cloudflared/config.yml"))?;
    Ok(bytes.map(|bytes| parse(&String::from_utf8_lossy(&bytes))).unwrap_or_default())
}

/// Finds the rules in the file's text. Rules are a list below `ingress:`, one mapping each.
fn parse(text: &str) -> Vec<Ingress> {
    let mut rules = Vec::new();
    let mut rule: Option<Ingress> = None;
    for line in text.lines().skip_while(|line| scalar(line).trim_end() != "ingress:").skip(1) {
        let entry = line.trim_start();
        let is_top_level = entry.len() == line.len() && !entry.starts_with('-');
        if entry.is_empty() || entry.starts_with('#') {
            continue;
        }
        if is_top_level {
            break;
        }
        let entry = match entry.strip_prefix("- ") {
            Some(first) => {
                rules.extend(rule.replace(Ingress::default()));
                first.trim_start()
            }
            None => entry,
        };
        if let (Some(rule), Some((key, value))) = (&mut rule, entry.split_once(':')) {
            match key.trim() {
                "hostname" => rule.hostname = scalar(value).to_lowercase(),
                "service" => rule.port = http_port(scalar(value)),
                _ => {}
            }
        }
    }
    rules.extend(rule);
    rules.retain(|rule| !rule.hostname.is_empty() || rule.port.is_some());
    rules
}

/// A plain or quoted value without its comment.
fn scalar(text: &str) -> &str {
    let text = text.trim();
    for quote in ['"', '\''] {
        if let Some(rest) = text.strip_prefix(quote) {
            return rest.split(quote).next().unwrap_or_default();
        }
    }
    text.split(" #").next().unwrap_or_default().trim_end()
}

pub(crate) fn http_port(service: &str) -> Option<u16> {
    let (rest, default) = match service.split_once("://")? {
        ("http", rest) => (rest, 80),
        ("https", rest) => (rest, 443),
        _ => return None,
    };
    let authority = rest.split('/').next()?;
    match authority.rsplit_once(':') {
        Some((_, port)) => port.parse().ok(),
        None => Some(default),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_the_rules_of_a_usual_file() {
        let text = "tunnel: abc\ncredentials-file: /x.json\n\ningress:\n  # the owner\n  \
            - hostname: \"RemoteLab.example.com\"  # quoted\n    service: http://127.0.0.1:7690\n  \
            - service: http://localhost:7696/path\n    hostname: trial1.example.com\n  \
            - hostname: '*.example.com'\n    path: /a\n    service: http://127.0.0.1:7705\n  \
            - hostname: ssh.example.com\n    service: ssh://localhost:22\n  \
            - service: http_status:404\nlogLevel: info\n  - hostname: not.a.rule\n";
        let rule = |hostname: &str, port| Ingress { hostname: hostname.into(), port };
        assert_eq!(
            parse(text),
            [
                rule("remotelab.example.com", Some(7690)),
                rule("trial1.example.com", Some(7696)),
                rule("*.example.com", Some(7705)),
                rule("ssh.example.com", None),
            ]
        );
        assert_eq!(parse("tunnel: abc"), []);
        assert_eq!(http_port("https://x"), Some(443));
    }

    #[test]
    fn a_wildcard_covers_what_is_below_it() {
        let rule = Ingress { hostname: "*.example.com".into(), port: None };
        assert!(rule.covers("a.example.com"));
        assert!(!rule.covers("example.com") && !rule.covers("aexample.com"));
    }

    proptest! {
        #[test]
        fn reads_anything(text in "(ingress:\n)?(.{0,40}\n){0,6}") {
            parse(&text);
        }
    }
}
