//! `gateway.toml`.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::{Error, Settings, limits, main_prefix, root, timeouts};
use crate::host::Host;
use crate::listener::{ClientIp, Listener, Mode, Scheme};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    legacy_owner_cookies: Option<bool>,
    #[serde(default)]
    listener: BTreeMap<String, ListenerTable>,
    #[serde(default)]
    service: ServiceTables,
    #[serde(default)]
    root: root::Table,
    #[serde(default)]
    limits: limits::Table,
    #[serde(default)]
    timeouts: timeouts::Table,
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
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ServiceTables {
    #[serde(default)]
    owner: ServiceTable,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ServiceTable {
    prefix: Option<String>,
    port: Option<u16>,
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
        let listeners = self
            .listener
            .into_iter()
            .map(|(name, table)| listener(&name, table))
            .collect::<Result<Vec<_>, _>>()?;
        if !listeners.is_empty() {
            settings.listeners = listeners;
        }
        if let Some(prefix) = self.service.owner.prefix {
            settings.main.name = main_prefix(&prefix)
                .filter(|usable| *usable == prefix)
                .ok_or(Wrong::new("service.owner.prefix", "is not a path segment without __"))?;
        }
        if let Some(port) = self.service.owner.port {
            if port == 0 {
                return Err(Wrong::new("service.owner.port", "is not 1–65535"));
            }
            settings.main.port = port;
        }
        if let Some(legacy) = self.legacy_owner_cookies {
            settings.legacy_owner_cookies = legacy;
        }
        settings.root = self.root.index;
        self.limits.lay_over(&mut settings.limits)?;
        self.timeouts.lay_over(&mut settings.timeouts)?;
        if self.root.last_prefix_redirect == Some(true) {
            settings.remarks.push("root.last_prefix_redirect has no effect in this version".into());
        }
        if self.sleep.is_some() {
            settings.remarks.push("[sleep] has no effect in this version".into());
        }
        Ok(())
    }
}

fn listener(name: &str, table: ListenerTable) -> Result<Listener, Wrong> {
    let wrong = |key, problem| Wrong::new(format!("listener.{name}.{key}"), problem);
    let names = |key, list: Vec<String>| {
        list.iter()
            .map(|text| Host::parse(text).filter(|host| host.port.is_none()))
            .map(|host| host.map(|host| host.name.into_owned()))
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| wrong(key, "holds something that is no host name"))
    };
    Ok(Listener {
        name: name.to_owned(),
        bind: table.bind.parse().map_err(|_| wrong("bind", "is not <address>:<port>"))?,
        client_ip: table.client_ip,
        scheme: table.scheme,
        hosts: names("hosts", table.hosts)?,
        domains: names("domains", table.domains)?,
        mode: table.mode,
    })
}
