//! `gateway.toml`.

use std::collections::BTreeMap;
use std::path::Path;

use remotelab_config::sleep;
use serde::Deserialize;

use super::{Error, Settings, limits, listener, log, metrics, root, service, shared_origin, timeouts};
use crate::compression::Compression;
use crate::guard::RefererGuard;
use crate::host::Host;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    legacy_owner_cookies: Option<bool>,
    referer_guard: Option<RefererGuard>,
    #[serde(default)]
    compression: Compression,
    #[serde(default)]
    listener: BTreeMap<String, listener::Table>,
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
    #[serde(default)]
    metrics: metrics::Table,
    #[serde(default)]
    legacy_prefixes: BTreeMap<String, String>,
    /// For whoever keeps instances running; a mistake is noticed here, too.
    #[serde(default, rename = "sleep")]
    _sleep: sleep::Table,
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
    file.lay_over(settings, path.parent().unwrap_or(Path::new("/")))
        .map_err(|Wrong { key, problem }| Error::Value { path: path.to_owned(), key, problem })
}

impl File {
    fn lay_over(self, settings: &mut Settings, folder: &Path) -> Result<(), Wrong> {
        let [usual, ..] = &mut settings.listeners[..] else {
            return Err(Wrong::new("listener", "is missing"));
        };
        usual.referer_guard = self.referer_guard.unwrap_or_default();
        usual.last_prefix_redirect = self.root.last_prefix_redirect.unwrap_or(usual.last_prefix_redirect);
        let listeners = self
            .listener
            .into_iter()
            .map(|(name, table)| table.listener(&name, usual, folder))
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
        settings.metrics_port = self.metrics.port()?;
        let is_segment = |prefix: &&String| {
            let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-~".contains(c);
            prefix.chars().all(is_plain) && !prefix.trim_matches('.').is_empty()
        };
        if let Some(wrong) = self.legacy_prefixes.keys().find(|prefix| !is_segment(prefix)) {
            return Err(Wrong::new(format!("legacy_prefixes.{wrong}"), "is not a path segment"));
        }
        settings.legacy_prefixes = self.legacy_prefixes;
        Ok(())
    }
}

/// Host names in the one spelling; `None` when one is none.
pub(super) fn host_names(list: &[String]) -> Option<Vec<String>> {
    list.iter()
        .map(|text| Host::parse(text).filter(|host| host.port.is_none()))
        .map(|host| host.map(|host| host.name.into_owned()))
        .collect()
}
