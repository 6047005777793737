//! Webhooks: telling the owner's other programs that a run has ended.
//!
//! The hooks are in `webhooks.json`. What is to be delivered is in `webhooks/outbox/`, a file each, written in
//! the same transaction that ends the run: a server that dies at any moment leaves deliveries that the next
//! one makes. They are made at least once; the receiver tells a repeated one by its id.

mod deliver;
mod delivery;
mod hook;
mod outbox;
mod signature;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use remotelab_config::{InstancePaths, atomic};
use remotelab_protocol::Run;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::sync::Notify;

use crate::records;
pub(crate) use deliver::deliver_for_ever;
pub(crate) use delivery::Delivery;
pub(crate) use hook::{Event, Hook, Invalid, Wanted};
use outbox::Outbox;

/// How many hooks there may be: each is written with every run that ends.
const MOST: usize = 20;

/// Why the hooks were not changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("Webhook not found")]
    NotFound,
    #[error("there are {MOST} webhooks already; delete one first")]
    TooMany,
    #[error(transparent)]
    Invalid(#[from] Invalid),
    #[error(transparent)]
    File(#[from] atomic::Error),
}

/// The webhooks of an instance.
#[derive(Debug)]
pub(crate) struct Webhooks {
    path: PathBuf,
    /// As the file has them.
    hooks: ArcSwap<Hooks>,
    /// Held while the file is written.
    changing: Mutex<()>,
    outbox: Mutex<Outbox>,
    /// Something may be due earlier than it was.
    changed: Notify,
}

#[derive(Clone, Debug, Default)]
struct Hooks {
    webhooks: Vec<Hook>,
    /// What is in the list and is no hook of this version; kept there.
    other: Vec<Value>,
    /// What stands beside the list.
    rest: Map<String, Value>,
}

/// The file.
#[derive(Default, Serialize, Deserialize)]
struct Stored {
    #[serde(default)]
    webhooks: Vec<Value>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

impl Webhooks {
    /// Reads the hooks and what waits to be delivered. What cannot be understood of it stops nothing. Blocks.
    pub(crate) fn open(paths: &InstancePaths) -> Result<Self, atomic::Error> {
        let path = paths.config().join("webhooks.json");
        let Stored { webhooks, rest } = records::read_or_put_aside(&path)?.unwrap_or_default();
        let (webhooks, other) = records::understood(webhooks, "webhook");
        let hooks = Hooks { webhooks, other, rest };
        Ok(Self {
            outbox: Mutex::new(Outbox::open(paths.config())),
            hooks: ArcSwap::from_pointee(hooks),
            changing: Mutex::default(),
            changed: Notify::new(),
            path,
        })
    }

    /// All hooks, in the order of their creation.
    pub(crate) fn list(&self) -> Vec<Hook> {
        self.hooks.load().webhooks.clone()
    }

    /// How many deliveries of a hook wait, and why the first of them failed last.
    pub(crate) fn waiting(&self, hook: &str) -> (usize, Option<String>) {
        self.outbox().waiting(hook)
    }

    /// Adds a hook. Blocks.
    pub(crate) fn create(&self, wanted: Wanted) -> Result<Hook, Error> {
        let hook = Hook::new(wanted)?;
        self.change(|hooks| {
            if hooks.len() >= MOST {
                return Err(Error::TooMany);
            }
            hooks.push(hook.clone());
            Ok(hook)
        })
    }

    /// Removes a hook and returns it. What waits for it is dropped when it is due. Blocks.
    pub(crate) fn delete(&self, id: &str) -> Result<Hook, Error> {
        self.change(|hooks| {
            let at = hooks.iter().position(|hook| hook.id == id).ok_or(Error::NotFound)?;
            Ok(hooks.remove(at))
        })
    }

    /// Returns the deliveries that the end of a run makes necessary. They are to be written with it.
    pub(crate) fn deliveries(&self, run: &Run) -> Vec<Delivery> {
        let Some(event) = Event::of(run.state) else {
            return Vec::new();
        };
        let hooks = self.hooks.load();
        let wanted = hooks.webhooks.iter().filter(|hook| hook.events.contains(&event));
        let mut room = self.outbox().room();
        let deliveries = wanted.filter(|hook| {
            let fits = room > 0;
            room = room.saturating_sub(1);
            if !fits {
                tracing::error!(webhook.id = %hook.id, run.id = %run.id, "too many deliveries wait; this one is dropped");
            }
            fits
        });
        deliveries.map(|hook| Delivery::new(hook, event, run)).collect()
    }

    /// Makes deliveries that are written.
    pub(crate) fn post(&self, deliveries: Vec<Delivery>) {
        if deliveries.is_empty() {
            return;
        }
        let mut outbox = self.outbox();
        deliveries.into_iter().for_each(|delivery| outbox.put(delivery));
        drop(outbox);
        self.changed.notify_one();
    }

    fn hook(&self, id: &str) -> Option<Hook> {
        self.hooks.load().webhooks.iter().find(|hook| hook.id == id).cloned()
    }

    /// Changes the file, and what others see once it is durable.
    fn change<T>(&self, change: impl FnOnce(&mut Vec<Hook>) -> Result<T, Error>) -> Result<T, Error> {
        let _turn = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut hooks = Hooks::clone(&self.hooks.load());
        let outcome = change(&mut hooks.webhooks)?;
        atomic::write_json(&self.path, &hooks.stored())?;
        self.hooks.store(Arc::new(hooks));
        Ok(outcome)
    }

    /// Tells whether a delivery waits.
    pub(crate) fn waits(&self) -> bool {
        !self.outbox().is_empty()
    }

    fn outbox(&self) -> MutexGuard<'_, Outbox> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Hooks {
    fn stored(&self) -> Stored {
        let hooks =
            self.webhooks.iter().map(|hook| serde_json::to_value(hook).expect("a hook is texts alone"));
        Stored { webhooks: hooks.chain(self.other.iter().cloned()).collect(), rest: self.rest.clone() }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_damaged_or_newer_costs_itself() {
        let root = tempfile::tempdir().unwrap();
        let paths = InstancePaths::below(root.path());
        std::fs::create_dir_all(paths.config()).unwrap();
        let file = paths.config().join("webhooks.json");
        let hook = |id: &str, events: Value| json!({"id": id, "url": "http://127.0.0.1:9/", "events": events, "createdAt": "t", "secret": "s"});
        let good = hook("hook_1", json!(["run.failed"]));
        let newer = hook("hook_2", json!(["run.paused"]));
        std::fs::write(&file, json!({"webhooks": [newer, good, 7], "version": 2}).to_string()).unwrap();
        let hooks = Webhooks::open(&paths).unwrap();
        assert_eq!(hooks.list().iter().map(|hook| hook.id.as_str()).collect::<Vec<_>>(), ["hook_1"]);

        let wanted = Wanted { url: "http://127.0.0.1:9/".into(), ..Wanted::default() };
        let made = serde_json::to_value(hooks.create(wanted).unwrap()).unwrap();
        let written: Value = atomic::read_json(&file).unwrap().unwrap();
        assert_eq!(written, json!({"webhooks": [good, made, newer, 7], "version": 2}));

        for damaged in ["{\"web", "[]", r#"{"webhooks": 7}"#] {
            std::fs::write(&file, damaged).unwrap();
            assert_eq!(Webhooks::open(&paths).unwrap().list(), []);
            let names = std::fs::read_dir(paths.config()).unwrap().flatten();
            let kept: Vec<_> = names
                .filter(|entry| entry.file_name().to_string_lossy().starts_with("webhooks.json.damaged-"))
                .collect();
            let [kept] = kept.as_slice() else { panic!("{kept:?}") };
            assert_eq!(std::fs::read_to_string(kept.path()).unwrap(), damaged);
            std::fs::remove_file(kept.path()).unwrap();
        }
    }
}
