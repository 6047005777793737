//! Where routes come from.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use remotelab_config::atomic;
use remotelab_config::registry::{self, Record, Registry, State};
use remotelab_config::secret::Secret;

use super::files::{Files, Stamp, small_file};
use super::key;
use crate::engine::live::Draft;
use crate::listener::Listener;
use crate::route::build::{Guest, Inputs, Problem, build};
use crate::route::gone::{Left, Memory, Named};
use crate::route::{Route, Table, definition};
use crate::settings::{Origin, Settings};

/// A registry of a hundred thousand guests is shorter.
const MAX_REGISTRY: u64 = 256 << 20;

/// Registry, service definitions and keys, with what is known of them.
#[derive(Debug)]
pub(crate) struct Source {
    registry: PathBuf,
    gone_file: PathBuf,
    /// What the settings say; the guests are added.
    inputs: Inputs,
    settings: Option<Arc<Origin>>,
    settings_stamp: Option<Stamp>,
    memory: Memory,
    registry_stamp: Option<Stamp>,
    definitions: Files<Option<u16>>,
    keys: Files<Option<Secret>>,
}

impl Source {
    /// Reads nothing but what was remembered before.
    pub(crate) fn new(settings: &Settings, own_ports: Vec<u16>) -> Self {
        let hosts = |listener: &Listener| listener.hosts.clone();
        let left: Option<BTreeMap<String, Left>> = atomic::read_json(&settings.gone).unwrap_or_default();
        let settings_stamp =
            settings.origin.as_ref().and_then(|origin| Stamp::of(origin.path()).filter(Stamp::is_settled));
        Self {
            settings: settings.origin.clone(),
            settings_stamp,
            registry: settings.registry.clone(),
            gone_file: settings.gone.clone(),
            inputs: Inputs {
                main: Some(settings.main.clone()),
                services: settings.services.clone(),
                guests: Vec::new(),
                own_ports,
                own_hosts: settings.listeners.iter().flat_map(hosts).collect(),
                limits: settings.limits.tenant,
                legacy: settings.legacy_prefixes.clone(),
                ..Inputs::default()
            },
            memory: Memory::new(left.unwrap_or_default()),
            registry_stamp: None,
            definitions: Files::default(),
            keys: Files::default(),
        }
    }

    /// Reads everything that changed and builds a table; `None` when nothing did. Blocks.
    ///
    /// # Errors
    /// When the registry is there and is no registry. One wrong record is not an error.
    pub(crate) fn read(&mut self) -> Result<Option<Draft>, registry::Error> {
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs();
        let before = self.memory.left().clone();
        self.memory.forget(now);
        let stamp = Stamp::of(&self.registry);
        let is_same = !self.reread_settings() && stamp.is_some() && stamp == self.registry_stamp;
        let is_same = is_same && self.definitions.are_unchanged() && self.keys.are_unchanged();
        if is_same && before == *self.memory.left() {
            return Ok(None);
        }
        self.registry_stamp = None;
        if stamp.is_some_and(|stamp| stamp.is_longer_than(MAX_REGISTRY)) {
            let error = io::Error::from(io::ErrorKind::FileTooLarge);
            return Err(atomic::Error::new("read", &self.registry, error).into());
        }
        let registry = Registry::load(&self.registry)?;
        // A file that is not there says nothing about who was removed.
        if stamp.is_some() {
            self.memory.learn(registry.guests.iter().map(named), now);
        }
        if before != *self.memory.left() {
            self.store();
        }
        let draft = self.draft(&registry.guests);
        self.registry_stamp = stamp.filter(Stamp::is_settled);
        Ok(Some(draft))
    }

    /// Takes from changed settings what routes are made of; tells whether there was any.
    fn reread_settings(&mut self) -> bool {
        let Some(origin) = &self.settings else { return false };
        let stamp = Stamp::of(origin.path());
        if stamp == self.settings_stamp {
            return false;
        }
        self.settings_stamp = stamp.filter(Stamp::is_settled);
        let settings = match origin.read() {
            Ok(settings) => settings,
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "changed settings are not used");
                return false;
            }
        };
        let fresh = Inputs {
            main: Some(settings.main),
            services: settings.services,
            limits: settings.limits.tenant,
            legacy: settings.legacy_prefixes,
            ..self.inputs.clone()
        };
        let is_other = fresh != self.inputs;
        if is_other {
            tracing::info!("changed settings hold, as far as they are about routes");
            self.inputs = fresh;
        }
        is_other
    }

    /// What is left without a registry. Blocks.
    pub(crate) fn without_guests(&mut self) -> Draft {
        self.draft(&[])
    }

    /// Folders in which service definitions are.
    pub(crate) fn folders(&self) -> BTreeSet<PathBuf> {
        self.definitions.paths().filter_map(Path::parent).map(Path::to_owned).collect()
    }

    /// Builds a table and changes nothing, here or on the disk. Blocks.
    ///
    /// # Errors
    /// See [`Source::read`].
    pub(crate) fn look(mut self) -> Result<Table, registry::Error> {
        let registry = Registry::load(&self.registry)?;
        Ok(self.table(&registry.guests).0)
    }

    fn draft(&mut self, records: &[Record]) -> Draft {
        let (table, problems) = self.table(records);
        let key =
            |route: &Arc<Route>| route.secret_file.as_ref().and_then(|path| self.keys.get(path, key::secret));
        let secrets = table.routes().iter().map(key).collect();
        self.keys.end_round();
        Draft { table, problems, secrets }
    }

    fn table(&mut self, records: &[Record]) -> (Table, Vec<Problem>) {
        let ready = records.iter().filter(|record| record.state.is_ready());
        self.inputs.guests = ready
            .map(|record| {
                let path = &record.launch_agent_path;
                let is_named = !path.as_os_str().is_empty();
                let defined = is_named.then(|| self.definitions.get(path, chat_port)).flatten();
                Guest::with_port(record, defined)
            })
            .collect();
        self.definitions.end_round();
        self.inputs.gone = self.memory.gone();
        build(&self.inputs)
    }

    /// Only a clear answer to old links depends on it, so nothing else fails with it.
    fn store(&self) {
        let stored = self
            .gone_file
            .parent()
            .map_or(Ok(()), atomic::create_private_dir)
            .and_then(|()| atomic::write_json(&self.gone_file, self.memory.left()));
        if let Err(error) = stored {
            tracing::warn!(error = &error as &dyn std::error::Error, "names that left are not remembered");
        }
    }
}

fn named(record: &Record) -> Named<'_> {
    Named { name: record.name.as_str(), host: &record.hostname, leaves: record.state == State::Deleting }
}

fn chat_port(path: &Path) -> Option<u16> {
    definition::chat_port(&small_file(path).ok()?)
}
