//! `outbound.json`: how answers leave the house.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// How mail is sent. `Debug` shows no secret.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Outbound {
    /// `smtp`; other names are kept and reported as not supported.
    pub provider: String,
    /// Relay host.
    pub host: String,
    /// Relay port; 0 picks the usual one of the security.
    pub port: u16,
    /// How the connection is protected.
    pub security: Security,
    /// Login name; empty: no login.
    pub username: String,
    /// Password in the file itself.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub password: String,
    /// Environment variable that holds the password.
    pub password_env: String,
    /// Sender when the mail to answer names none.
    pub from: String,
    /// Everything else that stands in the file, other providers' secrets among it.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// How an SMTP connection is protected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Security {
    /// Plain text; for a relay on this machine.
    None,
    /// Upgrade on the submission port (RFC 3207); refused when the relay does not offer it.
    #[default]
    Starttls,
    /// TLS from the first byte (RFC 8314).
    Tls,
}

/// What may be shown of the settings.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OutboundSummary {
    /// The provider's id.
    pub provider: String,
    /// Relay host.
    pub host: String,
    /// Relay port.
    pub port: u16,
    /// How the connection is protected.
    pub security: Security,
    /// Login name.
    pub username: String,
    /// Environment variable that holds the password.
    pub password_env: String,
    /// Fallback sender.
    pub from: String,
    /// `password`, `none`, or `unconfigured`.
    pub auth_mode: String,
    /// Whether mail can be sent.
    pub configured: bool,
    /// The settings that are missing.
    pub missing: Vec<String>,
    /// What to do about it; empty when all is well.
    pub setup_hint: String,
}

impl Default for Outbound {
    fn default() -> Self {
        Self {
            provider: String::new(),
            host: String::new(),
            port: 0,
            security: Security::default(),
            username: String::new(),
            password: String::new(),
            password_env: String::new(),
            from: String::new(),
            rest: Map::new(),
        }
    }
}

impl Security {
    /// Reads `none`, `starttls` or `tls`; `None` for another word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text.trim().to_ascii_lowercase().as_str() {
            "none" => Some(Self::None),
            "starttls" => Some(Self::Starttls),
            "tls" => Some(Self::Tls),
            _ => None,
        }
    }
}

impl Outbound {
    /// Returns the port that counts.
    #[must_use]
    pub fn effective_port(&self) -> u16 {
        match (self.port, self.security) {
            (0, Security::None) => 25,
            (0, Security::Starttls) => 587,
            (0, Security::Tls) => 465,
            (port, _) => port,
        }
    }

    /// Returns what may be shown, with what is missing. `env` looks up an environment variable.
    pub fn summary(&self, env: impl Fn(&str) -> Option<String>) -> OutboundSummary {
        let mut missing = Vec::new();
        let mut setup_hint = String::new();
        match self.provider.as_str() {
            "smtp" => {
                if self.host.is_empty() {
                    missing.push("host".to_owned());
                }
                if !self.username.is_empty() && self.password(&env).is_none() {
                    missing.push("password".to_owned());
                }
            }
            "" => missing.push("provider".to_owned()),
            other => {
                setup_hint = format!("the provider {other} is not supported yet; use smtp");
                missing.push("provider".to_owned());
            }
        }
        if !missing.is_empty() && setup_hint.is_empty() {
            setup_hint = "run: remotelab mail outbound configure-smtp --host HOST".to_owned();
        }
        let auth_mode = match (missing.is_empty(), self.username.is_empty()) {
            (false, _) => "unconfigured",
            (true, true) => "none",
            (true, false) => "password",
        };
        OutboundSummary {
            provider: self.provider.clone(),
            host: self.host.clone(),
            port: self.effective_port(),
            security: self.security,
            username: self.username.clone(),
            password_env: self.password_env.clone(),
            from: self.from.clone(),
            auth_mode: auth_mode.to_owned(),
            configured: missing.is_empty(),
            missing,
            setup_hint,
        }
    }

    /// Returns the password: the one in the file beats the one in the environment.
    pub(crate) fn password(&self, env: impl Fn(&str) -> Option<String>) -> Option<String> {
        if !self.password.is_empty() {
            return Some(self.password.clone());
        }
        (!self.password_env.is_empty()).then(|| env(&self.password_env)).flatten()
    }
}

impl fmt::Debug for Outbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbound")
            .field("provider", &self.provider)
            .field("host", &self.host)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_is_missing_and_shows_no_secret() {
        let outbound: Outbound = serde_json::from_str(
            r#"{"provider":"smtp","host":"relay.test","username":"u","passwordEnv":"P","workerToken":"hush"}"#,
        )
        .unwrap();
        assert_eq!(outbound.summary(|_| None).missing, ["password"]);
        let summary = outbound.summary(|_| Some("secret".into()));
        assert!(summary.configured && summary.port == 587 && summary.auth_mode == "password");
        assert!(!format!("{outbound:?}{}", serde_json::to_string(&summary).unwrap()).contains("hush"));
        let other = Outbound { provider: "resend_api".into(), ..Outbound::default() };
        assert_eq!(
            other.summary(|_| None).setup_hint,
            "the provider resend_api is not supported yet; use smtp"
        );
    }
}
