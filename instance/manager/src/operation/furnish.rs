//! The folders and files of a new guest.

use std::env::split_paths;
use std::{fs, io};

use jiff::Timestamp;
use remotelab_config::auth::{Auth, Login};
use remotelab_config::registry::Record;
use remotelab_config::secret::Secret;
use remotelab_config::{Env, OwnerPaths, atomic};
use serde_json::Value;

use super::{Error, Tools};
use crate::guests::seed;

/// Makes all of them below the guest's root.
pub(super) fn make(record: &Record, login: Option<Login>, tools: &Tools) -> Result<(), Error> {
    let guest = record.paths();
    for folder in [&record.instance_root, guest.config(), guest.memory()] {
        atomic::create_private_dir(folder)?;
    }
    let note = seed::bootstrap(record.name.as_str(), &record.hostname);
    atomic::write_private(&guest.memory().join("bootstrap.md"), note.as_bytes())?;
    let of_owner = of_owner(tools.paths, tools.env);
    let copied = seed::tools(&of_owner);
    if !copied.is_empty() {
        atomic::write_json(&guest.tools(), &copied)?;
    }
    let now = format!("{:.3}", Timestamp::now());
    if let Some(selection) = seed::selection(&of_owner, &copied, &now) {
        atomic::write_json(&guest.runtime_selection(), &selection)?;
    }
    atomic::write_private(&guest.gateway_secret(), Secret::random().reveal().as_bytes())?;
    let mut auth = Auth::generate();
    auth.login = login;
    auth.save(&guest.auth())?;
    Ok(())
}

/// Removes them. The root was absent or empty before, so all of it is the guest's.
pub(super) fn remove(record: &Record) -> Result<(), Error> {
    match fs::remove_dir_all(&record.instance_root) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(atomic::Error::new("remove", &record.instance_root, error).into())
        }
        _ => Ok(()),
    }
}

fn of_owner(owner: &OwnerPaths, env: &Env) -> seed::Owner {
    let codex = atomic::read(&owner.home().join(".codex/config.toml")).ok().flatten();
    let codex = codex.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    // A damaged file seeds nothing.
    let json = |path| atomic::read_json::<Value>(path).ok().flatten().unwrap_or_default();
    seed::Owner {
        tools: json(&owner.instance().tools()),
        selection: json(&owner.instance().runtime_selection()),
        codex_model: codex.and_then(|config| seed::codex_model(&config)),
        has_codex: env
            .get("PATH")
            .is_some_and(|path| split_paths(path).any(|folder| folder.join("codex").is_file())),
    }
}
