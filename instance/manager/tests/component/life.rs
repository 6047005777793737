//! Guests that are stopped, renamed, deleted and brought back.

use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

use remotelab_config::InstanceName;
use remotelab_config::auth::Auth;
use remotelab_config::lock::FileLock;
use remotelab_config::registry::{Record, Registry};
use remotelab_manager::guests::create::Error as CreateError;
use remotelab_manager::guests::hostname::Wish;
use remotelab_manager::guests::{Deleted, Error, Files, NewName, Request};
use serde_json::json;

use crate::guests::{assert_private, given};
use crate::world::World;

#[test]
fn a_name_comes_back_empty_and_the_deleted_guest_beside_it() {
    let world = with_guest("demo");
    let old = record(&world, "demo");
    world.write(".remotelab/instances/demo/memory/secret", "of the first");
    world.write(".config/remotelab/logs/guest-demo.log", "of the first");
    let deleted = delete(&world, "demo", Files::Trash).unwrap();
    assert_eq!(world.registry().guests, []);
    let again = create(&world, &given("demo"));
    assert_ne!((again.id.as_str(), token(&again)), (old.id.as_str(), token_in_trash(&world)));
    assert!(!again.memory_dir.join("secret").exists());
    assert!(!again.log_path.exists());
    // Its name and its place are taken now.
    let taken = restore(&world, "demo", None).unwrap_err();
    assert_eq!(taken.to_string(), "there is a guest demo already");
    let restored = restore(&world, &deleted.entry.unwrap(), Some("Second")).unwrap();
    assert_eq!(restored.name.as_str(), "second");
    assert_ne!(restored.id, old.id);
    assert_eq!(restored.instance_root, world.path().join(".remotelab/instances/second"));
    assert_eq!(fs::read_to_string(restored.memory_dir.join("secret")).unwrap(), "of the first");
    assert_eq!(fs::read_to_string(restored.log_path).unwrap(), "of the first");
    assert_eq!(world.guests().trash().unwrap(), []);
    assert_eq!(world.system().started(), ["demo", "second"]);
}

#[test]
fn a_restored_guest_is_where_it_was_and_private() {
    let world = with_guest("demo");
    let old = record(&world, "demo");
    delete(&world, "demo", Files::Trash).unwrap();
    assert!(assert_private(&world.path().join(".remotelab")) > 8);
    assert!(assert_private(&world.config()) > 1);
    let restored = restore(&world, "demo", None).unwrap();
    assert_eq!(Record { id: old.id.clone(), ..restored }, old);
}

#[test]
fn folders_elsewhere_go_into_the_trash_and_come_back() {
    let world = with_guest("demo");
    let memory = world.path().join("elsewhere/memory");
    change(&world, |record| record.memory_dir.clone_from(&memory));
    world.write("elsewhere/memory/note", "x");
    delete(&world, "demo", Files::Trash).unwrap();
    assert!(!memory.exists());
    restore(&world, "demo", None).unwrap();
    assert_eq!(fs::read_to_string(memory.join("note")).unwrap(), "x");
    delete(&world, "demo", Files::Purge).unwrap();
    assert!(!memory.exists());
}

#[test]
fn files_that_are_not_the_guests_alone_are_never_touched() {
    let world = with_guest("demo");
    create(&world, &given("other"));
    let home = world.path().to_owned();
    symlink(&home, home.join("link")).unwrap();
    let other = record(&world, "other").instance_root;
    let wrong =
        ["/".into(), home.clone(), home.join("link"), world.config(), home.join(".remotelab"), other.clone()];
    for root in wrong.into_iter().chain([other.join("config"), "relative".into()]) {
        change(&world, |record| {
            record.instance_root.clone_from(&root);
            record.config_dir = root.join("config");
            record.memory_dir = root.join("memory");
        });
        for files in [Files::Trash, Files::Purge] {
            let error = delete(&world, "demo", files).unwrap_err();
            assert!(matches!(&error, Error::NotItsOwn(folder) if *folder == root), "{root:?}: {error}");
        }
    }
    assert!(other.join("config/auth.json").exists());
    delete(&world, "demo", Files::Keep).unwrap();
    assert_eq!(world.registry().guests.len(), 1);
}

#[test]
fn a_guest_whose_files_are_in_use_is_not_deleted() {
    let world = with_guest("demo");
    let demo = record(&world, "demo");
    let lock = demo.paths().server_lock();
    let _server = FileLock::try_acquire(&lock).unwrap();
    let error = delete(&world, "demo", Files::Trash).unwrap_err();
    assert_eq!(error.to_string(), "demo was not deleted");
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(cause, "demo is in use: its chat server still runs");
    assert_eq!(record(&world, "demo"), demo);
    assert_eq!(world.system().started(), ["demo"]);
}

#[test]
fn what_was_removed_from_the_trash_does_not_come_back_empty() {
    let world = with_guest("demo");
    delete(&world, "demo", Files::Trash).unwrap();
    fs::remove_dir_all(&world.guests().trash().unwrap()[0].folder).unwrap();
    assert_eq!(restore(&world, "demo", None).unwrap_err().to_string(), "demo was not restored");
    assert_eq!((world.registry().guests.len(), world.operations()), (0, 0));
}

#[test]
fn a_run_under_way_is_ended_before_its_files_go() {
    let world = with_guest("demo");
    let run = record(&world, "demo").config_dir.join("chat-runs/run_1");
    fs::create_dir_all(&run).unwrap();
    let lock = FileLock::try_acquire(&run.join("runner.lock")).unwrap();
    // The stand-in of a runner ends when it is asked to.
    let asked = run.join("cancel");
    let runner = std::thread::spawn(move || {
        while !asked.exists() {
            std::thread::yield_now();
        }
        drop(lock);
    });
    delete(&world, "demo", Files::Purge).unwrap();
    runner.join().unwrap();
    assert!(!run.exists());
}

#[test]
fn the_trash_is_emptied_by_age() {
    let world = with_guest("demo");
    delete(&world, "demo", Files::Trash).unwrap();
    create(&world, &given("demo"));
    delete(&world, "demo", Files::Trash).unwrap();
    let several = restore(&world, "demo", None).unwrap_err();
    assert!(matches!(several, CreateError::Several(_)));
    assert_eq!(world.guests().empty_trash(Duration::from_secs(3600)).unwrap(), []);
    fs::create_dir(world.path().join(".remotelab/trash/x.leaving")).unwrap();
    assert_eq!(world.guests().empty_trash(Duration::ZERO).unwrap().len(), 2);
    assert_eq!(fs::read_dir(world.path().join(".remotelab/trash")).unwrap().count(), 0);
    assert!(matches!(restore(&world, "demo", None), Err(CreateError::NotInTrash(_))));
}

#[test]
fn a_renamed_guest_keeps_its_files_and_lets_its_name_go() {
    let world = World::new();
    let host = Wish { hostname: Some("demo.example.com".into()), ..Wish::default() };
    let old = create(&world, &Request { hostname: host, ..given("demo") });
    let renamed = rename(&world, "demo", "New Name").unwrap();
    assert_eq!(renamed.instance_root, old.instance_root);
    assert_eq!((renamed.id, renamed.port), (old.id, old.port));
    assert_eq!(renamed.hostname, "new-name.example.com");
    assert_eq!(renamed.public_base_url, "https://new-name.example.com");
    assert_eq!(world.system().started(), ["new-name"]);
    let second = create(&world, &given("demo"));
    assert_eq!(second.instance_root, world.path().join(".remotelab/instances/demo-2"));
    let refused = |to| rename(&world, "demo", to).unwrap_err().to_string();
    assert_eq!(refused("new-name"), "there is a guest new-name already");
    for reserved in ["owner", "gateway", "mail", "api"] {
        assert_eq!(refused(reserved), format!("the name {reserved} is reserved"));
    }
}

#[test]
fn a_stopped_guest_stays_so_until_it_is_started() {
    let world = with_guest("demo");
    let (system, demo) = (world.system(), named("demo"));
    let stopped = world.guests().stop(&demo, system.outside(), &mut |_| {}).unwrap();
    assert_eq!((stopped.view.status(), stopped.view.token), ("stopped", None));
    assert!(matches!(world.guests().restart(&demo, system.outside()), Err(Error::Stopped(_))));
    rename(&world, "demo", "other").unwrap();
    let rotated = world.guests().rotate_token(&named("other"), true, system.outside(), &mut |_| {});
    assert_eq!(rotated.unwrap().warnings, Vec::<String>::new());
    assert_eq!(system.started(), Vec::<String>::new());
    let started = world.guests().start(&named("other"), system.outside(), &mut |_| {}).unwrap();
    assert_eq!(started.view.status(), "running");
    assert_eq!(system.started(), ["other"]);
}

#[test]
fn a_new_token_keeps_the_password() {
    let world = with_guest("demo");
    let demo = record(&world, "demo");
    let old = token(&demo);
    let auth = fs::read_to_string(&demo.auth_file).unwrap();
    let with_more = auth.replacen('{', r#"{"username":"u","passwordHash":"h","kept":1,"#, 1);
    fs::write(&demo.auth_file, with_more).unwrap();
    let changed =
        world.guests().rotate_token(&named("demo"), false, world.system().outside(), &mut |_| {}).unwrap();
    assert_eq!(changed.view.token, Some(token(&demo)));
    assert_ne!(token(&demo), old);
    let auth = fs::read_to_string(&demo.auth_file).unwrap();
    assert!(auth.contains(r#""passwordHash": "h""#) && auth.contains(r#""kept": 1"#), "{auth}");
}

#[test]
fn who_has_changed_what_can_be_read() {
    let world = with_guest("demo");
    let lock = record(&world, "demo").paths().server_lock();
    let server = FileLock::try_acquire(&lock).unwrap();
    delete(&world, "demo", Files::Trash).unwrap_err();
    drop(server);
    delete(&world, "demo", Files::Trash).unwrap();
    world.guests().empty_trash(Duration::ZERO).unwrap();
    let log = fs::read_to_string(world.config().join("logs/audit.jsonl")).unwrap();
    let lines = log.lines().map(|line| {
        let mut line: serde_json::Value = serde_json::from_str(line).unwrap();
        let fields = line.as_object_mut().unwrap();
        let at = fields.remove("at").unwrap();
        assert!(at.as_str().unwrap().parse::<jiff::Timestamp>().is_ok());
        line
    });
    let uid = rustix::process::getuid().as_raw();
    let done = |what| json!({"uid": uid, "what": what, "guest": "demo", "result": "done"});
    let mut undone = done("delete");
    undone["result"] = json!("undone");
    undone["reason"] = json!("demo is in use: its chat server still runs");
    assert_eq!(lines.collect::<Vec<_>>(), [done("create"), undone, done("delete"), done("trash empty")]);
    assert_private(&world.config().join("logs"));
}

#[test]
fn plans_change_nothing() {
    let world = with_guest("demo");
    let before = world.registry();
    let guests = world.guests();
    let planned = guests.plan_creates(&[given("a"), given("b")]).unwrap();
    assert_ne!(planned[0].plan.record.port, planned[1].plan.record.port);
    guests.plan_delete(&named("demo"), Files::Purge).unwrap();
    let plan = guests.plan_rename(&named("demo"), &to("other")).unwrap();
    let steps = plan.json()["steps"].as_array().unwrap().clone();
    assert_eq!(steps[0]["undo"], "put its record back");
    assert_eq!(steps[1]["undo"], serde_json::Value::Null);
    assert_eq!((world.registry(), world.operations()), (before, 0));
}

fn with_guest(name: &str) -> World {
    let world = World::new();
    create(&world, &given(name));
    world
}

fn create(world: &World, request: &Request) -> Record {
    world.guests().create(request, world.system().outside(), &mut |_| {}).unwrap().view.record
}

fn delete(world: &World, name: &str, files: Files) -> Result<Deleted, Error> {
    world.guests().delete(&named(name), files, world.system().outside(), &mut |_| {})
}

fn restore(world: &World, which: &str, name: Option<&str>) -> Result<Record, CreateError> {
    let changed = world.guests().restore(which, name, world.system().outside(), &mut |_| {})?;
    Ok(changed.view.record)
}

fn rename(world: &World, name: &str, new: &str) -> Result<Record, Error> {
    let changed = world.guests().rename(&named(name), &to(new), world.system().outside(), &mut |_| {})?;
    Ok(changed.view.record)
}

fn to(name: &str) -> NewName {
    NewName { name: name.to_owned(), hostname: None, keep_hostname: false }
}

fn change(world: &World, change: impl Fn(&mut Record)) {
    Registry::update::<_, remotelab_config::registry::Error>(&world.paths().registry(), |registry| {
        let demo = registry.guests.iter_mut().find(|record| record.name.as_str() == "demo");
        change(demo.unwrap());
        Ok(())
    })
    .unwrap();
}

fn record(world: &World, name: &str) -> Record {
    world.registry().find(&named(name)).unwrap().clone()
}

fn token(record: &Record) -> String {
    Auth::load(&record.auth_file).unwrap().token.reveal()
}

fn token_in_trash(world: &World) -> String {
    let folder = world.guests().trash().unwrap().remove(0).folder;
    Auth::load(&folder.join("config/auth.json")).unwrap().token.reveal()
}

fn named(name: &str) -> InstanceName {
    InstanceName::normalise(name).unwrap()
}
