//! Where each instance's mailbox, chat server and settings are. Everything is read at the moment of
//! use: a guest that was just made has a mailbox, a removed one has none.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use remotelab_config::registry::{self, Record, Registry, State};
use remotelab_config::{InstanceName, atomic};
use serde::de::DeserializeOwned;

use crate::address::Address;
use crate::allowlist::Allowlist;
use crate::identity::Identity;
use crate::recipient::Guest;
use crate::settings::{Automation, Bridge, Outbound, Policy};

/// The roots that a mail service works with.
#[derive(Clone, Debug)]
pub struct Places {
    /// The owner's configuration folder.
    pub owner_config: PathBuf,
    /// The owner's mailbox root, normally `<owner_config>/agent-mailbox`.
    pub owner_root: PathBuf,
    /// `guest-instances.json`.
    pub registry: PathBuf,
    /// The owner's chat server, when the caller knows it; otherwise `automation.json` says.
    pub owner_base_url: Option<String>,
}

/// One instance as mail sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// `None` is the owner.
    pub(crate) name: Option<InstanceName>,
    pub(crate) root: PathBuf,
    pub(crate) config: PathBuf,
    pub(crate) base_url: String,
    pub(crate) auth_file: PathBuf,
}

/// The settings that count for one instance, read together.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// `None` before `mail init`.
    pub(crate) identity: Option<Identity>,
    pub(crate) allowlist: Allowlist,
    pub(crate) automation: Automation,
    pub(crate) outbound: Outbound,
    pub(crate) policy: Policy,
}

/// Why settings could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A settings file.
    #[error(transparent)]
    File(#[from] atomic::Error),
    /// The list of guests.
    #[error(transparent)]
    Registry(#[from] registry::Error),
}

impl Places {
    /// Takes the usual places below the owner's configuration folder.
    #[must_use]
    pub fn below(owner_config: &Path) -> Self {
        Self {
            owner_config: owner_config.to_owned(),
            owner_root: owner_config.join("agent-mailbox"),
            registry: owner_config.join("guest-instances.json"),
            owner_base_url: None,
        }
    }

    /// Reads all settings that count for an instance: its own files, else the owner's. Secrets stay
    /// where they are.
    pub(crate) fn settings(&self, place: &Place) -> Result<Settings, Error> {
        Ok(Settings {
            identity: self.identity()?,
            allowlist: self.inherited(place, "allowlist.json")?.unwrap_or_default(),
            automation: self.inherited(place, "automation.json")?.unwrap_or_default(),
            outbound: self.inherited(place, "outbound.json")?.unwrap_or_default(),
            policy: self.policy(place)?,
        })
    }

    /// Reads what counts for an instance as to senders and amounts.
    pub(crate) fn policy(&self, place: &Place) -> Result<Policy, Error> {
        Ok(self.inherited(place, "policy.json")?.unwrap_or_default())
    }

    /// Reads the identity; `None` before `mail init`.
    pub(crate) fn identity(&self) -> Result<Option<Identity>, Error> {
        let identity: Option<Identity> = read(&self.owner_root, "identity.json")?;
        Ok(identity.map(Identity::normalised))
    }

    pub(crate) fn bridge(&self) -> Result<Option<Bridge>, Error> {
        read(&self.owner_root, "bridge.json")
    }

    /// The instance of a name, `None` for the owner. A guest that is being removed is not found.
    pub(crate) fn find(&self, name: Option<&InstanceName>) -> Result<Option<Place>, Error> {
        let Some(name) = name else {
            return self.owner().map(Some);
        };
        Ok(self.records()?.iter().find(|record| record.name == *name).map(place))
    }

    /// All instances, the owner first.
    pub(crate) fn all(&self) -> Result<Vec<Place>, Error> {
        let mut all = vec![self.owner()?];
        all.extend(self.records()?.iter().map(place));
        Ok(all)
    }

    /// The guests as routing sees them.
    pub(crate) fn guests(&self) -> Result<Vec<Guest>, Error> {
        Ok(self.records()?.iter().map(guest).collect())
    }

    fn inherited<T: DeserializeOwned>(&self, place: &Place, file: &str) -> Result<Option<T>, Error> {
        match read(&place.root, file)? {
            Some(own) => Ok(Some(own)),
            None => read(&self.owner_root, file),
        }
    }

    fn owner(&self) -> Result<Place, Error> {
        let automation: Automation = read(&self.owner_root, "automation.json")?.unwrap_or_default();
        let auth_file = match automation.auth_file.as_str() {
            "" => self.owner_config.join("auth.json"),
            path => PathBuf::from(path),
        };
        Ok(Place {
            name: None,
            root: self.owner_root.clone(),
            config: self.owner_config.clone(),
            base_url: self.owner_base_url.clone().unwrap_or(automation.chat_base_url),
            auth_file,
        })
    }

    fn records(&self) -> Result<Vec<Record>, Error> {
        let mut guests = Registry::load(&self.registry)?.guests;
        guests.retain(|record| record.state != State::Deleting);
        Ok(guests)
    }
}

impl Place {
    /// Returns what waits in the instance to be carried elsewhere, by the names of its files: whether there is
    /// anything to ask for. Blocks.
    pub(crate) fn waiting(&self) -> Vec<OsString> {
        let files = std::fs::read_dir(self.config.join("completions")).into_iter().flatten().flatten();
        let mut names: Vec<OsString> = files.map(|file| file.file_name()).collect();
        names.retain(|name| Path::new(name).extension().is_some_and(|end| end == "json"));
        names.sort();
        names
    }

    /// The instance's name in rows; empty for the owner.
    pub(crate) fn label(&self) -> &str {
        self.name.as_ref().map_or("", InstanceName::as_str)
    }
}

/// A guest's token and address come from its record alone, never from a file that may have been
/// copied from another instance.
fn place(record: &Record) -> Place {
    let paths = record.paths();
    let or = |path: &Path, default: PathBuf| {
        if path.as_os_str().is_empty() { default } else { path.to_owned() }
    };
    let base_url = match record.local_base_url.as_str() {
        "" => format!("http://127.0.0.1:{}", record.port),
        url => url.to_owned(),
    };
    Place {
        name: Some(record.name.clone()),
        root: or(&record.mailbox_root, paths.mailbox()),
        config: paths.config().to_owned(),
        base_url,
        auth_file: or(&record.auth_file, paths.auth()),
    }
}

fn guest(record: &Record) -> Guest {
    let text = |key: &str| record.rest.get(key).and_then(|value| value.as_str());
    let list = record.rest.get("mailboxAliases").and_then(|value| value.as_array());
    let aliases = list.into_iter().flatten().filter_map(|value| value.as_str());
    Guest {
        name: record.name.clone(),
        aliases: aliases.chain(text("mailboxAlias")).filter_map(InstanceName::normalise).collect(),
        address: text("mailboxAddress").and_then(|text| Address::parse(text).ok()),
    }
}

fn read<T: DeserializeOwned>(root: &Path, file: &str) -> Result<Option<T>, Error> {
    Ok(atomic::read_json(&root.join(file))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_is_found_by_its_record_and_inherits_settings_by_reference() {
        let folder = tempfile::tempdir().unwrap();
        let places = Places::below(folder.path());
        let guests = serde_json::json!([
            {"name": "trial1", "port": 7701, "instanceRoot": folder.path().join("t1"), "mailboxAliases": ["front"]},
            {"name": "trial2", "port": 7702, "instanceRoot": folder.path().join("t2"), "state": "deleting"},
        ]);
        std::fs::write(&places.registry, guests.to_string()).unwrap();
        let name = InstanceName::normalise("trial1").unwrap();
        let place = places.find(Some(&name)).unwrap().unwrap();
        assert_eq!(place.base_url, "http://127.0.0.1:7701");
        assert_eq!(place.auth_file, folder.path().join("t1/config/auth.json"));
        assert_eq!(place.root, folder.path().join("t1/config/agent-mailbox"));
        assert_eq!(places.guests().unwrap()[0].aliases[0].as_str(), "front");
        assert_eq!(places.find(InstanceName::normalise("trial2").as_ref()).unwrap(), None);

        std::fs::create_dir_all(&places.owner_root).unwrap();
        std::fs::write(places.owner_root.join("allowlist.json"), r#"{"allowedEmails":["a@b.c"]}"#).unwrap();
        assert_eq!(places.settings(&place).unwrap().allowlist.allowed_emails, ["a@b.c"]);
        std::fs::create_dir_all(&place.root).unwrap();
        std::fs::write(place.root.join("allowlist.json"), "{}").unwrap();
        assert!(places.settings(&place).unwrap().allowlist.allowed_emails.is_empty());
    }
}
