//! Files follow the journal: what is acknowledged need not be in them, and is there all the same.

use std::fs;
use std::path::Path;

use remotelab_config::InstancePaths;

use super::disk::{Chance, FaultyDisk};
use super::model::{Model, Step};
use super::{Past, open, scratch};
use crate::{Store, damage, journal};

fn begin() -> [Step; 3] {
    [Step::Create { key: None }, Step::Start { session: 0, request: 1 }, Step::Say { session: 0, long: true }]
}

#[test]
fn what_is_acknowledged_is_read_before_it_is_in_the_files_and_found_after_a_crash() {
    let root = scratch();
    let disk = FaultyDisk::default();
    let store = open(root.path(), &disk).unwrap();
    let mut past = Past::of(Model::default());
    assert!(past.take(&begin(), &store));
    assert_eq!((disk.renames(), records(root.path())), (0, 0));
    assert_eq!(&Model::of(&store), past.now());
    drop(store);
    disk.wait_until_unused();
    disk.lose_power(&mut Chance(1));
    assert_eq!(records(root.path()), 0);
    let store = open(root.path(), &disk).unwrap();
    past.recovered(&store);
    assert_eq!(records(root.path()), 1);
}

/// The barrier: when it is passed, others find everything in the files.
#[test]
fn what_is_carried_out_is_in_the_files() {
    let root = scratch();
    let store = open(root.path(), &FaultyDisk::default()).unwrap();
    let mut past = Past::of(Model::default());
    assert!(past.take(&begin(), &store));
    store.carry_out().wait().unwrap();
    assert_eq!(records(root.path()), 1);
    assert!(damage::scan(&InstancePaths::below(root.path())).is_empty());
    // A copy without its journal tells the same.
    let copy = scratch();
    super::copy_folder(root.path(), copy.path());
    fs::remove_dir_all(copy.path().join("config/journal")).unwrap();
    past.recovered(&open(copy.path(), &FaultyDisk::default()).unwrap());
    // Nothing is left to do.
    store.carry_out().wait().unwrap();
}

#[test]
fn a_file_that_changes_often_is_written_once() {
    let root = scratch();
    let disk = FaultyDisk::default();
    let store = open(root.path(), &disk).unwrap();
    let mut past = Past::of(Model::default());
    assert!(past.take(&begin(), &store));
    store.carry_out().wait().unwrap();
    let before = disk.renames();
    for number in 0..20 {
        assert!(past.take(&[Step::Archive { session: 0, archived: number % 2 == 0 }], &store));
    }
    store.carry_out().wait().unwrap();
    assert_eq!(disk.renames() - before, 1);
    assert_eq!(&Model::of(&store), past.now());
}

/// The disk refuses what is carried out behind the acknowledgement: nothing more is accepted, and nothing
/// acknowledged is lost.
#[test]
fn a_refusal_behind_the_acknowledgement_loses_nothing() {
    let root = scratch();
    let disk = FaultyDisk::default();
    let store = open(root.path(), &disk).unwrap();
    let mut past = Past::of(Model::default());
    disk.refuse_renames();
    assert!(past.take(&begin(), &store));
    assert!(store.accepts_writes());
    assert!(matches!(store.carry_out().wait(), Err(journal::Error::Refused(_))));
    assert!(!store.accepts_writes());
    assert_eq!(&Model::of(&store), past.now());
    assert!(!past.take(&[Step::Create { key: None }], &store));
    past.states.pop();
    assert!(store.close().is_err());
    drop(store);
    disk.wait_until_unused();
    let store = open(root.path(), &FaultyDisk::default()).unwrap();
    past.recovered(&store);
    assert!(past.take(&[Step::Create { key: None }], &store));
}

#[test]
fn the_journal_stays_small() {
    let root = scratch();
    let store = open(root.path(), &FaultyDisk::default()).unwrap();
    let mut past = Past::of(Model::default());
    assert!(past.take(&begin(), &store));
    for _ in 0..100 {
        assert!(past.take(&[Step::Say { session: 0, long: true }, Step::CarryOut], &store));
    }
    // Old files go in the background; each time that something is carried out asks for it again.
    let files = || fs::read_dir(root.path().join("config/journal")).unwrap().count();
    while files() > 4 {
        assert!(past.take(&[Step::Say { session: 0, long: false }, Step::CarryOut], &store));
    }
    assert_eq!(&Model::of(&store), past.now());
    reopened(store, root.path());
}

fn reopened(store: Store, root: &Path) {
    let before = Model::of(&store);
    store.close().unwrap();
    drop(store);
    assert_eq!(fs::read_dir(root.join("config/journal")).unwrap().count(), 0);
    assert_eq!(Model::of(&open(root, &FaultyDisk::default()).unwrap()), before);
}

/// How many sessions have a record on the disk.
fn records(root: &Path) -> usize {
    let sessions = fs::read_dir(InstancePaths::below(root).chat_history()).unwrap();
    sessions.filter(|session| session.as_ref().unwrap().path().join("session.json").exists()).count()
}
