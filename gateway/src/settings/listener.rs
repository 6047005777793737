//! `[listener.<name>]`.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use serde::Deserialize;

use super::file::{Wrong, host_names};
use crate::guard::RefererGuard;
use crate::host::Host;
use crate::listener::{ClientIp, Listener, Mode, Pair, Scheme, Tls};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Table {
    bind: String,
    #[serde(default)]
    client_ip: ClientIp,
    #[serde(default)]
    peers: Vec<String>,
    scheme: Option<Scheme>,
    tls: Option<TlsTable>,
    #[serde(default)]
    h2c: bool,
    #[serde(default)]
    hosts: Vec<String>,
    #[serde(default)]
    domains: Vec<String>,
    #[serde(default)]
    mode: Mode,
    #[serde(default)]
    origins: Vec<String>,
    referer_guard: Option<RefererGuard>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TlsTable {
    certificates: Vec<PairTable>,
    http2: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PairTable {
    cert: PathBuf,
    key: PathBuf,
}

impl Table {
    /// Reads a listener; `usual` has what is said for all, paths are seen from `folder`.
    pub(super) fn listener(self, name: &str, usual: &Listener, folder: &Path) -> Result<Listener, Wrong> {
        let wrong = |key, problem| Wrong::new(format!("listener.{name}.{key}"), problem);
        let bind: SocketAddr = self.bind.parse().map_err(|_| wrong("bind", "is not <address>:<port>"))?;
        let names = |key, list: Vec<String>| {
            host_names(&list).ok_or_else(|| wrong(key, "holds something that is no host name"))
        };
        if self.client_ip != ClientIp::Peer && self.peers.is_empty() && !bind.ip().is_loopback() {
            let problem =
                "must list who may tell clients' addresses, because others reach this listener, too";
            return Err(wrong("peers", problem));
        }
        if self.tls.as_ref().is_some_and(|tls| tls.certificates.is_empty()) {
            return Err(wrong("tls.certificates", "is empty"));
        }
        let pair = |pair: PairTable| Pair { certificate: folder.join(pair.cert), key: folder.join(pair.key) };
        let tls = self.tls.map(|tls| Tls {
            certificates: tls.certificates.into_iter().map(pair).collect(),
            http2: tls.http2.unwrap_or(true),
        });
        let scheme = if tls.is_some() { Scheme::Https } else { Scheme::Http };
        Ok(Listener {
            name: name.to_owned(),
            bind,
            client_ip: self.client_ip,
            peers: networks(&self.peers)
                .ok_or_else(|| wrong("peers", "holds something that is no address and no network"))?,
            scheme: self.scheme.unwrap_or(scheme),
            tls,
            h2c: self.h2c,
            hosts: names("hosts", self.hosts)?,
            domains: names("domains", self.domains)?,
            mode: self.mode,
            origins: origins(self.origins)
                .ok_or_else(|| wrong("origins", "holds something that is no <scheme>://<host>"))?,
            referer_guard: self.referer_guard.unwrap_or(usual.referer_guard),
            last_prefix_redirect: usual.last_prefix_redirect,
        })
    }
}

/// Addresses, and networks by their length.
fn networks(list: &[String]) -> Option<Vec<IpNet>> {
    let network = |text: &String| text.parse().ok().or_else(|| Some(text.parse::<IpAddr>().ok()?.into()));
    list.iter().map(network).collect()
}

/// Origins as browsers write them.
fn origins(list: Vec<String>) -> Option<Vec<String>> {
    let origin = |text: String| {
        let text = text.trim_end_matches('/').to_ascii_lowercase();
        let (scheme, authority) = text.split_once("://")?;
        Host::parse(authority)?;
        ["http", "https"].contains(&scheme).then_some(text)
    };
    list.into_iter().map(origin).collect()
}
