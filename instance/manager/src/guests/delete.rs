//! Deleting a guest: nothing leads to it any more, and its files go into the trash.

use std::fs;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use remotelab_config::InstanceName;
use remotelab_config::registry::{Record, Registry};
use serde_json::{Value, json};

use super::lifecycle::warnings;
use super::{Error, Guests};
use crate::operation::{self, Move, Plan, Progress, Step, Verb, trash};
use crate::outside::Outside;

/// What becomes of a deleted guest's files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Files {
    /// They go into the trash, from which the guest can be restored.
    Trash,
    /// They are removed for good.
    Purge,
    /// They stay where they are.
    Keep,
}

/// A guest that is no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deleted {
    /// Its name.
    pub name: InstanceName,
    /// What the trash calls its files, if they are there.
    pub entry: Option<String>,
    /// What the operator should know.
    pub warnings: Vec<String>,
}

impl Deleted {
    /// What became of it, for people.
    #[must_use]
    pub fn text(&self) -> String {
        let entry = self.entry.iter().map(|entry| format!("trash: {entry}\n"));
        let warnings = self.warnings.iter().map(|warning| format!("warning: {warning}\n"));
        format!("deleted: {}\n", self.name) + &entry.chain(warnings).collect::<String>()
    }

    /// The same for programs.
    #[must_use]
    pub fn json(&self) -> Value {
        json!({"deleted": self.name, "trash": self.entry, "warnings": self.warnings})
    }
}

impl Guests {
    /// Deletes a guest. `tell` hears how far it has come.
    ///
    /// # Errors
    /// See [`Error`]. Until its files are touched, a failure leaves the guest as it was.
    pub fn delete(
        &self,
        name: &InstanceName,
        files: Files,
        outside: Outside<'_>,
        tell: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Deleted, Error> {
        let tools = self.tools(outside);
        operation::recover(&tools, &mut |_| {})?;
        let journal = operation::begin(&self.paths, |registry| self.plan_delete_in(registry, name, files))?;
        let entry = journal.plan().steps.iter().find_map(|step| match step {
            Step::Trash { entry, .. } => Some(entry.clone()),
            _ => None,
        });
        let warnings = warnings(&operation::run(journal, &tools, tell)?);
        Ok(Deleted { name: name.clone(), entry, warnings })
    }

    /// Says what [`Guests::delete`] would do, and changes nothing.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn plan_delete(&self, name: &InstanceName, files: Files) -> Result<Plan, Error> {
        self.plan_delete_in(&Registry::load(&self.paths.registry())?, name, files)
    }

    fn plan_delete_in(&self, registry: &Registry, name: &InstanceName, files: Files) -> Result<Plan, Error> {
        let record = registry.find(name).ok_or_else(|| Error::Unknown(name.clone()))?;
        let mut steps = vec![Step::Retire, Step::Stop, Step::EndRuns, Step::Route];
        steps.extend(self.way_out(&record.hostname));
        let folders = folders(record);
        if files != Files::Keep {
            folders.iter().try_for_each(|folder| self.check_own(folder, record, registry))?;
        }
        match files {
            Files::Trash => steps.push(self.to_trash(record, &folders)),
            Files::Purge => steps.push(Step::Purge { folders }),
            // Its log goes all the same: the next guest of its name has one of its own.
            Files::Keep => steps.push(Step::Purge { folders: Vec::new() }),
        }
        steps.push(Step::Drop);
        Ok(Plan { verb: Verb::Delete, record: record.clone(), steps, commit: 3 })
    }

    fn to_trash(&self, record: &Record, folders: &[PathBuf]) -> Step {
        let now = Timestamp::now();
        let stamp = now.strftime("%Y%m%dt%H%M%Sz");
        let first = format!("{}-{stamp}", record.name);
        let is_free = |entry: &String| trash::places(&self.paths, entry).iter().all(|place| !place.exists());
        let later = (2..).map(|number: u32| format!("{first}-{number}"));
        let entry = std::iter::once(first.clone()).chain(later).find(is_free).unwrap_or(first.clone());
        let [place, ..] = trash::places(&self.paths, &entry);
        let root = &record.instance_root;
        let there = folders.iter().filter(|folder| folder.symlink_metadata().is_ok());
        let moves = there.enumerate().map(|(index, folder)| Move {
            from: folder.clone(),
            to: if folder == root { place.clone() } else { place.join(format!("outside-{index}")) },
        });
        Step::Trash { entry, deleted_at: format!("{now:.3}"), moves: moves.collect() }
    }

    /// A record may be wrong, and what it names is about to go.
    fn check_own(&self, folder: &Path, record: &Record, registry: &Registry) -> Result<(), Error> {
        let owner = self.paths.instance();
        let guests = self.paths.home().join(".remotelab/instances");
        let of_owner = [self.paths.home(), owner.config(), owner.memory(), &guests].map(Path::to_owned);
        let others = registry.guests.iter().filter(|other| other.name != record.name);
        let of_others: Vec<PathBuf> = others.flat_map(folders).collect();
        let holds = |inner: &PathBuf| is_within(inner, folder);
        let is_held = of_others.iter().any(|other| is_within(folder, other));
        let unreal =
            !folder.is_absolute() || folder.parent().is_none() || is_within(&self.paths.trash(), folder);
        if unreal || is_held || of_owner.iter().chain(&of_others).any(holds) {
            return Err(Error::NotItsOwn(folder.to_owned()));
        }
        Ok(())
    }
}

/// All folders of a guest, those outside of its root after it.
fn folders(record: &Record) -> Vec<PathBuf> {
    let paths = record.paths();
    let mut folders: Vec<PathBuf> = Vec::new();
    for folder in [record.instance_root.as_path(), paths.config(), paths.memory()] {
        let is_known = folders.iter().any(|known| folder.starts_with(known));
        if !folder.as_os_str().is_empty() && !is_known {
            folders.push(folder.to_owned());
        }
    }
    folders
}

/// Tells whether a path lies in a folder, also by way of links.
fn is_within(path: &Path, folder: &Path) -> bool {
    let real = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    path.starts_with(folder) || real(path).starts_with(real(folder))
}
