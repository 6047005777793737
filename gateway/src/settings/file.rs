//! `gateway.toml`.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::{Error, Settings, limits, log, root, service, shared_origin, timeouts};
use crate::compression::Compression;
use crate::guard::RefererGuard;
use crate::host::Host;
use crate::listener::{ClientIp, Listener, Mode, Scheme};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    legacy_owner_cookies: Option<bool>,
    referer_guard: Option<RefererGuard>,
    #[serde(default)]
    compression: Compression,
    #[serde(default)]
    listener: BTreeMap<String, ListenerTable>,
    #[serde(default)]
    service: BTreeMap<String, service::Table>,
    #[serde(default)]
    shared_origin: shared_origin::Table,
    #[serde(default)]
    root: root::Table,
    #[serde(default)]
    limits: limits::Table,
    #[serde(default)]
    timeouts: timeouts::Table,
    #[serde(default)]
    log: log::Table,
    sleep: Option<toml::Table>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListenerTable {
    bind: String,
    #[serde(default)]
    client_ip: ClientIp,
    #[serde(default)]
    scheme: Scheme,
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

/// A value that cannot be used.
pub(super) struct Wrong {
    /// The key, with dots.
    key: String,
    problem: &'static str,
}

impl Wrong {
    pub(super) fn new(key: impl Into<String>, problem: &'static str) -> Self {
        Self { key: key.into(), problem }
    }
}

/// Lays the text of a file over settings.
pub(super) fn lay_over(settings: &mut Settings, path: &Path, text: &str) -> Result<(), Error> {
    let file: File = toml::from_str(text)
        .map_err(|source| Error::Parse { path: path.to_owned(), source: Box::new(source) })?;
    file.lay_over(settings).map_err(|Wrong { key, problem }| Error::Value {
        path: path.to_owned(),
        key,
        problem,
    })
}

impl File {
    fn lay_over(self, settings: &mut Settings) -> Result<(), Wrong> {
        let [usual, ..] = &mut settings.listeners[..] else {
            return Err(Wrong::new("listener", "is missing"));
        };
        usual.referer_guard = self.referer_guard.unwrap_or_default();
        usual.last_prefix_redirect = self.root.last_prefix_redirect.unwrap_or(usual.last_prefix_redirect);
        let listeners = self
            .listener
            .into_iter()
            .map(|(name, table)| listener(&name, table, usual))
            .collect::<Result<Vec<_>, _>>()?;
        if !listeners.is_empty() {
            settings.listeners = listeners;
        }
        service::lay_over(self.service, settings)?;
        if let Some(legacy) = self.legacy_owner_cookies {
            settings.legacy_owner_cookies = legacy;
        }
        settings.root = self.root.index;
        settings.compression = self.compression;
        settings.isolation = self.shared_origin.isolation();
        self.limits.lay_over(&mut settings.limits)?;
        self.timeouts.lay_over(&mut settings.timeouts)?;
        self.log.lay_over(&mut settings.log)?;
        if self.sleep.is_some() {
            settings.remarks.push("[sleep] has no effect in this version".into());
        }
        Ok(())
    }
}

/// Reads a listener; `usual` has what is said for all.
fn listener(name: &str, table: ListenerTable, usual: &Listener) -> Result<Listener, Wrong> {
    let wrong = |key, problem| Wrong::new(format!("listener.{name}.{key}"), problem);
    let bind = table.bind.parse().map_err(|_| wrong("bind", "is not <address>:<port>"))?;
    let names = |key, list: Vec<String>| {
        host_names(&list).ok_or_else(|| wrong(key, "holds something that is no host name"))
    };
    Ok(Listener {
        name: name.to_owned(),
        bind,
        client_ip: table.client_ip,
        scheme: table.scheme,
        hosts: names("hosts", table.hosts)?,
        domains: names("domains", table.domains)?,
        mode: table.mode,
        origins: origins(table.origins)
            .ok_or_else(|| wrong("origins", "holds something that is no <scheme>://<host>"))?,
        referer_guard: table.referer_guard.unwrap_or(usual.referer_guard),
        last_prefix_redirect: usual.last_prefix_redirect,
    })
}

/// Host names in the one spelling; `None` when one is none.
pub(super) fn host_names(list: &[String]) -> Option<Vec<String>> {
    list.iter()
        .map(|text| Host::parse(text).filter(|host| host.port.is_none()))
        .map(|host| host.map(|host| host.name.into_owned()))
        .collect()
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
