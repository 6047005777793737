//! Which guests there are to converge: those of the registry, and those that only a service definition knows.

use std::collections::BTreeMap;
use std::fs;
use std::time::SystemTime;

use remotelab_config::registry::{Record, Registry, State};
use remotelab_config::{InstanceName, InstancePaths, atomic};
use remotelab_executor::runner;
use serde_json::json;

use super::super::{Error, Guests, links, tunnel};
use crate::definition::{self, Definition};

/// One guest.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) record: Record,
    /// What the system's service manager runs for it, if that does.
    pub(super) definition: Option<Definition>,
}

/// Finds all of them, in natural order of their names.
pub(super) fn find(guests: &Guests) -> Result<Vec<Target>, Error> {
    let registry = Registry::load(&guests.paths.registry())?;
    let rules = tunnel::load(guests.paths.home())?;
    let mut targets: BTreeMap<InstanceName, Target> = registry
        .guests
        .into_iter()
        .filter(|record| record.state == State::Ready)
        .map(|record| (record.name.clone(), Target { record, definition: None }))
        .collect();
    for found in definition::agents(guests.paths.home()) {
        let hostname = rules.iter().find(|rule| rule.port == Some(found.port));
        let hostname = hostname.map_or("", |rule| rule.hostname.as_str());
        let known = targets.remove(&found.name).map(|target| target.record);
        if let Some(record) = known.or_else(|| record_of(&found, hostname, guests)) {
            targets.insert(found.name.clone(), Target { record, definition: Some(found) });
        }
    }
    Ok(targets.into_values().collect())
}

/// What the registry would say of a guest.
fn record_of(found: &Definition, hostname: &str, guests: &Guests) -> Option<Record> {
    let root = match found.environment.get("REMOTELAB_INSTANCE_ROOT") {
        Some(root) if !root.is_empty() => root.into(),
        _ => guests.paths.guest_root(&found.name),
    };
    let paths = InstancePaths::below(&root);
    let id = atomic::read(&paths.instance_id()).ok().flatten().unwrap_or_default();
    let row = json!({
        "name": found.name,
        "label": found.label,
        "port": found.port,
        "hostname": hostname,
        "instanceRoot": root,
        "configDir": paths.config(),
        "memoryDir": paths.memory(),
        "launchAgentPath": found.path,
        "logPath": found.stdout,
        "errorLogPath": found.stderr,
        "publicBaseUrl": links::public_base(hostname),
        "localBaseUrl": links::local_base(found.port),
        "id": String::from_utf8_lossy(&id).trim(),
    });
    serde_json::from_value(row).ok()
}

impl Target {
    /// Whether a run of it is under way.
    pub(super) fn is_at_work(&self) -> bool {
        let runs = fs::read_dir(self.record.paths().chat_runs()).into_iter().flatten().flatten();
        runs.map(|entry| entry.path()).any(|run| runner::is_alive(&run).unwrap_or(false))
    }

    /// When its sessions last changed; nobody has used one without any.
    pub(super) fn used_at(&self) -> Option<SystemTime> {
        fs::metadata(self.record.paths().chat_sessions()).and_then(|data| data.modified()).ok()
    }
}
