//! A store on a temporary root: what was acknowledged is there after any restart.

use remotelab_config::InstancePaths;
use remotelab_protocol::event::{Known, Message};
use remotelab_protocol::run::{Manifest, Options};
use remotelab_protocol::{Event, Role, Run, RunId, Session, SessionId};
use remotelab_store::history::Bodies;
use remotelab_store::{Error, Inserted, Store, damage, journal};
use serde_json::{Map, json};

struct World {
    root: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        Self { root: tempfile::tempdir().unwrap() }
    }

    fn paths(&self) -> InstancePaths {
        InstancePaths::below(self.root.path())
    }

    fn open(&self) -> Store {
        Store::open(&self.paths()).unwrap().0
    }
}

fn session(trigger: Option<&str>) -> Session {
    let mut session: Session =
        serde_json::from_value(json!({"id": SessionId::random(), "tool": "codex"})).unwrap();
    session.external_trigger_id = trigger.map(str::to_owned);
    session
}

fn insert(store: &Store, session: Session) -> SessionId {
    let (cell, inserted) = store.find_or_insert(session);
    if let Inserted::New(commit) = inserted {
        commit.wait().unwrap();
    }
    cell.id().clone()
}

fn say(text: &str) -> Event {
    Event::message(Role::User, Message { content: text.into(), ..Message::default() }, 1_000)
}

fn manifest(session: &SessionId, request: &str) -> Manifest {
    Manifest {
        id: RunId::random(),
        session_id: session.clone(),
        request_id: request.into(),
        folder: "~".into(),
        tool: "codex".into(),
        prompt: "p".into(),
        internal_operation: None,
        options: Options::default(),
        rest: Map::new(),
    }
}

#[test]
fn sessions_events_and_runs_survive_a_restart() {
    let world = World::new();
    let store = world.open();
    let id = insert(&store, session(None));
    let cell = store.session(&id).unwrap();
    let manifest = manifest(&id, "r-1");
    let run = Run::accepted(&manifest, "2026-11-22T07:26:39.203Z");
    let long = "y".repeat(5_000);
    let ((), commit) = cell.change(|draft| {
        draft.start_run(&manifest, run.clone());
        assert_eq!(draft.append(say("hello")), 1);
        let kind = Known::ToolResult { tool_name: "bash".into(), output: long.clone(), exit_code: 0 };
        assert_eq!(draft.append(Event::new(kind, 2_000)), 2);
        draft.session_mut().name = "renamed".into();
    });
    commit.wait().unwrap();
    let before = cell.snapshot();
    drop((cell, store));

    let store = world.open();
    let cell = store.session(&id).unwrap();
    let after = cell.snapshot();
    assert_eq!((&after.session, &after.meta, &after.active), (&before.session, &before.meta, &before.active));
    assert_eq!(after.session.name, "renamed");
    assert_eq!(
        after.meta.counts,
        [("message".into(), 1), ("message_user".into(), 1), ("tool_result".into(), 1)].into()
    );
    let events = cell.history().read(1..=after.meta.latest_seq, Bodies::Whole);
    assert_eq!(events[1].body_text(), Some(("output", long.as_str())));
    assert_eq!(cell.change(|draft| draft.run_of("r-1")).0, Some(run.id.clone()));
    assert_eq!(store.run(&run.id).unwrap(), Some(run));
}

/// The list of requests is made anew from the history when it is gone, those that came together included.
#[test]
fn every_request_is_found_again_in_the_history() {
    let world = World::new();
    let store = world.open();
    let id = insert(&store, session(None));
    let cell = store.session(&id).unwrap();
    let manifest = manifest(&id, "batch");
    let run = Run::accepted(&manifest, "2026-11-22T07:26:39.203Z");
    cell.change(|draft| {
        draft.start_run(&manifest, run.clone());
        let queued_request_ids = Some(vec!["q-1".into(), "q-2".into()]);
        let said = Message { content: "both".into(), queued_request_ids, ..Message::default() };
        let asked = Event::message(Role::User, said, 1_000);
        let (run_id, request_id) = (Some(run.id.to_string()), Some(run.request_id.clone()));
        draft.append(Event { run_id, request_id, ..asked });
        ["q-1", "q-2"].iter().for_each(|request| draft.note_request(request, &run.id));
    })
    .1
    .wait()
    .unwrap();
    store.close().unwrap();
    drop((cell, store));
    let found = |store: &Store| {
        let cell = store.session(&id).unwrap();
        ["batch", "q-1", "q-2", "q-3"].map(|request| cell.change(|draft| draft.run_of(request)).0)
    };
    let expected = [Some(run.id.clone()), Some(run.id.clone()), Some(run.id), None];
    assert_eq!(found(&world.open()), expected);
    std::fs::remove_file(world.paths().chat_history().join(id.as_str()).join("requests.jsonl")).unwrap();
    assert_eq!(found(&world.open()), expected);
}

#[test]
fn parallel_creates_with_one_key_give_one_session() {
    let world = World::new();
    let store = world.open();
    let ids: std::collections::BTreeSet<SessionId> = std::thread::scope(|scope| {
        let calls: Vec<_> = (0..16).map(|_| scope.spawn(|| insert(&store, session(Some("k"))))).collect();
        calls.into_iter().map(|call| call.join().unwrap()).collect()
    });
    assert_eq!(ids.len(), 1);
    let id = ids.into_iter().next().unwrap();
    store.session(&id).unwrap().change(|draft| draft.session_mut().archived = true).1.wait().unwrap();
    assert_ne!(insert(&store, session(Some("k"))), id);
}

#[test]
fn a_session_comes_with_its_first_change_or_not_at_all() {
    let world = World::new();
    let store = world.open();
    let begin = |text: &'static str| {
        let session = session(Some("key"));
        let manifest = manifest(&session.id, "r");
        let (cell, begun) = store.find_or_insert_with(session, |draft| {
            draft.start_run(&manifest, Run::accepted(&manifest, "2026-11-22T07:26:39.203Z"));
            draft.append(say(text));
            manifest.id.clone()
        });
        (cell.id().clone(), begun)
    };
    let (id, begun) = begin("first");
    let (run, commit) = begun.unwrap();
    commit.wait().unwrap();
    let (again, nothing) = begin("second");
    assert_eq!((again, nothing.is_none()), (id.clone(), true));
    drop(store);

    let store = world.open();
    let cells = store.sessions();
    assert_eq!(cells.iter().map(|cell| cell.id()).collect::<Vec<_>>(), [&id]);
    assert_eq!(cells[0].change(|draft| draft.run_of("r")).0, Some(run.clone()));
    assert_eq!(cells[0].snapshot().active.map(|run| run.id), Some(run));
    let said = cells[0].history().read(1..=9, Bodies::Whole);
    let texts: Vec<&str> = said.iter().map(|event| event.as_message().unwrap().content.as_str()).collect();
    assert_eq!(texts, ["first"]);
}

#[test]
fn a_second_server_is_refused() {
    let world = World::new();
    let _store = world.open();
    assert!(matches!(Store::open(&world.paths()), Err(Error::InUse(_))));
}

#[test]
fn a_change_that_reached_only_the_journal_is_carried_out_at_the_next_start() {
    let world = World::new();
    let store = world.open();
    let id = insert(&store, session(None));
    drop(store);
    let mut bytes = Vec::new();
    let mut whole = journal::Transaction::default();
    whole.put(format!("chat-history/{id}/events/000000001.json"), serde_json::to_vec(&say("late")).unwrap());
    journal::record::encode(&whole, &mut bytes);
    let torn = bytes.len() - 3;
    bytes.extend_from_within(..torn);
    std::fs::write(world.paths().config().join("journal/000000007.wal"), bytes).unwrap();

    let (store, recovery) = Store::open(&world.paths()).unwrap();
    assert!(recovery.replayed >= 1);
    let cell = store.session(&id).unwrap();
    assert_eq!(cell.snapshot().meta.latest_seq, 1);
    assert_eq!(cell.history().read(1..=9, Bodies::Whole)[0].as_message().unwrap().content, "late");
}

#[test]
fn runtime_weakness_26_one_damaged_file_harms_nothing_else() {
    let world = World::new();
    let store = world.open();
    let (good, bad) = (insert(&store, session(None)), insert(&store, session(None)));
    for id in [&good, &bad] {
        store
            .session(id)
            .unwrap()
            .change(|draft| (draft.append(say("a")), draft.append(say("b"))))
            .1
            .wait()
            .unwrap();
    }
    // Closed, so that the journal has nothing left to repair the damage with.
    store.close().unwrap();
    assert_eq!(std::fs::read_dir(world.paths().config().join("journal")).unwrap().count(), 0);
    drop(store);
    let history = world.paths().chat_history();
    std::fs::write(history.join(bad.as_str()).join("session.json"), "{\"id\":\"").unwrap();
    std::fs::write(history.join(good.as_str()).join("events/000000001.json"), "{").unwrap();
    std::fs::write(history.join(good.as_str()).join("meta.json"), "").unwrap();
    std::fs::write(world.paths().chat_sessions(), "[{\"id\":").unwrap();

    let (store, recovery) = Store::open(&world.paths()).unwrap();
    let told: Vec<_> = store.damaged().iter().map(|damage| damage.path.clone()).collect();
    let record = history.join(bad.as_str()).join("session.json");
    assert_eq!(told, [record.clone(), world.paths().chat_sessions().with_added_extension("damaged")]);
    assert_eq!(recovery.damaged, told);
    let mut found: Vec<_> = damage::scan(&world.paths()).into_iter().map(|damage| damage.path).collect();
    found.sort();
    let mut expected = [
        world.paths().chat_sessions(),
        world.paths().chat_sessions().with_added_extension("damaged"),
        record,
        history.join(good.as_str()).join("events/000000001.json"),
        history.join(good.as_str()).join("meta.json"),
    ];
    expected.sort();
    assert_eq!(found, expected);
    let cell = store.session(&good).unwrap();
    let events = cell.history().read(1..=9, Bodies::Whole);
    assert_eq!(events.iter().map(Event::type_name).collect::<Vec<_>>(), ["status", "message"]);
    assert_eq!(cell.snapshot().meta.latest_seq, 2);
    assert!(store.session(&bad).is_none());
    assert!(history.join(bad.as_str()).join("session.json").exists());
}

#[test]
fn the_export_is_read_again_when_somebody_else_changed_it() {
    let world = World::new();
    let store = world.open();
    let id = insert(&store, session(None));
    store.export().unwrap();
    store.session(&id).unwrap().change(|draft| draft.session_mut().name = "ours".into()).1.wait().unwrap();
    drop(store);
    // Our own older export does not undo what the session's file says.
    let store = world.open();
    assert_eq!(store.session(&id).unwrap().snapshot().session.name, "ours");
    store.export().unwrap();
    drop(store);
    let path = world.paths().chat_sessions();
    let text = std::fs::read_to_string(&path).unwrap().replace("ours", "theirs");
    std::fs::write(&path, text).unwrap();
    assert_eq!(world.open().session(&id).unwrap().snapshot().session.name, "theirs");
}

#[test]
fn a_list_of_another_tool_is_taken_over_with_what_is_no_session() {
    let world = World::new();
    let paths = world.paths();
    std::fs::create_dir_all(paths.config()).unwrap();
    let id = SessionId::random();
    let rows = json!([{"id": id, "tool": "claude", "folder": "/tmp", "novel": [1]}, "junk"]);
    std::fs::write(paths.chat_sessions(), rows.to_string()).unwrap();
    let (store, recovery) = Store::open(&paths).unwrap();
    assert_eq!(recovery.imported, 1);
    store.export().unwrap();
    let exported: serde_json::Value =
        serde_json::from_slice(&std::fs::read(paths.chat_sessions()).unwrap()).unwrap();
    assert_eq!((&exported[0]["novel"], &exported[1]), (&json!([1]), &json!("junk")));
}

#[test]
fn a_crash_between_the_export_and_its_mark_undoes_nothing() {
    let world = World::new();
    let store = world.open();
    let id = insert(&store, session(None));
    store.export().unwrap();
    let old = std::fs::read(world.paths().chat_sessions()).unwrap();
    // Archiving does not count as a change for sorting, so both records are equally new.
    store.session(&id).unwrap().change(|draft| draft.session_mut().archived = true).1.wait().unwrap();
    store.export().unwrap();
    drop(store);
    std::fs::write(world.paths().chat_sessions(), old).unwrap();
    assert!(world.open().session(&id).unwrap().snapshot().session.archived);
}

#[test]
fn an_event_that_is_gone_hides_no_later_one() {
    let world = World::new();
    let store = world.open();
    let id = insert(&store, session(None));
    let cell = store.session(&id).unwrap();
    let say_all =
        |draft: &mut remotelab_store::Draft<'_>| ["a", "b", "c"].map(|text| draft.append(say(text)));
    cell.change(say_all).1.wait().unwrap();
    store.close().unwrap();
    drop((cell, store));
    let folder = world.paths().chat_history().join(id.as_str());
    std::fs::remove_file(folder.join("events/000000002.json")).unwrap();
    std::fs::remove_file(folder.join("meta.json")).unwrap();

    let store = world.open();
    let cell = store.session(&id).unwrap();
    assert_eq!(cell.change(|draft| draft.append(say("d"))).0, 4);
    store.close().unwrap();
    let events = cell.history().read(1..=9, Bodies::Whole);
    assert_eq!(
        events.iter().map(Event::type_name).collect::<Vec<_>>(),
        ["message", "status", "message", "message"]
    );
}

#[test]
fn a_damaged_record_is_replaced_by_its_copy_in_the_export_and_kept_aside() {
    let world = World::new();
    let store = world.open();
    let id = insert(&store, session(None));
    store.close().unwrap();
    drop(store);
    let record = world.paths().chat_history().join(id.as_str()).join("session.json");
    std::fs::write(&record, "{").unwrap();
    let store = world.open();
    assert!(store.session(&id).is_some());
    assert_eq!(store.damaged()[0].path, record.with_added_extension("damaged"));
    assert_eq!(std::fs::read_to_string(&store.damaged()[0].path).unwrap(), "{");
}

#[test]
fn a_key_is_free_when_its_session_is_archived_or_loses_it() {
    let world = World::new();
    let store = world.open();
    let change = |id: &SessionId, change: &dyn Fn(&mut Session)| {
        store.session(id).unwrap().change(|draft| change(draft.session_mut())).1.wait().unwrap();
    };
    let first = insert(&store, session(Some("k")));
    change(&first, &|session| session.archived = true);
    let second = insert(&store, session(Some("k")));
    assert_ne!(first, second);
    change(&second, &|session| session.external_trigger_id = Some("other".into()));
    change(&first, &|session| session.archived = false);
    assert_eq!(insert(&store, session(Some("k"))), first);
    assert_eq!(insert(&store, session(Some("other"))), second);
    store.close().unwrap();
    drop(store);
    let store = world.open();
    assert_eq!(insert(&store, session(Some("k"))), first);
    assert_eq!(insert(&store, session(Some("other"))), second);
}

/// What beside the sessions cannot be read is told of, file by file and entry by entry.
#[test]
fn damage_beside_the_sessions_is_found() {
    let world = World::new();
    world.open().close().unwrap();
    let config = world.paths().config().to_owned();
    let put = |path: &str, text: &str| {
        let path = config.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    let trigger = json!({"id": "trg_1", "status": "pending", "enabled": true, "sessionId": "s", "scheduledAt": "t",
        "text": "x", "requestId": "r"});
    let hook = json!({"id": "h", "url": "u", "events": ["run.failed"], "secret": "s"});
    let asset = json!({"id": "fasset_edc35feb43be1181ff025cb4", "sessionId": SessionId::random(), "status": "ready",
        "storage": {"provider": "local"}});
    put("tools.json", r#"[{"command": "codex"}]"#);
    put("chat-triggers.json", &json!([trigger]).to_string());
    put("apps.json", r#"[{"id": "app_1"}]"#);
    put("webhooks.json", &json!({"webhooks": [hook]}).to_string());
    put("api-tokens.json", r#"{"tokens": []}"#);
    put("file-assets/fasset_edc35feb43be1181ff025cb4.json", &asset.to_string());
    put("chat-history/x/context.json", r#"{"mode": "summary", "summary": "s"}"#);
    assert_eq!(damage::scan(&world.paths()), []);

    put("tools.json", r#"[{"command": "codex"}, {"id": "x"}, 7]"#);
    put("chat-triggers.json", &json!([trigger, {"id": 7}]).to_string());
    put("chat-triggers.json.damaged-1790000000000", "[{");
    put("apps.json", "{}");
    put(
        "webhooks.json",
        r#"{"webhooks": [{"id": "h", "url": "u", "events": ["run.paused"], "secret": "s"}]}"#,
    );
    put("api-tokens.json", r#"{"tokens": [{}]}"#);
    put("file-assets/fasset_edc35feb43be1181ff025cb4.json", "{}");
    put("chat-history/x/context.json", r#"{"mode": 7}"#);
    let found: Vec<(String, String)> = damage::scan(&world.paths())
        .into_iter()
        .map(|damage| {
            let path = damage.path.strip_prefix(&config).unwrap().to_str().unwrap().to_owned();
            (path, damage.reason.split(':').next().unwrap().to_owned())
        })
        .collect();
    let paths: Vec<&str> = found.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "api-tokens.json",
            "apps.json",
            "chat-history/x/context.json",
            "chat-triggers.json",
            "chat-triggers.json.damaged-1790000000000",
            "file-assets/fasset_edc35feb43be1181ff025cb4.json",
            "tools.json",
            "webhooks.json",
        ]
    );
    assert_eq!(found[3].1, "1 of 2 entries cannot be used");
    assert_eq!(found[4].1, "it was put aside, since it could not be read");
    assert_eq!(found[6].1, "2 of 3 entries cannot be used");
}

/// A value that nobody understands hides no session, neither in its own file nor in the export.
#[test]
fn an_odd_value_hides_no_session() {
    let world = World::new();
    let (own, row) = (SessionId::random(), SessionId::random());
    let folder = world.paths().chat_history().join(own.as_str());
    std::fs::create_dir_all(&folder).unwrap();
    let odd = |id: &SessionId| json!({"id": id, "name": "odd", "pinned": "yes", "completionTargets": 7});
    std::fs::write(folder.join("session.json"), odd(&own).to_string()).unwrap();
    std::fs::write(world.paths().chat_sessions(), json!([odd(&row), 5]).to_string()).unwrap();
    let expected = || {
        vec![damage::Damage {
            path: world.paths().chat_sessions(),
            reason: "1 of its entries are no sessions; they are kept and not shown".into(),
        }]
    };
    assert_eq!(damage::scan(&world.paths()), expected());
    for _ in 0..2 {
        let store = world.open();
        for id in [&own, &row] {
            let session = store.session(id).unwrap().snapshot().session;
            assert_eq!((session.name.as_str(), session.pinned), ("odd", false));
            assert_eq!(session.rest["invalidFields"], json!({"pinned": "yes", "completionTargets": 7}));
        }
        assert_eq!(store.damaged(), expected());
        // The second time the index tells of them.
        store.close().unwrap();
    }
}

/// Memory and disk are as before, and whatever is small enough is taken.
#[test]
fn a_change_that_is_too_large_is_refused_alone() {
    let world = World::new();
    let store = world.open();
    let id = insert(&store, session(Some("key")));
    let cell = store.session(&id).unwrap();
    let under_way = manifest(&id, "r-0");
    let manifest = manifest(&id, "r-1");
    let ((), _) = cell.change(|draft| {
        draft.append(say("first"));
        draft.start_run(&under_way, Run::accepted(&under_way, "2026-11-22T07:26:39.203Z"));
    });
    // Not carried out yet.
    let before = cell.snapshot();
    let ((), commit) = cell.change(|draft| {
        draft.append(say("lost"));
        draft.session_mut().external_trigger_id = None;
        draft.start_run(&manifest, Run::accepted(&manifest, "2026-11-22T07:26:39.203Z"));
        // Zeroes that nobody looks at need no memory.
        draft.put_file("large", vec![0; (1 << 30) + 1]);
    });
    assert!(matches!(commit.wait(), Err(journal::Error::TooLarge)));
    let after = cell.snapshot();
    assert_eq!(
        (&after.session, &after.meta, &after.active, after.revision),
        (&before.session, &before.meta, &before.active, before.revision)
    );
    assert_eq!(
        store.put("large", vec![0; (1 << 30) + 1]).wait().unwrap_err().to_string(),
        "a change is larger than 1 GiB"
    );
    assert!(store.accepts_writes());

    let (known, commit) = cell.change(|draft| {
        draft.append(say("kept"));
        draft.run_of("r-1")
    });
    commit.wait().unwrap();
    assert_eq!(known, None);
    let (found, inserted) = store.find_or_insert(session(Some("key")));
    assert_eq!((found.id(), matches!(inserted, Inserted::Found)), (&id, true));
    drop((cell, found, store));
    let texts: Vec<_> = world.open().session(&id).unwrap().history().read(1..=9, Bodies::Whole);
    let texts: Vec<_> = texts.iter().filter_map(|event| Some(event.as_message()?.content.as_str())).collect();
    assert_eq!(texts, ["first", "kept"]);
}
