//! `outbound.json`: how answers leave the house.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Ways out that are tried for one letter.
const MAX_PROVIDERS: usize = 8;

/// How mail is sent. `Debug` shows no secret.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Outbound {
    /// One of [`Provider`]; other names are kept and reported as unknown.
    pub provider: String,
    /// Ways out in their order, each with fields as beside this one; when there are any, they alone count.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub providers: Vec<Outbound>,
    /// The way out when this one cannot serve, as older files name it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fallback: Option<Box<Outbound>>,
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
    /// Certificates (PEM) beside the usual ones, for a relay of one's own.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub ca_file: String,
    /// The Email Worker's address.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub worker_base_url: String,
    /// What is presented to the Email Worker.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub worker_token: String,
    /// Environment variable that holds it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub worker_token_env: String,
    /// Where the provider's API is, when not at its usual place.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub api_base_url: String,
    /// What is presented to it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub api_key: String,
    /// Environment variable that holds it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub api_key_env: String,
    /// The account that sends by Cloudflare's API.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub account_id: String,
    /// Where answers go, when a letter does not say.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reply_to: String,
    /// The program of `sendmail`, or the folder of `file`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub path: String,
    /// Sender when the mail to answer names none.
    pub from: String,
    /// Everything else that stands in the file, other providers' secrets among it.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// A way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provider {
    /// A mail server that relays.
    Smtp,
    /// The Email Worker's own endpoint.
    CloudflareWorker,
    /// Cloudflare's email API.
    CloudflareEmailApi,
    /// An API of Resend's kind.
    ResendApi,
    /// The program of a mail server on this machine.
    Sendmail,
    /// A folder.
    File,
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
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
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
    /// The other ways out, in their order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<OutboundSummary>,
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

    /// Returns the provider, when it is a known one.
    #[must_use]
    pub fn kind(&self) -> Option<Provider> {
        Some(match self.provider.as_str() {
            "smtp" => Provider::Smtp,
            "cloudflare_worker" => Provider::CloudflareWorker,
            "cloudflare_email_api" => Provider::CloudflareEmailApi,
            "resend_api" => Provider::ResendApi,
            "sendmail" => Provider::Sendmail,
            "file" => Provider::File,
            _ => return None,
        })
    }

    /// Returns the ways out in their order.
    pub(crate) fn plan(&self) -> Vec<&Self> {
        if !self.providers.is_empty() {
            return self.providers.iter().take(MAX_PROVIDERS).collect();
        }
        std::iter::successors(Some(self), |one| one.fallback.as_deref()).take(MAX_PROVIDERS).collect()
    }

    /// Returns what may be shown, with what is missing. `env` looks up an environment variable.
    pub fn summary(&self, env: impl Fn(&str) -> Option<String>) -> OutboundSummary {
        let mut ways =
            self.plan().into_iter().map(|one| one.summary_of_one(&env)).collect::<Vec<_>>().into_iter();
        let first = ways.next().unwrap_or_default();
        OutboundSummary { others: ways.collect(), ..first }
    }

    fn summary_of_one(&self, env: &dyn Fn(&str) -> Option<String>) -> OutboundSummary {
        let mut missing = Vec::new();
        let mut need = |what: &str, is_there: bool| {
            if !is_there {
                missing.push(what.to_owned());
            }
        };
        let mut setup_hint = String::new();
        let kind = self.kind();
        match kind {
            Some(Provider::Smtp) => {
                need("host", !self.host.is_empty());
                need("password", self.username.is_empty() || self.password(env).is_some());
            }
            Some(Provider::CloudflareWorker) => {
                need("workerBaseUrl", !self.worker_base_url.is_empty());
                need("workerToken", self.worker_token(env).is_some());
            }
            Some(Provider::CloudflareEmailApi) => {
                need("accountId", !self.account_id.is_empty());
                need("apiKey", self.api_key(env).is_some());
            }
            Some(Provider::ResendApi) => need("apiKey", self.api_key(env).is_some()),
            Some(Provider::Sendmail) => need("path", self.path.is_empty() || self.path.starts_with('/')),
            Some(Provider::File) => need("path", self.path.starts_with('/')),
            None => {
                need("provider", false);
                if !self.provider.is_empty() {
                    setup_hint = format!("the provider {} is not known", self.provider);
                }
            }
        }
        if !missing.is_empty() && setup_hint.is_empty() {
            setup_hint = match kind {
                Some(Provider::Smtp) | None => {
                    "run: remotelab mail outbound configure-smtp --host HOST".to_owned()
                }
                Some(_) => format!("put {} into outbound.json", missing.join(" and ")),
            };
        }
        let auth_mode = match (missing.is_empty(), kind) {
            (false, _) => "unconfigured",
            (true, Some(Provider::Smtp)) if !self.username.is_empty() => "password",
            (true, Some(Provider::CloudflareWorker)) => "bearer_token",
            (true, Some(Provider::CloudflareEmailApi | Provider::ResendApi)) => "api_key",
            (true, _) => "none",
        };
        OutboundSummary {
            provider: self.provider.clone(),
            host: self.host.clone(),
            port: if kind == Some(Provider::Smtp) { self.effective_port() } else { 0 },
            security: self.security,
            username: self.username.clone(),
            password_env: self.password_env.clone(),
            from: self.from.clone(),
            auth_mode: auth_mode.to_owned(),
            configured: missing.is_empty(),
            missing,
            setup_hint,
            others: Vec::new(),
        }
    }

    /// Returns what is presented to the Email Worker.
    pub(crate) fn worker_token(&self, env: impl Fn(&str) -> Option<String>) -> Option<String> {
        secret(&self.worker_token, &self.worker_token_env, "REMOTELAB_CLOUDFLARE_EMAIL_WORKER_TOKEN", env)
    }

    /// Returns what is presented to the provider's API.
    pub(crate) fn api_key(&self, env: impl Fn(&str) -> Option<String>) -> Option<String> {
        let usual = match self.kind() {
            Some(Provider::CloudflareEmailApi) => "CLOUDFLARE_API_TOKEN",
            _ => "RESEND_API_KEY",
        };
        secret(&self.api_key, &self.api_key_env, usual, env)
    }

    /// Returns the password: the one in the file beats the one in the environment.
    pub(crate) fn password(&self, env: impl Fn(&str) -> Option<String>) -> Option<String> {
        if !self.password.is_empty() {
            return Some(self.password.clone());
        }
        (!self.password_env.is_empty()).then(|| env(&self.password_env)).flatten()
    }
}

/// The secret in the file beats the one in the environment, where it has its usual name or another.
fn secret(direct: &str, name: &str, usual: &str, env: impl Fn(&str) -> Option<String>) -> Option<String> {
    if !direct.is_empty() {
        return Some(direct.to_owned());
    }
    env(if name.is_empty() { usual } else { name })
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
        let other = Outbound { provider: "pigeon".into(), ..Outbound::default() };
        assert_eq!(other.summary(|_| None).setup_hint, "the provider pigeon is not known");
    }

    #[test]
    fn reads_both_forms_of_several_ways() {
        let read = |text: &str| serde_json::from_str::<Outbound>(text).unwrap();
        let names = |outbound: &Outbound| -> Vec<String> {
            outbound.plan().iter().map(|one| one.provider.clone()).collect()
        };
        let older = read(
            r#"{"provider":"cloudflare_worker","workerBaseUrl":"https://w.test","workerToken":"hush",
                "fallback":{"provider":"resend_api","apiKeyEnv":"KEY"}}"#,
        );
        assert_eq!(names(&older), ["cloudflare_worker", "resend_api"]);
        let summary = older.summary(|name| (name == "KEY").then(|| "k".to_owned()));
        assert_eq!(
            (summary.auth_mode.as_str(), summary.others[0].auth_mode.as_str()),
            ("bearer_token", "api_key")
        );
        assert!(!serde_json::to_string(&summary).unwrap().contains("hush"));
        assert_eq!(serde_json::to_value(&older).unwrap()["fallback"]["apiKeyEnv"], "KEY");
        let list =
            read(r#"{"providers":[{"provider":"file","path":"/x"},{"provider":"smtp"}],"provider":"smtp"}"#);
        assert_eq!(names(&list), ["file", "smtp"]);
        assert_eq!(list.summary(|_| None).others[0].missing, ["host"]);
        assert_eq!(names(&read("{}")), [""]);
    }
}
