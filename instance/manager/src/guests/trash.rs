//! What is left of deleted guests, and how one comes back.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use remotelab_config::instance_name::natural_cmp;
use remotelab_config::registry::{Record, Registry, State};
use remotelab_config::{InstanceName, InstancePaths, OwnerPaths, atomic};
use serde_json::{Value, json};

use super::create::{Name, check_root, choose_name};
use super::lifecycle::warnings;
use super::{Changed, Error, Guests, create, links, port};
use crate::operation::audit;
use crate::operation::trash::{Note, places, remove, remove_leavings};
use crate::operation::{self, Move, Plan, Progress, Step, Verb};
use crate::outside::Outside;
use crate::supervisor::guest_log;

/// A deleted guest.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// What the trash calls it.
    pub id: String,
    /// Where its files are.
    pub folder: PathBuf,
    note: Note,
}

impl Entry {
    /// What its name was.
    #[must_use]
    pub fn name(&self) -> &InstanceName {
        &self.note.record.name
    }

    /// One line of `trash list`.
    #[must_use]
    pub fn line(&self) -> String {
        format!("{}\t{}\t{}", self.id, self.name(), self.note.deleted_at)
    }

    /// The same for programs.
    #[must_use]
    pub fn json(&self) -> Value {
        json!({
            "entry": self.id,
            "name": self.name(),
            "deletedAt": self.note.deleted_at,
            "hostname": self.note.record.hostname,
            "port": self.note.record.port,
            "folder": self.folder,
        })
    }

    fn is_older_than(&self, age: Duration) -> bool {
        let deleted: Option<Timestamp> = self.note.deleted_at.parse().ok();
        // What cannot be told is kept, unless everything is to go.
        age.is_zero() || deleted.is_some_and(|at| Timestamp::now().duration_since(at).unsigned_abs() >= age)
    }
}

impl Guests {
    /// Lists the trash, in natural order.
    ///
    /// # Errors
    /// When a note cannot be read.
    pub fn trash(&self) -> Result<Vec<Entry>, Error> {
        Ok(entries(&self.paths)?)
    }

    /// Removes what was deleted at least this long ago, for good, and returns it.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn empty_trash(&self, older_than: Duration) -> Result<Vec<Entry>, Error> {
        remove_leavings(&self.paths)?;
        let mut entries = entries(&self.paths)?;
        entries.retain(|entry| entry.is_older_than(older_than));
        for entry in &entries {
            remove(&self.paths, &entry.id)?;
            audit::note(&self.paths, &self.env, "trash empty", entry.name(), &audit::Result::Done);
        }
        Ok(entries)
    }

    /// Brings a deleted guest back, under another name if one is given. It is another guest to the outside:
    /// its id is new, and its port when that is taken. `which` is an entry of the trash, or the name of a guest
    /// that was deleted once.
    ///
    /// # Errors
    /// See [`create::Error`]; the trash is as it was then.
    pub fn restore(
        &self,
        which: &str,
        name: Option<&str>,
        outside: Outside<'_>,
        tell: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Changed, create::Error> {
        let tools = self.tools(outside);
        operation::recover(&tools, &mut |_| {})?;
        let entry = self.find(which)?;
        let surroundings = self.surroundings()?;
        let journal = operation::begin(&self.paths, |registry| {
            let wanted = Name::Given(name.unwrap_or(entry.name().as_str()).to_owned());
            let name = choose_name(&wanted, registry, &surroundings.discovered)?;
            let reserved = self.reserved_ports(registry, &surroundings.discovered, &surroundings.rules);
            let old = entry.note.record.port;
            let port = match port::choose(Some(old), port::FIRST, &reserved, port::is_free) {
                Err(_) => port::choose(None, self.first_port(), &reserved, port::is_free)?,
                port => port?,
            };
            plan(&entry, name, port, registry, &self.paths)
        })?;
        let name = journal.plan().guest().clone();
        let skipped = operation::run(journal, &tools, tell)?;
        let mut view = self.link(&name)?;
        view.local_reachable = Some(!skipped.iter().any(|(step, _)| *step == Step::Start));
        Ok(Changed { view, warnings: warnings(&skipped) })
    }

    fn find(&self, which: &str) -> Result<Entry, create::Error> {
        let mut found = entries(&self.paths)?;
        found.retain(|entry| entry.id == which || entry.name().as_str() == which);
        match found.len() {
            0 => Err(create::Error::NotInTrash(which.to_owned())),
            1 => Ok(found.remove(0)),
            _ => Err(create::Error::Several(which.to_owned())),
        }
    }
}

fn plan(
    entry: &Entry,
    name: InstanceName,
    port: u16,
    registry: &Registry,
    paths: &OwnerPaths,
) -> Result<Plan, create::Error> {
    let old = &entry.note.record;
    if !old.hostname.is_empty() && registry.guests.iter().any(|other| other.hostname == old.hostname) {
        return Err(create::Error::HostnameTaken(old.hostname.clone()));
    }
    let log = guest_log(paths, &name);
    let mut record = Record {
        label: format!("remotelab-guest@{name}"),
        port,
        local_base_url: links::local_base(port),
        log_path: log.clone(),
        error_log_path: log,
        id: hex::encode(rand::random::<[u8; 16]>()),
        state: State::Creating,
        stopped: false,
        name,
        ..old.clone()
    };
    // What lay inside of the root's folder comes out of it before that goes back.
    let mut moves: Vec<Move> = entry.note.moves.iter().rev().map(Move::reversed).collect();
    let only = moves.len() == 1 && moves[0].to == old.instance_root;
    // Sessions know their folders by their paths, so the old place is the best.
    if let Err(error) = moves.iter().try_for_each(|step| check_root(&step.to, registry)) {
        let elsewhere = paths.guest_root(&record.name);
        if !only || check_root(&elsewhere, registry).is_err() {
            return Err(error);
        }
        moves[0].to.clone_from(&elsewhere);
        place(&mut record, elsewhere);
    }
    let bring = Step::Bring { entry: entry.id.clone(), moves };
    let clear = Step::ClearTrash { entry: entry.id.clone() };
    let steps = vec![Step::Reserve, bring, Step::Start, Step::Publish, clear, Step::Route];
    Ok(Plan { verb: Verb::Restore, record, steps, commit: 3 })
}

/// Puts the record's folders below another root.
fn place(record: &mut Record, root: PathBuf) {
    let paths = InstancePaths::below(&root);
    paths.config().clone_into(&mut record.config_dir);
    paths.memory().clone_into(&mut record.memory_dir);
    record.mailbox_root = paths.mailbox();
    record.auth_file = paths.auth();
    record.instance_root = root;
}

fn entries(paths: &OwnerPaths) -> Result<Vec<Entry>, atomic::Error> {
    let mut entries = Vec::new();
    for file in fs::read_dir(paths.trash()).into_iter().flatten().flatten() {
        let file = file.path();
        let id = file.file_name().and_then(|name| name.to_str()?.strip_suffix(".json"));
        let Some(id) = id.filter(|id| !id.starts_with('.')) else {
            continue;
        };
        if let Some(note) = note(&file)? {
            let [folder, ..] = places(paths, id);
            entries.push(Entry { id: id.to_owned(), folder, note });
        }
    }
    entries.sort_by(|a, b| natural_cmp(&a.id, &b.id));
    Ok(entries)
}

fn note(file: &Path) -> Result<Option<Note>, atomic::Error> {
    atomic::read_json(file)
}
