//! `[service.<name>]`: your own instance, which is `owner`, and other services on this machine.

use std::collections::BTreeMap;

use remotelab_config::instance_name::RESERVED;
use serde::Deserialize;

use super::file::{Wrong, host_names};
use super::{Settings, main_prefix};
use crate::route::build::Service;

/// Your own instance.
const OWNER: &str = "owner";

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Table {
    prefix: Option<String>,
    port: Option<u16>,
    #[serde(default)]
    hosts: Vec<String>,
    #[serde(default)]
    kind: Kind,
}

/// Whether it knows of prefixes.
#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    #[default]
    Native,
    Foreign,
}

/// Lays tables by name over settings.
pub(super) fn lay_over(tables: BTreeMap<String, Table>, settings: &mut Settings) -> Result<(), Wrong> {
    let (owner, others): (Vec<_>, Vec<_>) = tables.into_iter().partition(|(name, _)| name == OWNER);
    for (name, table) in owner {
        let wrong = |key, problem| Wrong::new(format!("service.{name}.{key}"), problem);
        if let Some(prefix) = table.prefix {
            settings.main.name =
                usable(&prefix).ok_or_else(|| wrong("prefix", "is not a path segment without __"))?;
        }
        if let Some(port) = table.port {
            settings.main.port = port_of(port).ok_or_else(|| wrong("port", "is not 1–65535"))?;
        }
        settings.main.foreign = table.kind == Kind::Foreign;
        settings.main.hosts = hosts(table.hosts, wrong)?;
    }
    for (name, table) in others {
        let wrong = |key, problem| Wrong::new(format!("service.{name}.{key}"), problem);
        let prefix = usable(table.prefix.as_ref().unwrap_or(&name))
            .ok_or_else(|| wrong("prefix", "is not a path segment without __"))?;
        let is_taken = prefix == settings.main.name
            || RESERVED.contains(&prefix.as_str())
            || settings.services.iter().any(|other| other.name == prefix);
        if is_taken {
            return Err(wrong("prefix", "is taken"));
        }
        let port = table.port.and_then(port_of).ok_or_else(|| wrong("port", "is not 1–65535"))?;
        let foreign = table.kind == Kind::Foreign;
        settings.services.push(Service { name: prefix, port, hosts: hosts(table.hosts, wrong)?, foreign });
    }
    Ok(())
}

fn usable(prefix: &str) -> Option<String> {
    main_prefix(prefix).filter(|usable| usable == prefix)
}

fn port_of(port: u16) -> Option<u16> {
    Some(port).filter(|port| *port != 0)
}

fn hosts(
    list: Vec<String>,
    wrong: impl Fn(&'static str, &'static str) -> Wrong,
) -> Result<Vec<String>, Wrong> {
    host_names(&list).ok_or_else(|| wrong("hosts", "holds something that is no host name"))
}
