//! Ending what killed commands have left half-way, by whoever comes next.

use std::fs;
use std::path::PathBuf;

use remotelab_config::lock::FileLock;
use remotelab_config::registry::{self, Record, Registry, State};
use remotelab_config::{InstanceName, OwnerPaths};

use super::journal::{self, Found, Journal};
use super::plan::{Plan, Verb, Way};
use super::step::Step;
use super::{Error, Progress, Tools, apply};

/// Ends every operation whose command has died. Those at work hold their journals and are left alone. What
/// cannot be ended now stays for the next command and keeps nobody else from working. `tell` hears of it.
///
/// # Errors
/// When the registry cannot be read or written.
pub fn recover(tools: &Tools, tell: &mut dyn FnMut(Progress<'_>)) -> Result<(), registry::Error> {
    for path in journals(tools.paths) {
        match Journal::find(&path) {
            Ok(Found::Dead(journal)) => end(*journal, tools, tell),
            Ok(Found::AtWork | Found::Nothing) => {}
            Err(error) => tracing::warn!(%error, "cannot use {}", path.display()),
        }
    }
    for journal in adopt(tools.paths)? {
        end(journal, tools, tell);
    }
    Ok(())
}

fn end(journal: Journal, tools: &Tools, tell: &mut dyn FnMut(Progress<'_>)) {
    let guest = journal.plan().guest().clone();
    match journal.way() {
        Way::Back => {
            tracing::info!("undoing what was begun with {guest}");
            if let Err(left) = apply::undo(journal, tools, "the command was cut off", tell) {
                tracing::warn!("cannot undo all that was begun with {guest}: {}", left.join("; "));
            }
        }
        Way::On => {
            tracing::info!("going on with what was begun with {guest}");
            if let Err(error) = apply::run(journal, tools, tell) {
                tracing::warn!(error = &error as &dyn std::error::Error, "cannot end what was begun");
            }
        }
    }
}

fn journals(paths: &OwnerPaths) -> Vec<PathBuf> {
    let entries = fs::read_dir(journal::folder(paths)).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|end| end == "jsonl"))
        .collect()
}

/// Takes over guests that an earlier version has left half made, without a journal.
fn adopt(paths: &OwnerPaths) -> Result<Vec<Journal>, registry::Error> {
    let is_half =
        |record: &Record| record.state == State::Creating && !journal::path_of(paths, &record.name).exists();
    // Looking first keeps the usual case free of locks and writes.
    if !Registry::load(&paths.registry())?.guests.iter().any(is_half) {
        return Ok(Vec::new());
    }
    // Under the lock: a create that ends meanwhile has made its guest ready before its journal goes.
    Registry::update(&paths.registry(), |registry| {
        let halves = registry.guests.iter().filter(|record| is_half(record) && !is_at_work(paths, record));
        let journals = halves.map(|record| {
            let steps = vec![Step::Reserve, Step::Furnish { login: None }, Step::Start, Step::Publish];
            let plan = Plan { verb: Verb::Create, record: record.clone(), steps, commit: 3 };
            let mut journal = Journal::create(paths, plan)?;
            journal.advance()?;
            journal.advance()?;
            Ok::<_, Error>(journal)
        });
        let adopted = journals.filter_map(|journal| {
            journal.inspect_err(|error| tracing::warn!(%error, "cannot clear up a half made guest")).ok()
        });
        Ok(adopted.collect())
    })
}

/// Held by a create of an earlier version that is at work.
fn lock_of_older_create(paths: &OwnerPaths, name: &InstanceName) -> PathBuf {
    paths.runtime().join(format!("create-{name}.lock"))
}

fn is_at_work(paths: &OwnerPaths, record: &Record) -> bool {
    let lock = lock_of_older_create(paths, &record.name);
    // What cannot be asked may be at work.
    let held = FileLock::is_held(&lock).unwrap_or(true);
    if !held {
        let _ = fs::remove_file(lock);
    }
    held
}
