//! A webhook: where to, about what, and the secret that signs.

use std::fmt;

use remotelab_config::secret::Secret;
use remotelab_protocol::RunState;
use reqwest::Url;
use serde::{Deserialize, Serialize};

use crate::clock::now_iso;

const URL_BYTES: usize = 2_000;
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 16..=200;

/// A webhook as its file has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Hook {
    pub(crate) id: String,
    pub(crate) url: String,
    pub(crate) events: Vec<Event>,
    pub(crate) created_at: String,
    pub(crate) secret: SigningSecret,
}

/// What a hook can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Event {
    #[serde(rename = "run.completed")]
    Completed,
    #[serde(rename = "run.failed")]
    Failed,
    #[serde(rename = "run.cancelled")]
    Cancelled,
}

/// A shared secret that prints nothing.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct SigningSecret(String);

/// What somebody asks for.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Wanted {
    pub(crate) url: String,
    pub(crate) events: Option<Vec<String>>,
    pub(crate) secret: Option<SigningSecret>,
}

/// Why a hook cannot be.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Invalid {
    #[error(
        "url must be an http or https address of at most {URL_BYTES} bytes, without user name and password"
    )]
    Url,
    #[error("events must be some of run.completed, run.failed, run.cancelled")]
    Events,
    #[error("secret must be {} to {} characters of ASCII", SECRET_BYTES.start(), SECRET_BYTES.end())]
    Secret,
}

impl Hook {
    pub(super) fn new(wanted: Wanted) -> Result<Self, Invalid> {
        let events = match wanted.events {
            None => Event::ALL.to_vec(),
            Some(names) => {
                let events: Option<Vec<Event>> = names.iter().map(|name| Event::parse(name)).collect();
                events.filter(|events| !events.is_empty()).ok_or(Invalid::Events)?
            }
        };
        let secret = match wanted.secret {
            None => SigningSecret(format!("whsec_{}", Secret::random().reveal())),
            Some(secret) => secret.checked()?,
        };
        Ok(Self {
            id: format!("hook_{}", hex::encode(rand::random::<[u8; 12]>())),
            url: checked_url(&wanted.url)?,
            events,
            created_at: now_iso(),
            secret,
        })
    }
}

impl Event {
    const ALL: [Self; 3] = [Self::Completed, Self::Failed, Self::Cancelled];

    pub(super) fn of(state: RunState) -> Option<Self> {
        match state {
            RunState::Completed => Some(Self::Completed),
            RunState::Failed => Some(Self::Failed),
            RunState::Cancelled => Some(Self::Cancelled),
            RunState::Accepted | RunState::Running => None,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Completed => "run.completed",
            Self::Failed => "run.failed",
            Self::Cancelled => "run.cancelled",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|event| event.name() == name)
    }
}

impl SigningSecret {
    /// Writes the secret out; the caller answers for where it goes.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }

    fn checked(self) -> Result<Self, Invalid> {
        let fits = SECRET_BYTES.contains(&self.0.len()) && self.0.bytes().all(|b| b.is_ascii_graphic());
        if fits { Ok(self) } else { Err(Invalid::Secret) }
    }
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningSecret(…)")
    }
}

/// Private addresses are allowed: who adds a hook owns the machine.
fn checked_url(text: &str) -> Result<String, Invalid> {
    let url = Url::parse(text.trim()).ok().filter(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.as_str().len() <= URL_BYTES
    });
    url.map(String::from).ok_or(Invalid::Url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_the_web_are_called() {
        let new = |url: &str| Hook::new(Wanted { url: url.into(), ..Wanted::default() });
        for url in
            ["", "x", "file:///etc/passwd", "ftp://a/", "javascript:1", "http://", "http://u:p@a/", "/x"]
        {
            assert!(matches!(new(url), Err(Invalid::Url)), "{url}");
        }
        for url in ["http://127.0.0.1:9/x?y=z", "https://hooks.example/a"] {
            let hook = new(url).unwrap();
            assert_eq!((hook.url.as_str(), hook.events.as_slice()), (url, &Event::ALL[..]));
            assert!(!format!("{hook:?}").contains(hook.secret.reveal()));
        }
    }

    #[test]
    fn short_secrets_and_unknown_events_are_refused() {
        let wanted = |events: &[&str], secret: &str| Wanted {
            url: "http://a/".into(),
            events: Some(events.iter().map(|&name| name.to_owned()).collect()),
            secret: Some(SigningSecret(secret.into())),
        };
        let secret = "0123456789abcdef";
        assert!(matches!(Hook::new(wanted(&["run.failed"], "short")), Err(Invalid::Secret)));
        assert!(matches!(Hook::new(wanted(&[], secret)), Err(Invalid::Events)));
        assert!(matches!(Hook::new(wanted(&["run.started"], secret)), Err(Invalid::Events)));
        assert_eq!(Hook::new(wanted(&["run.failed"], secret)).unwrap().events, [Event::Failed]);
    }
}
