//! Triggers: messages that are delivered to a session at a time.
//!
//! They are in `chat-triggers.json`, which is written whole and durably before a change counts. Delivery
//! claims a trigger there first and submits its message under a key of its own, so that a server that dies
//! at any moment leaves a trigger which the next one delivers, once.

mod deliver;
mod trigger;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use jiff::Timestamp;
use remotelab_config::{InstancePaths, atomic};
use serde::Serialize;
use serde_json::Value;
use tokio::sync::Notify;

use crate::records;
pub(crate) use deliver::deliver_when_due;
pub(crate) use trigger::{Edit, Fixed, Trigger, Wanted, is_id};

/// How many there may be that are to come or switched off: the file is written whole at each change.
const MOST: usize = 2_000;
/// How many are kept of those that have ended.
const ENDED: usize = 1_000;

/// Why a change of triggers was refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("Trigger not found")]
    NotFound,
    #[error("{MOST} triggers are still to come or switched off; delete some of them first")]
    TooMany,
    #[error(transparent)]
    Fixed(#[from] Fixed),
    #[error(transparent)]
    Store(#[from] atomic::Error),
}

/// The triggers of an instance.
#[derive(Debug)]
pub(crate) struct Triggers {
    path: PathBuf,
    /// As the file has them.
    stored: ArcSwap<Stored>,
    /// Held while the file is written.
    changing: Mutex<()>,
    /// Something may be due earlier than it was.
    changed: Notify,
}

#[derive(Clone, Debug, Default)]
struct Stored {
    triggers: Vec<Trigger>,
    /// What is in the file and cannot be read as a trigger; kept there.
    other: Vec<Value>,
}

impl Triggers {
    /// Reads the triggers of an instance. A file that is no list is put aside, never overwritten. Blocks.
    pub(crate) fn open(paths: &InstancePaths) -> Result<Self, atomic::Error> {
        let path = paths.config().join("chat-triggers.json");
        let list = records::read_or_put_aside(&path)?.unwrap_or_default();
        let (triggers, other) = records::understood(list, "trigger");
        Ok(Self {
            path,
            stored: ArcSwap::from_pointee(Stored { triggers, other }),
            changing: Mutex::default(),
            changed: Notify::new(),
        })
    }

    /// All triggers, those of one session if one is named, in the order of lists.
    pub(crate) fn list(&self, session: Option<&str>) -> Vec<Trigger> {
        let stored = self.stored.load();
        let of_session = |trigger: &&Trigger| session.is_none_or(|id| id == trigger.session_id);
        let mut list: Vec<Trigger> = stored.triggers.iter().filter(of_session).cloned().collect();
        list.sort_by(Trigger::order);
        list
    }

    /// When the next one is due.
    pub(crate) fn next_due(&self) -> Option<Timestamp> {
        self.stored.load().triggers.iter().filter_map(Trigger::due_at).min()
    }

    pub(crate) fn get(&self, id: &str) -> Result<Trigger, Error> {
        let stored = self.stored.load();
        stored.triggers.iter().find(|trigger| trigger.id == id).cloned().ok_or(Error::NotFound)
    }

    /// Adds a trigger, or returns the one that the same request made before. Blocks.
    pub(crate) fn create(&self, wanted: Wanted, now: Timestamp) -> Result<Trigger, Error> {
        self.change(|triggers| {
            let again = wanted.request_id.as_ref().and_then(|id| {
                triggers.iter().find(|trigger| trigger.creation_request_id.as_ref() == Some(id))
            });
            if let Some(known) = again {
                return Ok(known.clone());
            }
            if triggers.iter().filter(|trigger| !trigger.has_ended()).count() >= MOST {
                return Err(Error::TooMany);
            }
            forget_ended(triggers, ENDED);
            let trigger = Trigger::new(wanted, now);
            triggers.push(trigger.clone());
            Ok(trigger)
        })
    }

    /// Changes a trigger. Blocks.
    pub(crate) fn edit(&self, id: &str, edit: Edit, now: Timestamp) -> Result<Trigger, Error> {
        self.change_one(id, |trigger| Ok(trigger.edit(edit, now)?))
    }

    /// Removes a trigger and returns it as it was. Blocks.
    pub(crate) fn delete(&self, id: &str) -> Result<Trigger, Error> {
        self.change(|triggers| {
            let at = triggers.iter().position(|trigger| trigger.id == id).ok_or(Error::NotFound)?;
            Ok(triggers.remove(at))
        })
    }

    fn change_one(
        &self,
        id: &str,
        change: impl FnOnce(&mut Trigger) -> Result<(), Error>,
    ) -> Result<Trigger, Error> {
        self.change(|triggers| {
            let trigger = triggers.iter_mut().find(|trigger| trigger.id == id).ok_or(Error::NotFound)?;
            change(trigger)?;
            Ok(trigger.clone())
        })
    }

    /// Changes the file, and what readers see once it is durable.
    fn change<T>(&self, change: impl FnOnce(&mut Vec<Trigger>) -> Result<T, Error>) -> Result<T, Error> {
        let _turn = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut stored = Stored::clone(&self.stored.load());
        let before = stored.triggers.clone();
        let outcome = change(&mut stored.triggers)?;
        if stored.triggers != before {
            atomic::write_json(&self.path, &stored)?;
            self.stored.store(Arc::new(stored));
            self.changed.notify_one();
        }
        Ok(outcome)
    }
}

impl Serialize for Stored {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        #[serde(untagged)]
        enum Entry<'a> {
            Trigger(&'a Trigger),
            Other(&'a Value),
        }
        let triggers = self.triggers.iter().map(Entry::Trigger);
        serializer.collect_seq(triggers.chain(self.other.iter().map(Entry::Other)))
    }
}

/// Removes the triggers that have ended longest ago, so that so many of those are left.
fn forget_ended(triggers: &mut Vec<Trigger>, most: usize) {
    let mut ended: Vec<_> = triggers.iter().filter(|trigger| trigger.has_ended()).collect();
    ended.sort_by_key(|trigger| (&trigger.updated_at, &trigger.id));
    let excess = ended.len().saturating_sub(most);
    let forgotten: BTreeSet<String> =
        ended.into_iter().take(excess).map(|trigger| trigger.id.clone()).collect();
    triggers.retain(|trigger| !forgotten.contains(&trigger.id));
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn paths() -> (tempfile::TempDir, InstancePaths) {
        let root = tempfile::tempdir().unwrap();
        let paths = InstancePaths::below(root.path());
        std::fs::create_dir_all(paths.config()).unwrap();
        (root, paths)
    }

    fn wanted(text: &str) -> Wanted {
        Wanted { text: text.into(), session_id: "s".into(), enabled: true, ..Wanted::default() }
    }

    #[test]
    fn what_was_said_is_there_after_a_start() {
        let (_root, paths) = paths();
        let triggers = Triggers::open(&paths).unwrap();
        let kept = triggers.create(wanted("a"), Timestamp::UNIX_EPOCH).unwrap();
        let gone = triggers.create(wanted("b"), Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(triggers.delete(&gone.id).unwrap(), gone);
        assert!(matches!(triggers.get(&gone.id), Err(Error::NotFound)));
        assert_eq!(Triggers::open(&paths).unwrap().list(None), vec![kept.clone()]);
        assert_eq!((triggers.list(Some("s")), triggers.list(Some("t"))), (vec![kept], vec![]));
    }

    #[test]
    fn the_same_request_makes_one_trigger() {
        let (_root, paths) = paths();
        let triggers = Triggers::open(&paths).unwrap();
        let again = Wanted { request_id: Some("r".into()), ..wanted("a") };
        let first = triggers.create(again.clone(), Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(triggers.create(again, Timestamp::UNIX_EPOCH).unwrap(), first);
        assert_eq!(triggers.list(None).len(), 1);
    }

    /// One that arms itself again and again is never cut off.
    #[test]
    fn those_that_have_ended_leave_room() {
        let (_root, paths) = paths();
        let file = paths.config().join("chat-triggers.json");
        let made = |number: usize, ended: bool| {
            let mut trigger =
                Trigger::new(wanted(&number.to_string()), Timestamp::from_second(number as i64).unwrap());
            if ended {
                trigger.failed("no".into(), true, Timestamp::from_second(number as i64).unwrap());
            }
            trigger
        };
        let write = |list: &[Trigger]| std::fs::write(&file, serde_json::to_vec(list).unwrap()).unwrap();
        write(&(0..MOST + ENDED).map(|number| made(number, number > 0)).collect::<Vec<_>>());
        let triggers = Triggers::open(&paths).unwrap();
        let new = triggers.create(wanted("new"), Timestamp::UNIX_EPOCH).unwrap();
        let mut texts: Vec<usize> =
            triggers.list(None).iter().filter_map(|it| it.text.parse().ok()).collect();
        texts.sort_unstable();
        assert_eq!(texts, std::iter::once(0).chain(MOST..MOST + ENDED).collect::<Vec<_>>());
        assert_eq!(Triggers::open(&paths).unwrap().get(&new.id).unwrap(), new);

        write(&(0..MOST).map(|number| made(number, false)).collect::<Vec<_>>());
        let triggers = Triggers::open(&paths).unwrap();
        assert!(matches!(triggers.create(wanted("new"), Timestamp::UNIX_EPOCH), Err(Error::TooMany)));
    }

    #[test]
    fn a_damaged_record_costs_that_record_and_a_damaged_file_is_kept() {
        let (_root, paths) = paths();
        let file = paths.config().join("chat-triggers.json");
        std::fs::write(&file, json!([{"id": 7}]).to_string()).unwrap();
        let triggers = Triggers::open(&paths).unwrap();
        triggers.create(wanted("a"), Timestamp::UNIX_EPOCH).unwrap();
        let written: Vec<Value> = atomic::read_json(&file).unwrap().unwrap();
        assert_eq!((written.len(), &written[1]), (2, &json!({"id": 7})));

        std::fs::write(&file, "[{").unwrap();
        assert_eq!(Triggers::open(&paths).unwrap().list(None), []);
        let names = std::fs::read_dir(paths.config()).unwrap();
        let aside = names
            .flatten()
            .find(|entry| entry.file_name().to_string_lossy().starts_with("chat-triggers.json.damaged-"));
        assert_eq!(std::fs::read_to_string(aside.unwrap().path()).unwrap(), "[{");
    }
}
