//! How host names of guests come to lead to them: which steps of an operation that takes.

use super::Guests;
use crate::operation::Step;
use crate::outside::Gateway;
use crate::tunnel::{self, Document, Settings};

/// What is to be done about a host name, and what the operator should know.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Way {
    /// Before the guest is there.
    pub(super) before: Vec<Step>,
    /// When it is.
    pub(super) after: Vec<Step>,
    pub(super) warning: Option<String>,
}

impl Guests {
    /// Finds out how a host name comes to lead to a port.
    pub(super) fn way(&self, hostname: &str, port: u16, overwrite: bool) -> Way {
        if hostname.is_empty() {
            return Way::default();
        }
        let service = self.service_of(port);
        let by_hand = |why: &str| Way {
            warning: Some(format!("nothing leads {hostname} here yet: {why}")),
            ..Way::default()
        };
        let Some(settings) = Settings::find(&self.paths, &self.env) else {
            return by_hand(&format!("add it to the tunnel, for {service}"));
        };
        let document = match settings.read() {
            Ok(document) if document.tunnel().is_none() => {
                return by_hand(&format!("add it to the tunnel, for {service}"));
            }
            Ok(document) => document,
            Err(error) => return by_hand(&format!("{error}; add it there, for {service}")),
        };
        match document.rules().iter().find(|rule| !rule.hostname.is_empty() && rule.covers(hostname)) {
            // One rule for all names is all that is needed, and so is a rule that was made by hand.
            Some(rule) if rule.hostname != hostname || rule.service == service => Way::default(),
            Some(rule) => Way {
                warning: Some(format!("the tunnel leads {hostname} to {} already", rule.service)),
                ..Way::default()
            },
            None => Way {
                before: vec![
                    Step::Lead { hostname: hostname.to_owned(), service },
                    Step::Point { hostname: hostname.to_owned(), overwrite },
                ],
                after: vec![Step::Reconnect],
                warning: None,
            },
        }
    }

    /// Has the tunnel's client read what was changed, if anything was. Says what the operator should know.
    #[must_use]
    pub fn reconnect(&self) -> Option<String> {
        let settings = Settings::find(&self.paths, &self.env)?;
        settings.reconnect().err().map(|error| tunnel::told(&error))
    }

    /// The steps after which a host name leads nowhere, if a rule of its own led it here.
    pub(super) fn way_out(&self, hostname: &str) -> Vec<Step> {
        let document = Settings::find(&self.paths, &self.env).and_then(|settings| settings.read().ok());
        let has_rule =
            |document: Document| document.rules().iter().any(|rule| rule.hostname == hostname.to_lowercase());
        if hostname.is_empty() || !document.is_some_and(has_rule) {
            return Vec::new();
        }
        let hostname = hostname.to_owned();
        vec![Step::Unlead { hostname: hostname.clone() }, Step::Unpoint { hostname }, Step::Reconnect]
    }

    /// The front door wakes a guest that sleeps; without one the guest is asked itself.
    fn service_of(&self, port: u16) -> String {
        let door = Gateway::new(&self.paths).runs().then_some(self.gateway.port());
        format!("http://127.0.0.1:{}", door.unwrap_or(port))
    }
}
