//! Whole or not at all, whoever is killed when: commands run in a process of their own that kills itself.

use std::fs;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};

use remotelab_config::registry::State;
use remotelab_config::{Env, InstanceName, OwnerPaths};
use remotelab_manager::control::{self, Child};
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
/// up. Clearing up is killed at every mark, too.
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
        for marks in 0.. {
            if operate(&world, "recover", marks).success() {
                break;
            }
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
