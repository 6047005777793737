//! One file is cut anywhere: it costs at most what it told, and nothing beside it.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};

use remotelab_config::InstancePaths;
use remotelab_protocol::SessionId;
use remotelab_protocol::context::{Context, Mode};
use serde::de::IgnoredAny;

use super::disk::FaultyDisk;
use super::model::{Model, Talk};
use super::{Past, Step, copy_folder, open, scratch, story};
use crate::Store;
use crate::damage::scan;

/// Every this many bytes a file is cut, each time beginning at another place, so that in the course of time every
/// byte has its turn. `REMOTELAB_EVERY_BYTE=1` cuts at all of them.
const STRIDE: usize = 11;

/// Where to cut.
struct Places {
    first: usize,
    stride: usize,
}

impl Places {
    fn chosen() -> Self {
        let every = std::env::var_os("REMOTELAB_EVERY_BYTE").is_some();
        if every {
            Self { first: 0, stride: 1 }
        } else {
            Self { first: rand::random_range(0..STRIDE), stride: STRIDE }
        }
    }

    fn of(&self, bytes: &[u8]) -> impl Iterator<Item = usize> {
        (self.first..bytes.len()).step_by(self.stride).chain([0, bytes.len().saturating_sub(1)])
    }
}

#[test]
fn a_file_cut_anywhere_costs_at_most_what_it_told() {
    let origin = scratch();
    let disk = FaultyDisk::default();
    let store = open(origin.path(), &disk).unwrap();
    let mut past = Past::of(Model::default());
    assert!(past.take(&story(), &store));
    summarise(&store);
    store.close().unwrap();
    drop(store);
    disk.wait_until_unused();
    let places = Places::chosen();
    for file in files(origin.path()) {
        let bytes = fs::read(&file).unwrap();
        let relative = file.strip_prefix(origin.path()).unwrap();
        let line_ends = (1..bytes.len()).filter(|&end| bytes[end - 1] == b'\n');
        let ends = line_ends.filter(|_| file.ends_with("requests.jsonl"));
        for kept in places.of(&bytes).chain(ends) {
            let root = scratch();
            copy_folder(origin.path(), root.path());
            OpenOptions::new()
                .write(true)
                .open(root.path().join(relative))
                .unwrap()
                .set_len(kept as u64)
                .unwrap();
            let told: Vec<_> =
                scan(&InstancePaths::below(root.path())).into_iter().map(|it| it.path).collect();
            let is_told = tells_something(relative) && !is_whole(&bytes[..kept], relative);
            assert_eq!(told, is_told.then(|| root.path().join(relative)).as_slice(), "cut to {kept}");
            let disk = FaultyDisk::default();
            let store = open(root.path(), &disk).unwrap();
            check(past.now(), &store, relative, kept);
            drop(store);
            disk.wait_until_unused();
        }
    }
}

/// What else a session and an instance write.
fn summarise(store: &Store) {
    let cell = store.sessions().into_iter().next().unwrap();
    let ((), commit) = cell.change(|draft| {
        let context = Context { mode: Mode::Summary, summary: "so far".into(), ..Context::default() };
        draft.put_context(&context, 1);
        draft.put_file("webhooks/outbox/one.json", b"{\"id\":\"one\"}".to_vec());
    });
    commit.wait().unwrap();
}

/// What a crash left in the journal is cut anywhere: the store is as it was at some moment.
#[test]
fn a_journal_cut_anywhere_gives_a_state_that_was() {
    let origin = scratch();
    let disk = FaultyDisk::default();
    let store = open(origin.path(), &disk).unwrap();
    let mut past = Past::of(Model::default());
    // So little that all of it waits in the journal.
    let steps = [
        Step::Create { key: Some(1) },
        Step::Start { session: 0, request: 1 },
        Step::Say { session: 0, long: false },
        Step::Queue { session: 0, request: 2 },
        Step::Finish { session: 0 },
        Step::Archive { session: 0, archived: true },
    ];
    assert!(steps.iter().all(|step| past.take(std::slice::from_ref(step), &store)));
    drop(store);
    disk.wait_until_unused();
    let journal = files(&InstancePaths::below(origin.path()).config().join("journal"));
    let bytes = journal.iter().map(|file| fs::read(file).unwrap()).collect::<Vec<_>>();
    let used = bytes.iter().position(|bytes| bytes.iter().any(|&byte| byte != 0)).unwrap();
    let (relative, bytes) = (journal[used].strip_prefix(origin.path()).unwrap(), &bytes[used]);
    let mut seen = BTreeSet::new();
    for kept in Places::chosen().of(bytes) {
        let root = scratch();
        copy_folder(origin.path(), root.path());
        let file = OpenOptions::new().write(true).open(root.path().join(relative)).unwrap();
        file.set_len(kept as u64).unwrap();
        let disk = FaultyDisk::default();
        let store = open(root.path(), &disk).unwrap();
        let found = Model::of(&store);
        let state = past.states.iter().position(|state| *state == found);
        seen.insert(state.unwrap_or_else(|| panic!("cut to {kept} it is as it never was")));
        assert!(store.damaged().is_empty(), "cut to {kept}");
        drop(store);
        disk.wait_until_unused();
    }
    assert!(seen.len() + 1 >= past.states.len(), "the journal held only {seen:?}");
}

#[test]
fn a_record_that_went_bad_is_told_and_kept() {
    let root = scratch();
    let disk = FaultyDisk::default();
    let store = open(root.path(), &disk).unwrap();
    let mut past = Past::of(Model::default());
    assert!((0..3).all(|_| past.take(&[Step::Create { key: None }], &store)));
    drop(store);
    disk.wait_until_unused();
    let paths = InstancePaths::below(root.path());
    let journal = files(&paths.config().join("journal")).into_iter().min().unwrap();
    let mut bytes = fs::read(&journal).unwrap();
    bytes[40] ^= 1;
    fs::write(&journal, &bytes).unwrap();
    let store = open(root.path(), &FaultyDisk::default()).unwrap();
    assert_eq!(store.sessions().len(), 0);
    let kept = journal.with_extension("wal.damaged");
    let told: Vec<_> = store.damaged().iter().map(|damage| damage.path.clone()).collect();
    assert_eq!((told, fs::read(&kept).unwrap()), (vec![kept.clone()], bytes));
    assert_eq!(scan(&paths).into_iter().map(|damage| damage.path).collect::<Vec<_>>(), [kept]);
}

/// Whether the file is one of those that nothing else repeats.
fn tells_something(file: &Path) -> bool {
    let is_list_of_ours = file.ends_with("requests.jsonl") || !file.starts_with("config");
    let is_record =
        file.extension().is_some_and(|it| it == "json") || file.starts_with("config/chat-history");
    is_record && !is_list_of_ours
}

/// Whether a file that was cut tells what it told: only its last line's end may be missing.
fn is_whole(bytes: &[u8], file: &Path) -> bool {
    file.extension().is_some_and(|it| it == "json") && serde_json::from_slice::<IgnoredAny>(bytes).is_ok()
}

fn check(before: &Model, store: &Store, file: &Path, kept: usize) {
    let context = format!("{} cut to {kept}", file.display());
    let after = Model::of_damaged(store);
    assert_eq!(after.talks().len(), before.talks().len(), "{context}");
    for (id, told) in before.talks() {
        let found = after.talks().get(id).unwrap_or_else(|| panic!("{context}: session {id} is gone"));
        if belongs(file, id, told) {
            assert_similar(told, found, &context);
        } else {
            assert_eq!(found, told, "{context}");
        }
    }
    // And it works on without harming what is left.
    let mut past = Past::of(after);
    assert!(past.take(&[Step::Say { session: 0, long: true }, Step::Say { session: 1, long: false }], store));
    assert_eq!(&Model::of_damaged(store), past.now(), "{context}");
}

/// At most one text may have suffered, and a run whose record is damaged; nothing is forgotten.
fn assert_similar(told: &Talk, found: &Talk, context: &str) {
    assert_eq!(found.texts.len(), told.texts.len(), "{context}");
    let changed = found.texts.iter().zip(&told.texts).filter(|(found, told)| found != told).count();
    assert!(changed <= 1, "{context}");
    let runs = |talk: &Talk| -> Vec<_> {
        talk.runs.iter().map(|(request, (run, _))| (request.clone(), run.clone())).collect()
    };
    assert_eq!(runs(found), runs(told), "{context}");
    let record = |talk: &Talk| (talk.key.clone(), talk.archived, talk.queue.clone());
    assert_eq!(record(found), record(told), "{context}");
}

fn belongs(file: &Path, id: &SessionId, talk: &Talk) -> bool {
    let names = |name: &str| file.components().any(|part| part.as_os_str() == name);
    names(id.as_str()) || talk.runs.values().any(|(run, _)| names(run.as_str()))
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            found.extend(files(&entry.path()));
        } else {
            found.push(entry.path());
        }
    }
    found
}
