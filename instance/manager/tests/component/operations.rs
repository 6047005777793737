//! Whole or not at all, whoever is killed when: commands run in a process of their own that kills itself.

use std::fs;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};

use remotelab_config::registry::State;
use remotelab_config::{Env, InstanceName, OwnerPaths};
use remotelab_manager::control::{self, Child};
use remotelab_manager::guests::{Files, NewName};
use remotelab_manager::operation::{Progress, Tools, recover};
use remotelab_manager::outside::{Door, Outside, Service};
use rustix::process::{Signal, getpid, kill_process};

use crate::guests::given;
use crate::world::{Running, World, guests};

/// What the operator types, in the process that is this test program again.
const LINE: &str = "TEST_OPERATOR_LINE";
const HOME: &str = "TEST_OPERATOR_HOME";
/// After how many marks it is killed.
const MARKS: &str = "TEST_OPERATOR_MARKS";

#[test]
#[ignore = "not a test: the command that the tests start"]
fn acts_as_the_operator() {
    let env = Env::of_process();
    let home = PathBuf::from(env.get(HOME).expect("the parent sets it"));
    let mut marks: usize = env.get(MARKS).unwrap().parse().unwrap();
    let mut tell = |_: Progress<'_>| {
        if marks == 0 {
            kill_process(getpid(), Signal::KILL).unwrap();
        }
        marks -= 1;
    };
    let system = Running::below(&home);
    let guests = guests(&env, &home);
    let line: Vec<&str> = env.get(LINE).unwrap().split(' ').collect();
    match line.as_slice() {
        ["create", name] => drop(guests.create(&given(name), system.outside(), &mut tell).unwrap()),
        ["delete", name] => {
            drop(guests.delete(&named(name), Files::Trash, system.outside(), &mut tell).unwrap());
        }
        ["purge", name] => {
            drop(guests.delete(&named(name), Files::Purge, system.outside(), &mut tell).unwrap());
        }
        ["restore", name] => drop(guests.restore(name, None, system.outside(), &mut tell).unwrap()),
        ["rename", name, to] => {
            let to = NewName { name: (*to).to_owned(), hostname: None, keep_hostname: false };
            drop(guests.rename(&named(name), &to, system.outside(), &mut tell).unwrap());
        }
        ["stop", name] => drop(guests.stop(&named(name), system.outside(), &mut tell).unwrap()),
        ["sign-out", name] => {
            drop(guests.rotate_token(&named(name), true, system.outside(), &mut tell).unwrap());
        }
        ["recover"] => {
            let paths = OwnerPaths::from_env(&env, &home);
            recover(&Tools { paths: &paths, env: &env, outside: system.outside() }, &mut tell).unwrap();
        }
        _ => panic!("{line:?}"),
    }
}

#[test]
fn a_create_killed_at_any_mark_leaves_nothing_or_a_guest() {
    let mut whole = 0;
    for world in killed_everywhere("create demo", World::new) {
        match world.registry().guests.as_slice() {
            [] => {
                assert!(!world.path().join(".remotelab/instances/demo").exists());
                assert_eq!(world.system().started(), Vec::<String>::new());
                world.guests().create(&given("demo"), world.system().outside(), &mut |_| {}).unwrap();
            }
            [demo] => {
                whole += 1;
                assert_eq!(demo.state, State::Ready);
                assert!(demo.auth_file.exists());
                assert_eq!(world.system().started(), ["demo"]);
            }
            more => panic!("{more:?}"),
        }
    }
    assert!(whole > 0, "a create goes on from its commit");
}

#[test]
fn the_tunnel_is_as_the_guest_is_whoever_is_killed_when() {
    let world = || {
        let world = World::new();
        let text = format!(
            "tunnel: t\ningress:\n- hostname: remotelab.example.com\n  service: http://127.0.0.1:{}\n\
             - service: http_status:404\n",
            world.owner_port()
        );
        world.write(".cloudflared/config.yml", &text);
        world
    };
    for world in killed_everywhere("create demo", world) {
        let text = fs::read_to_string(world.path().join(".cloudflared/config.yml")).unwrap();
        assert_eq!(text.contains("demo.example.com"), !world.registry().guests.is_empty(), "{text}");
    }
}

#[test]
fn a_delete_killed_at_any_mark_leaves_the_guest_or_its_files_in_the_trash() {
    let mut gone = 0;
    for world in killed_everywhere("delete demo", || world_of("demo")) {
        let trash = world.guests().trash().unwrap();
        if whole(&world, "demo") {
            assert_eq!(trash, []);
        } else {
            gone += 1;
            assert_eq!(trash.len(), 1);
            assert!(trash[0].folder.join("config/auth.json").exists());
            nothing_of(&world, "demo");
        }
    }
    assert!(gone > 0, "a delete goes on from its commit");
}

#[test]
fn a_purge_killed_at_any_mark_leaves_the_whole_guest_or_nothing() {
    for world in killed_everywhere("purge demo", || world_of("demo")) {
        assert_eq!(world.guests().trash().unwrap(), []);
        if !whole(&world, "demo") {
            nothing_of(&world, "demo");
        }
    }
}

#[test]
fn a_restore_killed_at_any_mark_leaves_the_guest_or_the_trash() {
    let deleted = || {
        let world = world_of("demo");
        world.guests().delete(&named("demo"), Files::Trash, world.system().outside(), &mut |_| {}).unwrap();
        world
    };
    for world in killed_everywhere("restore demo", deleted) {
        let trash = world.guests().trash().unwrap();
        if whole(&world, "demo") {
            assert_eq!(fs::read_dir(world.path().join(".remotelab/trash")).unwrap().count(), 0);
        } else {
            nothing_of(&world, "demo");
            assert!(trash[0].folder.join("config/auth.json").exists());
            world.guests().restore("demo", None, world.system().outside(), &mut |_| {}).unwrap();
        }
    }
}

#[test]
fn a_rename_killed_at_any_mark_leaves_one_guest_under_one_name() {
    let mut renamed = 0;
    for world in killed_everywhere("rename demo other", || world_of("demo")) {
        let registry = world.registry();
        let name = registry.guests[0].name.as_str();
        renamed += usize::from(name == "other");
        assert!(whole(&world, name));
        let logs = fs::read_dir(world.config().join("logs")).unwrap();
        let logs: Vec<_> = logs.map(|log| log.unwrap().file_name().into_string().unwrap()).collect();
        let logs: Vec<_> = logs.iter().filter(|log| log.starts_with("guest-")).collect();
        assert_eq!(logs, [&format!("guest-{name}.log")]);
    }
    assert!(renamed > 0);
}

#[test]
fn a_stop_and_a_new_token_killed_at_any_mark_are_whole_too() {
    for world in killed_everywhere("stop demo", || world_of("demo")) {
        let stopped = world.registry().guests[0].stopped;
        assert_eq!(world.system().started().is_empty(), stopped);
    }
    for world in killed_everywhere("sign-out demo", || world_of("demo")) {
        assert!(whole(&world, "demo"));
        let root = world.path().join(".remotelab/instances/demo");
        let logins = fs::read_to_string(root.join("config/auth-sessions.json")).unwrap();
        let is_old = fs::read_to_string(root.join("config/auth.json")).unwrap()
            == fs::read_to_string(root.join("auth.before")).unwrap();
        assert!(!is_old || logins == r#"{"old":{}}"#, "a token is not kept where the logins were ended");
    }
}

/// A world with one guest that runs, has logins and a log.
fn world_of(name: &str) -> World {
    let world = World::new();
    world.guests().create(&given(name), world.system().outside(), &mut |_| {}).unwrap();
    let root = format!(".remotelab/instances/{name}");
    world.write(&format!("{root}/config/auth-sessions.json"), r#"{"old":{}}"#);
    world.write(&format!(".config/remotelab/logs/guest-{name}.log"), "a line\n");
    let root = world.path().join(root);
    fs::copy(root.join("config/auth.json"), root.join("auth.before")).unwrap();
    world
}

/// Tells whether the guest is all there, or else that it is not in the registry.
fn whole(world: &World, name: &str) -> bool {
    let registry = world.registry();
    let Some(record) = registry.guests.first() else {
        return false;
    };
    assert_eq!((record.name.as_str(), record.state, record.stopped), (name, State::Ready, false));
    assert!(record.auth_file.exists());
    assert_eq!(world.system().started(), [name]);
    true
}

fn nothing_of(world: &World, name: &str) {
    assert_eq!(world.registry().guests, []);
    assert_eq!(world.system().started(), Vec::<String>::new());
    assert!(!world.path().join(".remotelab/instances").join(name).exists());
    assert!(!world.config().join(format!("logs/guest-{name}.log")).exists());
}

fn named(name: &str) -> InstanceName {
    InstanceName::normalise(name).unwrap()
}

#[test]
fn undoing_goes_on_after_a_failure_and_keeps_the_name_for_the_next_command() {
    let world = World::new();
    let stuck = Stuck;
    let outside = Outside { service: &stuck, door: &stuck };
    let error = world.guests().create(&given("demo"), outside, &mut |_| {}).unwrap_err();
    assert_eq!(
        error.to_string(),
        "demo was not created, and the next command must clear up (guest demo did not end)"
    );
    assert!(!world.path().join(".remotelab/instances/demo").exists());
    assert_eq!(world.registry().guests[0].state, State::Creating);
    recovered(&world);
    assert_eq!((world.registry().guests.len(), world.operations()), (0, 0));
}

#[test]
fn a_half_made_guest_of_an_earlier_version_is_removed() {
    let world = World::new();
    let root = world.path().join(".remotelab/instances/old");
    let rows =
        format!(r#"[{{"name":"old","port":7801,"instanceRoot":"{}","state":"creating"}}]"#, root.display());
    world.write(".config/remotelab/guest-instances.json", &rows);
    world.write(".remotelab/instances/old/config/auth.json", "{}");
    world.write(".config/remotelab/run/create-old.lock", "");
    let lock = fs::File::open(world.config().join("run/create-old.lock")).unwrap();
    lock.lock().unwrap();
    recovered(&world);
    assert_eq!(world.registry().guests.len(), 1, "an earlier version is at work");
    drop(lock);
    recovered(&world);
    assert_eq!(world.registry().guests, []);
    assert!(!root.exists());
    assert_eq!(world.operations(), 0);
}

/// A system that neither starts nor stops a guest.
struct Stuck;

impl Service for Stuck {
    fn start(&self, _: &InstanceName) -> Result<(), control::Error> {
        Err(control::Error::Refused("guest demo did not start".into()))
    }

    fn stop(&self, _: &InstanceName) -> Result<(), control::Error> {
        Err(control::Error::Refused("guest demo did not end".into()))
    }

    fn restart(&self, name: &InstanceName) -> Result<(), control::Error> {
        self.start(name)
    }

    fn report(&self) -> Result<Vec<Child>, control::Error> {
        Ok(Vec::new())
    }
}

impl Door for Stuck {
    fn reload(&self) -> io::Result<()> {
        Ok(())
    }
}

/// Runs a command in many worlds, each time killed one mark later, and returns them when others have cleared
/// up. Clearing up is killed at its first marks, too.
fn killed_everywhere(line: &str, world: impl Fn() -> World) -> Vec<World> {
    let mut worlds = Vec::new();
    for marks in 0.. {
        let world = world();
        let ended = operate(&world, line, marks);
        if ended.success() {
            assert!(marks > 0, "it tells how far it has come");
            assert_eq!(world.operations(), 0, "nothing is left of it");
            break;
        }
        assert_eq!(ended.signal(), Some(9), "{line} after {marks} marks");
        assert_eq!(world.operations(), 1, "it is known how far it came");
        for marks in [1, 3] {
            operate(&world, "recover", marks);
        }
        recovered(&world);
        assert_eq!(world.operations(), 0);
        worlds.push(world);
    }
    worlds
}

fn operate(world: &World, line: &str, marks: usize) -> ExitStatus {
    let env = world.env();
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "operations::acts_as_the_operator", "--ignored"])
        .env_clear()
        .envs(env.iter())
        .env(LINE, line)
        .env(HOME, world.path())
        .env(MARKS, marks.to_string())
        .stdout(Stdio::null())
        .status()
        .unwrap()
}

fn recovered(world: &World) {
    let (paths, env, system) = (world.paths(), world.env(), world.system());
    recover(&Tools { paths: &paths, env: &env, outside: system.outside() }, &mut |_| {}).unwrap();
}
