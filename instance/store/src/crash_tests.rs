//! Crashes at every moment: what was acknowledged is there afterwards, the rest wholly or not at all.

mod behind;
mod damage;
mod disk;
mod model;

use std::path::Path;

use disk::{Chance, FaultyDisk};
use model::{Model, Step, any_step};
use proptest::prelude::*;
use remotelab_config::InstancePaths;

use crate::{Commit, Store};

/// The states a store went through, and the last one that was acknowledged.
struct Past {
    states: Vec<Model>,
    acknowledged: usize,
}

impl Past {
    fn of(state: Model) -> Self {
        Self { states: vec![state], acknowledged: 0 }
    }

    fn now(&self) -> &Model {
        self.states.last().expect("there is always a first state")
    }

    /// Takes steps without waiting in between, then waits. Returns whether all were acknowledged.
    fn take(&mut self, steps: &[Step], store: &Store) -> bool {
        let mut commits: Vec<(usize, Commit)> = Vec::new();
        for step in steps {
            let mut next = self.now().clone();
            if let Some(commit) = next.take(step, store) {
                self.states.push(next);
                commits.push((self.states.len() - 1, commit));
            }
        }
        let mut all = true;
        for (state, commit) in commits {
            match commit.wait() {
                Ok(()) => self.acknowledged = state,
                Err(_) => all = false,
            }
        }
        all
    }

    /// Asserts that a reopened store is in a state that it may be in, and goes on from there.
    fn recovered(&mut self, store: &Store) {
        let found = Model::of(store);
        let allowed = &self.states[self.acknowledged..];
        assert!(allowed.contains(&found), "found {found:#?}\nallowed {allowed:#?}");
        *self = Self::of(found);
    }
}

fn open(root: &Path, disk: &FaultyDisk) -> Result<Store, crate::Error> {
    Store::open_on(disk.clone(), &InstancePaths::below(root)).map(|(store, _)| store)
}

/// A folder in memory where there is one: these tests make thousands of stores, and what a disk does
/// with unsynced files is told by [`FaultyDisk`].
fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// Something of everything, long enough to begin new journal files. What comes behind the last time that all
/// is carried out is in the journal alone.
fn story() -> Vec<Step> {
    vec![
        Step::Create { key: Some(1) },
        Step::Create { key: None },
        Step::Start { session: 0, request: 1 },
        Step::Say { session: 0, long: true },
        Step::CarryOut,
        Step::Say { session: 1, long: false },
        Step::Queue { session: 0, request: 2 },
        Step::Finish { session: 0 },
        Step::CarryOut,
        Step::Start { session: 0, request: 3 },
        Step::Archive { session: 0, archived: true },
        Step::Create { key: Some(1) },
        Step::Rekey { session: 1, key: Some(2) },
    ]
}

/// The n-th write, sync, rename or removal fails, for every n; the disk then works on, dies, or loses
/// its power.
#[test]
fn any_operation_may_fail() {
    let healthy = FaultyDisk::default();
    let root = scratch();
    let store = open(root.path(), &healthy).unwrap();
    let mut past = Past::of(Model::default());
    assert!(story().iter().all(|step| past.take(std::slice::from_ref(step), &store)));
    store.close().unwrap();
    for nth in 0..healthy.operations() {
        for (dies, loses_power) in [(false, false), (true, false), (true, true)] {
            fail_once(nth, dies, loses_power);
        }
    }
}

fn fail_once(nth: usize, dies: bool, loses_power: bool) {
    let root = scratch();
    let disk = FaultyDisk::failing(nth, dies);
    let mut past = Past::of(Model::default());
    if let Ok(store) = open(root.path(), &disk) {
        let refused = story().iter().any(|step| !past.take(std::slice::from_ref(step), &store));
        if refused {
            assert!(!past.take(&[Step::Create { key: None }], &store), "nothing is accepted after a refusal");
            // Refused as well, so nothing may be left of it.
            past.states.pop();
            assert!(now(store.settled()).is_err(), "what was refused is told");
            now(store.refused());
        }
        let _ = store.close();
    }
    disk.wait_until_unused();
    let mut chance = Chance(nth as u64);
    if loses_power {
        disk.lose_power(&mut chance);
    }
    // The next start may fail anywhere too, or lose its power.
    let disk = FaultyDisk::failing(nth % 40, true);
    drop(open(root.path(), &disk));
    disk.wait_until_unused();
    if loses_power {
        disk.lose_power(&mut chance);
    }
    let disk = FaultyDisk::default();
    let store = open(root.path(), &disk).unwrap();
    past.recovered(&store);
    assert!(past.take(&story(), &store));
    assert_eq!(&Model::of(&store), past.now());
}

fn now<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

#[derive(Clone, Debug)]
enum Scene {
    /// Steps that are taken together.
    Steps(Vec<Step>),
    /// Killed, and started elsewhere with a copy of the folder.
    Move,
    /// Killed, with the power lost.
    PowerCut(u64),
    Restart,
    Export,
}

fn any_scene() -> impl Strategy<Value = Scene> {
    prop_oneof![
        6 => proptest::collection::vec(any_step(), 1..6).prop_map(Scene::Steps),
        1 => Just(Scene::Move),
        1 => any::<u64>().prop_map(Scene::PowerCut),
        1 => Just(Scene::Restart),
        1 => Just(Scene::Export),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// A store agrees with the model at every moment, whatever happens to its process.
    #[test]
    fn a_store_agrees_with_the_model(scenes in proptest::collection::vec(any_scene(), 1..12)) {
        let mut root = scratch();
        let mut disk = FaultyDisk::default();
        let mut store = open(root.path(), &disk).unwrap();
        let mut past = Past::of(Model::default());
        for scene in scenes {
            match scene {
                Scene::Steps(steps) => assert!(past.take(&steps, &store)),
                Scene::Export => store.export().unwrap(),
                Scene::Move => {
                    drop(store);
                    disk.wait_until_unused();
                    let copy = scratch();
                    copy_folder(root.path(), copy.path());
                    root = copy;
                    disk = FaultyDisk::default();
                    store = open(root.path(), &disk).unwrap();
                    past.recovered(&store);
                }
                Scene::PowerCut(seed) => {
                    drop(store);
                    disk.wait_until_unused();
                    disk.lose_power(&mut Chance(seed));
                    store = open(root.path(), &disk).unwrap();
                    past.recovered(&store);
                }
                Scene::Restart => {
                    store.close().unwrap();
                    drop(store);
                    disk.wait_until_unused();
                    store = open(root.path(), &disk).unwrap();
                    past.recovered(&store);
                }
            }
            prop_assert_eq!(&Model::of(&store), past.now());
        }
    }
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
