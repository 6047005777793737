//! One file is cut anywhere: it costs at most what it told, and nothing beside it.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};

use remotelab_config::InstancePaths;
use remotelab_protocol::SessionId;
use serde::de::IgnoredAny;

use super::disk::FaultyDisk;
use super::model::{Model, Talk};
use super::{Past, Step, copy_folder, open, scratch, story};
use crate::Store;
use crate::damage::scan;

/// Every this many bytes a file is cut; a prime, so that the places vary from file to file.
const STRIDE: usize = 13;

#[test]
fn a_file_cut_anywhere_costs_at_most_what_it_told() {
    let origin = scratch();
    let disk = FaultyDisk::default();
    let store = open(origin.path(), &disk).unwrap();
    let mut past = Past::of(Model::default());
    assert!(past.take(&story(), &store));
    store.close().unwrap();
    drop(store);
    disk.wait_until_unused();
    for file in files(origin.path()) {
        let bytes = fs::read(&file).unwrap();
        let relative = file.strip_prefix(origin.path()).unwrap();
        let line_ends = (1..bytes.len()).filter(|&end| bytes[end - 1] == b'\n');
        let ends =
            line_ends.filter(|_| file.ends_with("requests.jsonl")).chain([bytes.len().saturating_sub(1)]);
        for kept in (0..bytes.len()).step_by(STRIDE).chain(ends) {
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
