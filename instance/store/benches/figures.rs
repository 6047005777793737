//! `cargo bench -p remotelab-store`: what the store costs, beside one bare fdatasync of the same disk.
//!
//! `-- boot` or another word runs only the figures of that name; set `TMPDIR` to try another disk.

#![expect(clippy::print_stdout, reason = "figures are for a terminal")]

use std::fs::File;
use std::io::Write;
use std::time::{Duration, Instant};

use remotelab_config::InstancePaths;
use remotelab_protocol::event::Message;
use remotelab_protocol::run::{Manifest, Options};
use remotelab_protocol::{Event, Role, Run, RunId, Session};
use remotelab_store::{Commit, Inserted, SessionCell, Store};
use serde_json::Map;

const NOW: &str = "2026-11-22T07:26:39.203Z";
const ROUNDS: usize = 200;

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    println!("| Figure | Value |");
    println!("|---|---|");
    let figures: [(&str, fn()); 3] = [
        ("sync", bare_sync),
        ("message", message_acknowledged),
        ("boot", || [1, 10_000].into_iter().for_each(boot)),
    ];
    for (name, figure) in figures {
        if wanted.is_empty() || wanted.iter().any(|word| name == word) {
            figure();
        }
    }
}

/// What everything else is measured by.
fn bare_sync() {
    let root = tempfile::tempdir().unwrap();
    let mut appended = File::create(root.path().join("appended")).unwrap();
    let append = || {
        appended.write_all(&[b'x'; 4_096]).unwrap();
        appended.sync_data().unwrap();
    };
    let append = percentiles(append);
    let mut filled = File::create(root.path().join("filled")).unwrap();
    filled.write_all(&[0; ROUNDS * 4_096]).unwrap();
    filled.sync_all().unwrap();
    std::io::Seek::rewind(&mut filled).unwrap();
    let fill = percentiles(|| {
        filled.write_all(&[b'x'; 4_096]).unwrap();
        filled.sync_data().unwrap();
    });
    show("one fdatasync of 4 KiB, growing file / filled file, p50", &format!("{append} / {fill}"));
}

/// One more message in a world that is 1, 10 and 100 times as large.
fn message_acknowledged() {
    for scale in [1, 10, 100] {
        let root = tempfile::tempdir().unwrap();
        let store = open(&root);
        let count = 100 * scale;
        let cell = fill(&store, count);
        let (runs, events) = (count, count * 10);
        settle(
            (0..count)
                .map(|number| {
                    cell.change(|draft| {
                        begin(draft, number);
                        for _ in 0..9 {
                            draft.append(said("an answer of some length"));
                        }
                        draft.release_run();
                    })
                    .1
                })
                .collect(),
        );
        // What prepared the world is not what is measured.
        store.carry_out().wait().unwrap();
        let mut number = count;
        let acknowledged = percentiles(|| {
            number += 1;
            cell.change(|draft| begin(draft, number)).1.wait().unwrap();
            cell.change(|draft| draft.release_run()).1.wait().unwrap();
        });
        show(
            &format!(
                "message accepted and its run released (two acknowledgements), {count} sessions, {runs} runs, {events} events, p50"
            ),
            &acknowledged,
        );
        let known = keyed(count / 2);
        let found = percentiles(|| assert!(matches!(store.find_or_insert(known.clone()).1, Inserted::Found)));
        show(&format!("session found by its externalTriggerId among {count}, p50"), &found);
        let list =
            percentiles(|| drop(store.sessions().iter().map(|cell| cell.snapshot()).collect::<Vec<_>>()));
        show(&format!("all {count} sessions copied, p50"), &list);
        store.close().unwrap();
        drop(store);
        let store = open(&root);
        let cell = store.session(cell.id()).unwrap();
        let first = Instant::now();
        cell.change(|draft| begin(draft, 0)).1.wait().unwrap();
        show(
            &format!("first message after a start, session of {runs} runs, {events} events"),
            &millis(first.elapsed()),
        );
    }
}

fn boot(sessions: usize) {
    let root = tempfile::tempdir().unwrap();
    let store = open(&root);
    fill(&store, sessions);
    // The index leaves out what was changed a moment ago.
    std::thread::sleep(Duration::from_millis(2_100));
    store.close().unwrap();
    drop(store);
    let took = |prepare: &dyn Fn()| {
        prepare();
        let start = Instant::now();
        let store = open(&root);
        let took = start.elapsed();
        assert_eq!(store.sessions().len(), sessions);
        took
    };
    let first = took(&|| ());
    let mut again: Vec<Duration> = (0..7).map(|_| took(&|| ())).collect();
    again.sort();
    show(
        &format!("open with {sessions} sessions, first / best / median"),
        &format!("{} / {} / {}", millis(first), millis(again[0]), millis(again[3])),
    );
    let index = InstancePaths::below(root.path()).config().join("sessions.index");
    let bare = took(&|| drop(std::fs::remove_file(&index)));
    show(&format!("open with {sessions} sessions, without the index"), &millis(bare));
}

fn open(root: &tempfile::TempDir) -> Store {
    Store::open(&InstancePaths::below(root.path())).unwrap().0
}

/// Makes sessions of two events each; returns the first.
fn fill(store: &Store, sessions: usize) -> std::sync::Arc<SessionCell> {
    let mut commits = Vec::new();
    for number in 0..sessions {
        let (cell, inserted) = store.find_or_insert(keyed(number));
        if let Inserted::New(commit) = inserted {
            commits.push(commit);
        }
        commits.push(cell.change(|draft| (draft.append(said("a")), draft.append(said("b")))).1);
    }
    settle(commits);
    let (cell, _) = store.find_or_insert(keyed(0));
    cell
}

fn settle(commits: Vec<Commit>) {
    commits.into_iter().for_each(|commit| commit.wait().unwrap());
}

fn keyed(number: usize) -> Session {
    Session {
        name: format!("March sales cleanup {number}"),
        description: Some("A session as connectors make them, with a line about it".into()),
        group: Some("Sales ops".into()),
        external_trigger_id: Some(format!("github:owner/repo#{number}")),
        ..Session::new("/home/owner/work".into(), "codex".into(), NOW)
    }
}

fn begin(draft: &mut remotelab_store::Draft<'_>, number: usize) {
    let manifest = Manifest {
        id: RunId::random(),
        session_id: draft.session().id.clone(),
        request_id: format!("request-{number}"),
        folder: "~".into(),
        tool: "codex".into(),
        prompt: "p".repeat(2_000),
        internal_operation: None,
        options: Options::default(),
        rest: Map::new(),
    };
    assert_eq!(draft.run_of("unheard of"), None);
    draft.start_run(&manifest, Run::accepted(&manifest, NOW));
    let (run_id, request_id) = (Some(manifest.id.to_string()), Some(manifest.request_id));
    draft.append(Event { run_id, request_id, ..said("please clean up the March sales") });
}

fn said(text: &str) -> Event {
    Event::message(Role::User, Message { content: text.into(), ..Message::default() }, 1_000)
}

fn percentiles(mut once: impl FnMut()) -> String {
    let mut times: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            once();
            start.elapsed()
        })
        .collect();
    times.sort();
    format!("{} (p90 {})", millis(times[ROUNDS / 2]), millis(times[ROUNDS * 9 / 10]))
}

fn millis(time: Duration) -> String {
    format!("{:.3} ms", time.as_secs_f64() * 1e3)
}

fn show(figure: &str, value: &str) {
    println!("| {figure} | {value} |");
}
