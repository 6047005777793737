//! What has to be known of a machine and its operator.

use std::path::PathBuf;

use serde::Deserialize;

use crate::guests::hostname;

/// How people come in from elsewhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// By a Cloudflare tunnel and a domain of one's own.
    Cloudflare,
    /// By Tailscale, from one's own devices.
    Tailscale,
    /// From the local network.
    Lan,
    /// Not at all.
    #[default]
    Localhost,
    /// By a tunnel of cpolar.
    Cpolar,
}

/// What starts RemoteLab with the machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Service {
    /// A unit of the operator's own systemd.
    #[default]
    Systemd,
    /// Nothing.
    None,
}

/// All answers. What is missing has a default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Answers {
    /// How people come in from elsewhere.
    pub mode: Mode,
    /// The domain below which guests get host names.
    pub domain: String,
    /// The owner's own host name; `remotelab.<domain>` without it.
    pub hostname: String,
    /// A name beside the access link.
    pub username: String,
    /// A file with the password for it.
    pub password_file: Option<PathBuf>,
    /// What starts RemoteLab with the machine.
    pub service: Service,
    /// The mail address that people write to, if any.
    pub mailbox: String,
    /// Whether host names are taken that lead elsewhere now.
    pub overwrite_dns: bool,
}

/// Why answers cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A domain is needed.
    #[error("mode \"cloudflare\" needs a domain")]
    NoDomain,
    /// It is none.
    #[error("{0:?} is not a host name")]
    Hostname(String),
    /// It is none.
    #[error("{0:?} is not a mail address")]
    Mailbox(String),
    /// A name without a password.
    #[error("a username needs a password_file")]
    NoPassword,
}

impl Answers {
    /// Checks answers and fills in what follows from them.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn complete(mut self) -> Result<Self, Error> {
        let clean = |text: &str| text.trim().trim_matches('.').to_lowercase();
        (self.domain, self.hostname) = (clean(&self.domain), clean(&self.hostname));
        if self.mode == Mode::Cloudflare && self.domain.is_empty() {
            return Err(Error::NoDomain);
        }
        if self.hostname.is_empty() && self.mode == Mode::Cloudflare {
            self.hostname = format!("remotelab.{}", self.domain);
        }
        for name in [&self.domain, &self.hostname] {
            if !name.is_empty() && !hostname::is_valid(name) {
                return Err(Error::Hostname(name.clone()));
            }
        }
        let is_address = self.mailbox.split_once('@').is_some_and(|(local, domain)| {
            !local.is_empty() && !local.contains(char::is_whitespace) && hostname::is_valid(domain)
        });
        if !self.mailbox.is_empty() && !is_address {
            return Err(Error::Mailbox(self.mailbox));
        }
        if !self.username.is_empty() && self.password_file.is_none() {
            return Err(Error::NoPassword);
        }
        if self.username.is_empty() {
            self.username = "owner".to_owned();
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_checked_and_completed() {
        let answers = Answers { mode: Mode::Cloudflare, domain: ".Ex.COM.".into(), ..Answers::default() };
        let complete = answers.clone().complete().unwrap();
        assert_eq!(complete.hostname, "remotelab.ex.com");
        assert_eq!(complete.username, "owner");
        assert_eq!(Answers { domain: String::new(), ..answers.clone() }.complete(), Err(Error::NoDomain));
        for (change, error) in [
            (Answers { hostname: "a b.c".into(), ..answers.clone() }, Error::Hostname("a b.c".into())),
            (Answers { mailbox: "x".into(), ..answers.clone() }, Error::Mailbox("x".into())),
            (Answers { username: "u".into(), ..answers }, Error::NoPassword),
        ] {
            assert_eq!(change.complete(), Err(error));
        }
    }
}
