//! Which instance answers. A token is presented to the one that it is for and to nobody else.

use std::net::{IpAddr, UdpSocket};

use remotelab_config::instance_id;
use reqwest::{Method, StatusCode, Url};
use serde_json::Value;

use crate::{ANSWER_MAX, Error, Instance, body, send};

impl Instance {
    /// Tells whether the instance is reached without leaving this machine.
    #[must_use]
    pub fn is_on_this_machine(&self) -> bool {
        self.is_local
            || Url::parse(&self.base).ok().and_then(|url| url.host_str().map(is_here)).unwrap_or_default()
    }

    /// Tells whether everybody on the way can read what is sent.
    #[must_use]
    pub fn is_exposed(&self) -> bool {
        self.base.starts_with("http://") && !self.is_on_this_machine()
    }

    /// Compares the instance that answers with the one beside whose folder the token lies, once, and before anything
    /// secret is sent. One that has no id yet, or is of a version without, is believed on this machine.
    pub(crate) async fn identify(&self) -> Result<(), Error> {
        if self.login().is_known {
            return Ok(());
        }
        let folder = self.auth_file.parent().map(ToOwned::to_owned).unwrap_or_default();
        let own = tokio::task::spawn_blocking(move || instance_id::load(&folder))
            .await
            .map_err(|error| Error::Setup(error.to_string()))?
            .map_err(|error| Error::Setup(error.to_string()))?;
        if let Some(own) = own {
            let is_it = match self.answers_as().await? {
                Some(id) => id == own,
                None => self.is_on_this_machine(),
            };
            if !is_it {
                return Err(Error::OtherInstance);
            }
        }
        self.login().is_known = true;
        Ok(())
    }

    async fn answers_as(&self) -> Result<Option<String>, Error> {
        const STEP: &str = "ask which instance it is";
        let response = send(STEP, self.call(Method::GET, "/api/build-info")).await?;
        let status = response.status();
        let bytes = body::read(STEP, response, ANSWER_MAX).await?;
        if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            return Err(Error::Refused { step: STEP, status, message: body::error_text(&bytes) });
        }
        let build: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        Ok(build["instanceId"].as_str().filter(|id| !id.is_empty()).map(str::to_owned))
    }
}

/// Tells whether a host is this machine: only then can a socket be bound to its address.
fn is_here(host: &str) -> bool {
    if host.eq_ignore_ascii_case("localhost") {
        return true;
    }
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    address.is_ok_and(|ip| ip.to_canonical().is_loopback() || UdpSocket::bind((ip, 0)).is_ok())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn what_leaves_this_machine_in_clear_is_exposed() {
        for (base, exposed) in [
            ("http://127.0.0.1:7690", false),
            ("http://localhost:7690/trial1", false),
            ("http://[::1]:7690", false),
            ("http://192.0.2.7:7690", true),
            ("http://lab.example.com", true),
            ("https://lab.example.com", false),
        ] {
            let instance = Instance::new(base, Path::new("auth.json")).unwrap();
            assert_eq!(instance.is_exposed(), exposed, "{base}");
        }
    }
}
