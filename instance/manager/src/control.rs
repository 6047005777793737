//! How other commands talk to the supervisor: one line of JSON each way over a Unix socket that only
//! the operator can open.

mod client;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use client::{Client, Error};

/// The longest request, in bytes.
pub(crate) const MAX_REQUEST: usize = 4 * 1024;

/// The file beside the socket that holds what a request has to show: to be able to connect is not to be the operator.
/// Runs that are contained cannot read it.
pub(crate) const KEY: &str = "control.key";

/// A request with the operator's key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Asked {
    #[serde(default)]
    pub(crate) key: String,
    #[serde(flatten)]
    pub(crate) request: Request,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "lowercase")]
pub enum Request {
    /// Which children there are and how they are.
    Status,
    /// Starts a child and waits until it listens.
    Start {
        /// `owner`, `gateway`, `mail` or a guest.
        name: String,
    },
    /// Stops a child and waits until it has ended.
    Stop {
        /// As in [`Request::Start`].
        name: String,
    },
    /// Stops a child, if it runs, and starts it as its record says now.
    Restart {
        /// As in [`Request::Start`].
        name: String,
    },
    /// Starts the program anew in the place of a child, which hands its work over and ends. Only the gateway can.
    Replace {
        /// `gateway`.
        name: String,
    },
    /// The same, with another program, which it keeps until it is started anew.
    Renew {
        /// As in [`Request::Start`].
        name: String,
        /// The program.
        program: PathBuf,
    },
    /// Stops a guest until it is needed, unless it has something to do.
    Sleep {
        /// The guest.
        name: String,
    },
    /// Starts a guest that sleeps and waits until it listens. One that was stopped stays so.
    Wake {
        /// The guest.
        name: String,
    },
}

impl Request {
    /// Whom it is about.
    pub(crate) fn name(&self) -> Option<&str> {
        match self {
            Self::Status => None,
            Self::Start { name }
            | Self::Stop { name }
            | Self::Restart { name }
            | Self::Replace { name }
            | Self::Sleep { name }
            | Self::Wake { name }
            | Self::Renew { name, .. } => Some(name),
        }
    }
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    /// Whether the request was carried out.
    pub ok: bool,
    /// The children asked about.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub children: Vec<Child>,
    /// Why it was not, in a sentence for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl Answer {
    pub(crate) fn done(children: Vec<Child>) -> Self {
        Self { ok: true, children, error: None }
    }

    pub(crate) fn refused(error: impl std::fmt::Display) -> Self {
        Self { ok: false, children: Vec::new(), error: Some(error.to_string()) }
    }
}

/// One child as it really is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Child {
    /// `owner`, `gateway`, `mail` or the guest's name.
    pub name: String,
    /// What it is doing.
    pub state: State,
    /// Its process, while there is one.
    pub pid: Option<u32>,
    /// Where it says that it listens.
    pub listening: Option<String>,
    /// The program that runs, as the system tells it, or the one that is to run. ` (deleted)` at its end says
    /// that the file was replaced since.
    pub program: PathBuf,
    /// When the process was started: ISO-8601 UTC with milliseconds.
    pub started_at: Option<String>,
    /// How many processes of it have died unasked.
    pub failures: u64,
    /// How the last of them died.
    pub last_error: Option<String>,
}

/// What a child is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Not running, and not wanted.
    #[default]
    Stopped,
    /// Not running until somebody needs it.
    Asleep,
    /// Running, not listening yet.
    Starting,
    /// Listening.
    Ready,
    /// Asked to end.
    Stopping,
    /// Died; will be started again.
    Failed,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_answers_are_plain_json() {
        let request: Request = serde_json::from_str(r#"{"verb":"start","name":"trial1"}"#).unwrap();
        assert_eq!(request, Request::Start { name: "trial1".into() });
        assert_eq!(serde_json::to_string(&Request::Status).unwrap(), r#"{"verb":"status"}"#);
        assert_eq!(serde_json::to_string(&Answer::refused("no")).unwrap(), r#"{"ok":false,"error":"no"}"#);
        assert!(serde_json::from_str::<Request>(r#"{"verb":"start"}"#).is_err());
        let asked: Asked = serde_json::from_str(r#"{"key":"k","verb":"start","name":"trial1"}"#).unwrap();
        assert_eq!(asked, Asked { key: "k".into(), request });
        assert_eq!(serde_json::from_str::<Asked>(r#"{"verb":"status"}"#).unwrap().key, "");
    }
}
