//! Whether guests answer: on their own port, under their host name and by their prefix, and whether it is they
//! who do.

mod local;
mod probe;

use std::io;

use serde::Serialize;

pub(crate) use local::answers_as;
pub(super) use local::probe_locally;
pub(super) use probe::probe;

/// What came of asking a guest by all ways that lead to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reached {
    /// On its own port.
    pub local: Channel,
    /// Under its host name.
    pub public: Channel,
    /// By its prefix, from outside.
    pub bridge: Channel,
}

/// What came of one way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Channel {
    /// In one word.
    pub status: Class,
    /// The status of the answer, if there was one.
    pub http_status: Option<u16>,
    /// How long the answer took.
    pub latency_ms: Option<u64>,
    /// What went wrong.
    pub error: Option<String>,
}

/// What came of one way, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// The guest answers.
    Reachable,
    /// Another instance answers.
    WrongInstance,
    /// The answer leads elsewhere.
    Redirected,
    /// The answer is no good one.
    HttpError,
    /// There was no answer in time.
    Timeout,
    /// The host name leads nowhere.
    DnsError,
    /// There is no secure connection.
    TlsError,
    /// Nobody takes the connection.
    Refused,
    /// It sleeps, and was not asked.
    Asleep,
    /// There is no such way.
    Skipped,
}

impl Channel {
    fn bare(status: Class) -> Self {
        Self { status, http_status: None, latency_ms: None, error: None }
    }

    /// Whether the guest answered; `None` for a way that there is not.
    pub(super) fn is_reachable(&self) -> Option<bool> {
        let was_asked = !matches!(self.status, Class::Skipped | Class::Asleep);
        was_asked.then_some(self.status == Class::Reachable)
    }

    /// For people: `reachable`, or `failed` with the reason.
    pub(super) fn words(&self) -> String {
        match (self.status, &self.error) {
            (Class::Reachable, _) => "reachable".to_owned(),
            (Class::Asleep, _) => "asleep".to_owned(),
            (status, None) => format!("failed ({})", word(status)),
            (status, Some(error)) => format!("failed ({}: {error})", word(status)),
        }
    }
}

/// Sorts an answer. Who answers is compared where both sides know an id.
fn sort_answer(status: u16, location: Option<&str>, answering: Option<&str>, id: &str) -> Channel {
    let (class, error) = match status {
        200..300 => match answering {
            Some(other) if !other.is_empty() && !id.is_empty() && other != id => {
                (Class::WrongInstance, Some("another instance answers".to_owned()))
            }
            _ => (Class::Reachable, None),
        },
        300..400 => (Class::Redirected, location.map(|to| format!("to {to}"))),
        _ => (Class::HttpError, Some(format!("status {status}"))),
    };
    Channel { http_status: Some(status), error, ..Channel::bare(class) }
}

/// Sorts a failure by what is at its bottom.
fn sort_failure(error: &reqwest::Error) -> Channel {
    let mut class = match error {
        error if error.is_timeout() => Class::Timeout,
        error if error.is_connect() => Class::Refused,
        _ => Class::HttpError,
    };
    let mut last = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        last = cause.to_string();
        let of_system = cause.downcast_ref::<io::Error>();
        if of_system.is_some_and(|error| error.kind() == io::ErrorKind::TimedOut) {
            class = Class::Timeout;
        }
        if cause.is::<rustls::Error>() {
            class = Class::TlsError;
        }
        // Nothing but its text tells this one.
        if last == "dns error" {
            class = Class::DnsError;
        }
        // An error of the system leaves out the one that it is made of.
        let made_of = of_system.and_then(io::Error::get_ref);
        next = made_of.map(|error| error as &(dyn std::error::Error + 'static)).or_else(|| cause.source());
    }
    let error = (class != Class::Timeout).then_some(last);
    Channel { error, ..Channel::bare(class) }
}

fn word(class: Class) -> String {
    serde_json::to_value(class).ok().and_then(|word| Some(word.as_str()?.to_owned())).unwrap_or_default()
}

#[cfg(test)]
mod tests;
