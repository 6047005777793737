//! The folders and files of a new guest.

use std::env::split_paths;
use std::path::Path;
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

/// What was taken over from the owner, and whether that changed anything.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Refreshed {
    pub(crate) tools_changed: bool,
    pub(crate) selection_changed: bool,
    /// The tools that were taken over.
    pub(crate) tools: Vec<String>,
    /// The tool to begin with.
    pub(crate) selected: String,
}

/// Takes the owner's public tools over into a guest that there is already.
pub(super) fn refresh(record: &Record, tools: &Tools) -> Result<Refreshed, Error> {
    let guest = record.paths();
    let (refreshed, all, selection) = refreshment(record, tools.paths, tools.env);
    if refreshed.tools_changed {
        atomic::write_json(&guest.tools(), &all)?;
    }
    if let (true, Some(selection)) = (refreshed.selection_changed, selection) {
        atomic::write_json(&guest.runtime_selection(), &selection)?;
    }
    Ok(refreshed)
}

/// Says what [`refresh`] would do: what there is to say of it, the tools and the choice.
pub(crate) fn refreshment(
    record: &Record,
    paths: &OwnerPaths,
    env: &Env,
) -> (Refreshed, Vec<Value>, Option<Value>) {
    let guest = record.paths();
    let owner = of_owner(paths, env);
    let copied = seed::tools(&owner);
    let own: Value = json(&guest.tools());
    let own_selection: Value = json(&guest.runtime_selection());
    let all = seed::merged(&own, &copied);
    let now = format!("{:.3}", Timestamp::now());
    let selection = seed::renewed_selection(&owner, &own_selection, &all, &now);
    let refreshed = Refreshed {
        tools_changed: !copied.is_empty() && own.as_array() != Some(&all),
        selection_changed: selection.as_ref().is_some_and(|new| !seed::is_same(new, &own_selection)),
        tools: copied.iter().filter_map(|tool| Some(tool["id"].as_str()?.to_owned())).collect(),
        selected: selection.as_ref().unwrap_or(&own_selection)["selectedTool"]
            .as_str()
            .unwrap_or_default()
            .to_owned(),
    };
    (refreshed, all, selection)
}

/// A damaged file seeds nothing.
fn json(path: &Path) -> Value {
    atomic::read_json::<Value>(path).ok().flatten().unwrap_or_default()
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
    seed::Owner {
        tools: json(&owner.instance().tools()),
        selection: json(&owner.instance().runtime_selection()),
        codex_model: codex.and_then(|config| seed::codex_model(&config)),
        has_codex: env
            .get("PATH")
            .is_some_and(|path| split_paths(path).any(|folder| folder.join("codex").is_file())),
    }
}
