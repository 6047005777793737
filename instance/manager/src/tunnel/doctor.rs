//! What does not fit together: rules of the tunnel, guests, names, and the tunnel's client.

use std::collections::BTreeSet;

use remotelab_config::registry::Record;
use remotelab_config::{Env, OwnerPaths};
use serde::Serialize;

use super::{Dns, Document, Settings, told};
use crate::guests::http_port;

/// Something that does not fit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What.
    pub problem: String,
    /// What helps.
    pub fix: String,
}

/// Examines the tunnel for these guests; `door` is the port of the front door. Without a tunnel there is nothing to
/// find.
#[must_use]
pub fn examine(paths: &OwnerPaths, env: &Env, guests: &[Record], door: u16) -> Vec<Finding> {
    let Some(settings) = Settings::find(paths, env) else {
        return Vec::new();
    };
    let document = match settings.read() {
        Ok(document) => document,
        Err(error) => return vec![finding(told(&error), &format!("edit {}", settings.path().display()))],
    };
    let mut findings = compare(&document, guests, door);
    if let Err(reason) = document.validate() {
        findings.insert(0, finding(reason, &format!("edit {}", settings.path().display())));
    }
    if settings.is_stale() {
        let problem = "the tunnel's client has not read what was changed".to_owned();
        findings.push(finding(problem, "remotelab tunnel reconnect"));
    }
    findings.extend(names(paths, env, guests));
    findings
}

/// Compares rules with guests.
fn compare(document: &Document, guests: &[Record], door: u16) -> Vec<Finding> {
    let mut findings = Vec::new();
    let ready = guests.iter().filter(|guest| guest.state.is_ready() && !guest.hostname.is_empty());
    for guest in ready {
        let own = format!("http://127.0.0.1:{}", guest.port);
        let rule =
            document.rules().iter().find(|rule| !rule.hostname.is_empty() && rule.covers(&guest.hostname));
        match rule {
            None => findings.push(finding(
                format!("nothing leads {} to {}", guest.hostname, guest.name),
                &format!("remotelab tunnel lead {} {own}", guest.hostname),
            )),
            Some(rule) => {
                let right = http_port(&rule.service);
                if right != Some(guest.port) && right != Some(door) {
                    findings.push(finding(
                        format!("{} leads to {}, and not to {}", guest.hostname, rule.service, guest.name),
                        &format!("remotelab tunnel lead {} {own}", guest.hostname),
                    ));
                }
            }
        }
    }
    let mut seen = BTreeSet::new();
    for rule in document.rules().iter().filter(|rule| !rule.hostname.is_empty()) {
        if !seen.insert((&rule.hostname, &rule.path)) {
            findings.push(finding(
                format!("there are several rules for {}, of which the first counts", rule.hostname),
                &format!("remotelab tunnel remove {}", rule.hostname),
            ));
        }
    }
    findings
}

/// Compares names with guests, where Cloudflare can be asked.
fn names(paths: &OwnerPaths, env: &Env, guests: &[Record]) -> Vec<Finding> {
    let Some(dns) = Dns::find(paths, env) else {
        return Vec::new();
    };
    let mut findings = Vec::new();
    for guest in guests.iter().filter(|guest| guest.state.is_ready() && !guest.hostname.is_empty()) {
        let hostname = &guest.hostname;
        let wildcard = hostname.split_once('.').map(|(_, domain)| format!("*.{domain}"));
        let outcome = dns.leads_here(hostname).and_then(|leads| match (leads, wildcard) {
            (Some(false), Some(wildcard)) => dns.leads_here(&wildcard),
            (leads, _) => Ok(leads),
        });
        match outcome {
            Ok(Some(false)) => findings.push(finding(
                format!("the name {hostname} does not lead to the tunnel"),
                &format!("remotelab tunnel point {hostname}"),
            )),
            Ok(_) => {}
            // What is wrong with one is wrong with all.
            Err(error) => return vec![finding(told(&error), "look at the credentials for Cloudflare")],
        }
    }
    findings
}

fn finding(problem: String, fix: &str) -> Finding {
    Finding { problem, fix: fix.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_does_not_fit_is_told_with_what_helps() {
        let guest = |name: &str, port: u16| -> Record {
            let hostname = format!("{name}.example.com");
            serde_json::from_value(json!({"name": name, "port": port, "hostname": hostname})).unwrap()
        };
        let document = Document::parse(
            "ingress:\n- hostname: a.example.com\n  service: http://127.0.0.1:1\n\
             - hostname: b.example.com\n  service: http://127.0.0.1:7699\n\
             - hostname: b.example.com\n  service: http://127.0.0.1:7\n- service: http_status:404\n",
        );
        let findings = compare(&document.unwrap(), &[guest("a", 2), guest("b", 3), guest("c", 4)], 7699);
        let expected = [
            (
                "a.example.com leads to http://127.0.0.1:1, and not to a",
                "remotelab tunnel lead a.example.com http://127.0.0.1:2",
            ),
            ("nothing leads c.example.com to c", "remotelab tunnel lead c.example.com http://127.0.0.1:4"),
            (
                "there are several rules for b.example.com, of which the first counts",
                "remotelab tunnel remove b.example.com",
            ),
        ];
        assert_eq!(findings, expected.map(|(problem, fix)| finding(problem.to_owned(), fix)));
    }
}
