//! Host names that lead to a tunnel: by Cloudflare's own interface where there are credentials for it, else by
//! `cloudflared`.

use std::io;
use std::path::Path;

use remotelab_config::{Env, OwnerPaths, atomic};
use serde_json::Value;

use super::cloudflare::{self, Cloudflare, Ensured, Wanted};
use super::{Document, Settings};
use crate::outside::Tool;

/// Why a host name was not led to the tunnel.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Cloudflare.
    #[error(transparent)]
    Cloudflare(#[from] cloudflare::Error),
    /// `cloudflared`.
    #[error("cloudflared does not lead {0} here")]
    Client(String, #[source] io::Error),
    /// The tunnel.
    #[error(transparent)]
    Tunnel(#[from] Box<super::Error>),
    /// The tunnel.
    #[error("the id of the tunnel is not known")]
    NoTunnel,
}

/// What became of a wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is so now.
    Done,
    /// It was so before.
    Already,
    /// Nothing here can do it.
    Nobody,
}

/// Whoever changes names.
#[derive(Clone, Debug)]
pub struct Dns {
    settings: Settings,
    api: Option<Cloudflare>,
    client: Option<Tool>,
}

impl Dns {
    /// Finds credentials and tools; `None` where there is no tunnel.
    #[must_use]
    pub fn find(paths: &OwnerPaths, env: &Env) -> Option<Self> {
        Some(Self {
            settings: Settings::find(paths, env)?,
            api: Cloudflare::find(paths, env),
            client: Tool::find("cloudflared", env),
        })
    }

    /// Leads a host name to the tunnel. A record of somebody else stays, unless `overwrite` says otherwise.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn point(&self, hostname: &str, overwrite: bool) -> Result<Outcome, Error> {
        let document = self.settings.read().map_err(Box::new)?;
        if let Some(api) = &self.api {
            let wanted = Wanted { hostname, target: &target(&document)?, overwrite };
            return Ok(match api.ensure(&wanted)? {
                Ensured::Created | Ensured::Changed => Outcome::Done,
                Ensured::Already => Outcome::Already,
            });
        }
        let Some(client) = &self.client else {
            return Ok(Outcome::Nobody);
        };
        let tunnel = document.tunnel().ok_or(Error::NoTunnel)?;
        let mut words = vec!["tunnel", "route", "dns"];
        if overwrite {
            words.push("--overwrite-dns");
        }
        words.extend([tunnel, hostname]);
        client.done(&words).map_err(|error| Error::Client(hostname.to_owned(), error))?;
        Ok(Outcome::Done)
    }

    /// Removes the record that leads a host name to the tunnel, if it was made here.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn remove(&self, hostname: &str) -> Result<Outcome, Error> {
        // `cloudflared` makes records and removes none.
        let Some(api) = &self.api else {
            return Ok(Outcome::Nobody);
        };
        let document = self.settings.read().map_err(Box::new)?;
        let removed = api.remove(hostname, &target(&document)?)?;
        Ok(if removed { Outcome::Done } else { Outcome::Already })
    }

    /// Tells where a host name leads, as far as Cloudflare knows: to the tunnel, elsewhere, or nowhere.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn leads_here(&self, hostname: &str) -> Result<Option<bool>, Error> {
        let Some(api) = &self.api else {
            return Ok(None);
        };
        let document = self.settings.read().map_err(Box::new)?;
        let target = target(&document)?;
        Ok(Some(api.records(hostname)?.iter().any(|record| record.content == target)))
    }
}

/// The name that stands for a tunnel.
fn target(document: &Document) -> Result<String, Error> {
    let id = document.tunnel().filter(|name| is_id(name)).map(str::to_owned);
    let id = id.or_else(|| id_in(Path::new(document.credentials_file()?)));
    Ok(format!("{}.cfargotunnel.com", id.ok_or(Error::NoTunnel)?))
}

fn id_in(credentials: &Path) -> Option<String> {
    let credentials: Value = atomic::read_json(credentials).ok()??;
    Some(credentials["TunnelID"].as_str()?.to_owned())
}

fn is_id(text: &str) -> bool {
    text.len() == 36 && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
}
