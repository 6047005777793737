//! What a contained run can and cannot do, verb by verb, tried on the real kernel: by namespaces where this machine
//! has them, and by Landlock alone.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the probe answers so, and what was tried is told"
)]

use std::fs;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::num::NonZeroU32;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::{self as unix, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command as StdCommand, Stdio};
use std::time::Duration;

use remotelab_config::containment::{Contained, Containment, Isolation, Level};
use remotelab_config::{Env, InstancePaths};
use remotelab_executor::contain::{self, Gap, Ground, Policy, Walls};
use rustix::net::{AddressFamily, Protocol, SendFlags, SocketType};
use rustix::process::{Pid, Resource, Rlimit};
use tokio::process::Command;

/// In this variable the probe, which is this test program again, finds what to try: a line each.
const TRIES: &str = "TEST_TRIES";
const PATIENCE: Duration = Duration::from_secs(30);
const DENIED: &str = "denied";
const MISSING: &str = "missing";

#[test]
#[ignore = "not a test: the contained program that the tests start"]
fn acts_as_the_probe() {
    let tries = std::env::var(TRIES).expect("the tests set it");
    for (number, line) in tries.lines().enumerate() {
        let outcome = match attempt(line) {
            Ok(()) => "ok".to_owned(),
            Err(error) => match error.kind() {
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => DENIED.into(),
                io::ErrorKind::NotFound => MISSING.into(),
                io::ErrorKind::Unsupported => "unsupported".into(),
                _ if error.raw_os_error() == Some(3) => MISSING.into(),
                kind => format!("{kind:?} {error}"),
            },
        };
        println!("\ntried {number} {outcome}");
    }
}

fn attempt(line: &str) -> io::Result<()> {
    let (verb, object) = line.split_once(' ').expect("a verb and its object");
    let pid = || Pid::from_raw(object.parse().expect("a number")).expect("a process");
    let address = || object.parse::<SocketAddr>().expect("an address");
    match verb {
        "read" => fs::read(object).map(drop),
        "list" => fs::read_dir(object)?.try_for_each(|entry| entry.map(drop)),
        "write" => fs::OpenOptions::new().append(true).create(true).open(object)?.write_all(b"x"),
        "remove" => fs::remove_file(object),
        "chmod" => fs::set_permissions(object, fs::Permissions::from_mode(0o666)),
        "node" => Ok(rustix::fs::mknodat(
            rustix::fs::CWD,
            object,
            rustix::fs::FileType::BlockDevice,
            0o600.into(),
            rustix::fs::makedev(7, 0),
        )?),
        "signal" => Ok(rustix::process::test_kill_process(pid())?),
        "limit" => {
            let limit = Rlimit { current: Some(1), maximum: Some(1) };
            Ok(rustix::process::prlimit(Some(pid()), Resource::Cpu, limit).map(drop)?)
        }
        "tcp" => TcpStream::connect_timeout(&address(), PATIENCE).map(drop),
        "mptcp" => {
            let protocol = Protocol::from_raw(NonZeroU32::new(262).expect("it is not 0"));
            let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, Some(protocol))?;
            Ok(rustix::net::connect(&socket, &address())?)
        }
        "fastopen" => {
            let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None)?;
            let flags = SendFlags::from_bits_retain(0x2000_0000);
            Ok(rustix::net::sendto(&socket, b"x", flags, &address()).map(drop)?)
        }
        "unix" => UnixStream::connect(object).map(drop),
        "abstract" => {
            let name = unix::SocketAddr::from_abstract_name(object)?;
            UnixStream::connect_addr(&name).map(drop)
        }
        "shell" => {
            let status = StdCommand::new("/bin/sh").args(["-c", object]).status()?;
            if status.success() { Ok(()) } else { Err(io::ErrorKind::PermissionDenied.into()) }
        }
        other => panic!("nobody tries to {other}"),
    }
}

/// An operator with two guests, of whom the first is contained.
struct World {
    _root: tempfile::TempDir,
    home: PathBuf,
}

impl World {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let home = root.path().canonicalize().unwrap().join("op");
        let world = Self { _root: root, home };
        for (path, text) in [
            (".config/remotelab/auth.json", "owner"),
            (".config/remotelab/chat-history/s/session.json", "owner"),
            (".ssh/id", "owner"),
            (".remotelab/memory/bootstrap.md", "owner"),
            (".remotelab/instances/one/config/auth.json", "token"),
            (".remotelab/instances/one/config/images/a.png", "picture"),
            (".remotelab/instances/one/memory/bootstrap.md", "own"),
            (".remotelab/instances/one/workspace/note", "own"),
            (".remotelab/instances/two/workspace/note", "other"),
        ] {
            let path = world.at(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        fs::create_dir_all(world.one("tmp")).unwrap();
        fs::create_dir_all(world.at(".config/remotelab/run")).unwrap();
        world
    }

    fn at(&self, path: &str) -> PathBuf {
        self.home.join(path)
    }

    /// A path of the contained guest.
    fn one(&self, path: &str) -> PathBuf {
        self.at(".remotelab/instances/one").join(path)
    }

    fn two(&self, path: &str) -> PathBuf {
        self.at(".remotelab/instances/two").join(path)
    }

    fn policy(&self, walls: Walls, ports: &[u16]) -> Policy {
        let root = self.one("");
        let paths = InstancePaths::below(&root);
        let probe = std::env::current_exe().unwrap();
        let containment = Containment {
            level: Level::On,
            programs: vec![probe.parent().unwrap().to_owned()],
            ports: ports.to_owned(),
            ..Containment::default()
        };
        let contained = Contained { root, containment };
        let ground = Ground {
            contained: &contained,
            paths: &paths,
            home: &self.home,
            program: &probe,
            search_path: "/usr/bin:/bin",
            told: &[],
            env: &Env::default(),
            port: 9,
        };
        Policy::new(&ground, walls)
    }

    /// Tries all of it inside and returns what came of each.
    async fn tries(&self, walls: Walls, ports: &[u16], tries: &[String]) -> Vec<String> {
        let policy = self.policy(walls, ports);
        let args = ["--exact", "acts_as_the_probe", "--ignored", "--nocapture", "--test-threads=1"];
        let args = args.map(str::to_owned);
        let folder = self.one("workspace");
        let (program, args) = contain::wrapped(&policy, &std::env::current_exe().unwrap(), &args, &folder);
        let mut command = Command::new(program);
        command
            .args(args)
            .env(TRIES, tries.join("\n"))
            .env("TMPDIR", self.one("tmp"))
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let (child, _held) = contain::spawn(&policy, &mut command).unwrap();
        let output = tokio::time::timeout(PATIENCE, child.wait_with_output()).await.unwrap().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}\n{errors}");
        let outcomes = said.lines().filter_map(|line| line.strip_prefix("tried ")?.split_once(' '));
        outcomes.map(|(_, outcome)| outcome.to_owned()).collect()
    }

    /// Tries all of it, with each kind of wall that there is, and expects what is said beside it.
    async fn expect(&self, ports: &[u16], expected: &[(&str, String, &[&str])]) {
        let tries: Vec<String> =
            expected.iter().map(|(verb, object, _)| format!("{verb} {object}")).collect();
        for walls in kinds() {
            let outcomes = self.tries(walls, ports, &tries).await;
            assert_eq!(outcomes.len(), tries.len());
            for ((attempt, outcome), (_, _, allowed)) in tries.iter().zip(outcomes).zip(expected) {
                assert!(allowed.contains(&outcome.as_str()), "{attempt}: {outcome} with {}", walls.words());
            }
        }
    }
}

/// The kinds of wall that this machine has.
fn kinds() -> Vec<Walls> {
    let here = Walls::here();
    let alone = Walls { namespaces: false, ..here };
    let kinds: Vec<Walls> = [(alone, here.landlock >= 6 && here.filter), (here, here.namespaces)]
        .into_iter()
        .filter_map(|(walls, exists)| exists.then_some(walls))
        .collect();
    eprintln!(
        "CONTAINMENT TRIED WITH: {}",
        kinds.iter().map(|walls| walls.words()).collect::<Vec<_>>().join("; ")
    );
    assert!(!kinds.is_empty(), "nothing contains a run on this machine: {}", here.words());
    kinds
}

fn path(path: &Path) -> String {
    path.display().to_string()
}

const OK: &[&str] = &["ok"];
const NO: &[&str] = &[DENIED];
/// Where there is a file tree of its own, others' files are not even there.
const NO_OR_ABSENT: &[&str] = &[DENIED, MISSING];

#[tokio::test]
async fn reads_its_own_and_nobody_elses() {
    let world = World::new();
    let expected = [
        ("read", path(&world.one("workspace/note")), OK),
        ("read", path(&world.one("memory/bootstrap.md")), OK),
        ("read", path(&world.one("config/images/a.png")), OK),
        ("read", "/etc/passwd".into(), OK),
        ("read", "/proc/meminfo".into(), OK),
        ("list", "/usr/bin".into(), OK),
        ("read", path(&world.one("config/auth.json")), NO_OR_ABSENT),
        ("read", path(&world.two("workspace/note")), NO_OR_ABSENT),
        ("read", path(&world.at(".remotelab/memory/bootstrap.md")), NO_OR_ABSENT),
        ("read", "/etc/shadow".into(), NO_OR_ABSENT),
        ("list", path(&world.one("config")), NO),
    ];
    // With a tree of its own the folder is there, with what is shown of it.
    let expected: Vec<_> = expected
        .into_iter()
        .map(|(verb, object, allowed)| {
            let is_folder = verb == "list" && object.ends_with("config");
            (verb, object, if is_folder { &["denied", "ok"][..] } else { allowed })
        })
        .collect();
    world.expect(&[], &expected).await;
}

#[tokio::test]
async fn writes_its_own_and_nobody_elses() {
    let world = World::new();
    let expected = [
        ("write", path(&world.one("workspace/new")), OK),
        ("write", path(&world.one("tmp/new")), OK),
        ("write", path(&world.one("memory/new")), OK),
        ("chmod", path(&world.one("workspace/new")), OK),
        ("write", "/dev/null".into(), OK),
        ("write", path(&world.two("workspace/note")), NO_OR_ABSENT),
        ("remove", path(&world.two("workspace/note")), NO_OR_ABSENT),
        ("write", path(&world.at(".config/remotelab/auth.json")), NO_OR_ABSENT),
        ("write", "/usr/local/bin/new".into(), NO),
        ("node", path(&world.one("workspace/disk")), NO),
        ("shell", format!("echo x >> '{}'", path(&world.two("workspace/note"))), NO),
        ("shell", format!("ln '{}' '{}'", path(&world.at(".ssh/id")), path(&world.one("workspace/id"))), NO),
    ];
    world.expect(&[], &expected).await;
    assert_eq!(fs::read_to_string(world.two("workspace/note")).unwrap(), "other");
    assert_eq!(fs::read_to_string(world.at(".config/remotelab/auth.json")).unwrap(), "owner");
    assert!(!world.one("workspace/id").exists());
}

#[tokio::test]
async fn modes_and_command_lines_of_others_are_out_of_reach_in_namespaces() {
    let world = World::new();
    let walls = Walls::here();
    if !walls.namespaces {
        assert!(std::env::var_os("CI").is_none(), "bubblewrap is missing");
        eprintln!("NOT TRIED: bubblewrap is missing");
        return;
    }
    let file = world.two("workspace/note");
    let other = Other::start();
    let tries = [format!("chmod {}", path(&file)), format!("read /proc/{}/cmdline", other.0.id())];
    assert_eq!(world.tries(walls, &[], &tries).await, [MISSING, MISSING]);
    // What Landlock alone leaves open is told.
    let alone = Walls { namespaces: false, landlock: 7, filter: true };
    assert_eq!((alone.gaps(), walls.gaps()), (vec![Gap::Attributes, Gap::Processes], vec![]));
}

#[tokio::test]
async fn signals_its_own_and_nobody_elses() {
    let world = World::new();
    let other = Other::start();
    let pid = other.0.id().to_string();
    let expected = [
        ("shell", "sleep 60 & kill $!".into(), OK),
        ("signal", pid.clone(), NO_OR_ABSENT),
        ("limit", pid.clone(), NO_OR_ABSENT),
        ("shell", format!("kill -9 {pid} 2>/dev/null"), NO),
    ];
    world.expect(&[], &expected).await;
    assert!(other.is_alive());
}

#[tokio::test]
async fn connects_to_what_it_may_and_to_nobody_else() {
    let world = World::new();
    let (mine, others) =
        (TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
    let socket = world.at(".config/remotelab/run/supervisor.sock");
    let _supervisor = UnixListener::bind(&socket).unwrap();
    let name = format!("remotelab-test-{}", std::process::id());
    let abstract_name = unix::SocketAddr::from_abstract_name(&name).unwrap();
    let _bus = UnixListener::bind_addr(&abstract_name).unwrap();
    let others = others.local_addr().unwrap();
    let expected = [
        ("tcp", mine.local_addr().unwrap().to_string(), OK),
        ("tcp", others.to_string(), NO),
        ("mptcp", others.to_string(), NO),
        ("fastopen", others.to_string(), &["unsupported"]),
        ("unix", path(&socket), NO_OR_ABSENT),
        ("abstract", name, NO),
    ];
    world.expect(&[mine.local_addr().unwrap().port()], &expected).await;
}

#[tokio::test]
async fn learns_of_nobody_else() {
    let world = World::new();
    let other = Other::start();
    let pid = other.0.id();
    let expected = [
        ("list", path(&world.at(".remotelab/instances")), &["denied", "ok"][..]),
        ("list", path(&world.two("")), NO_OR_ABSENT),
        ("list", "/tmp".into(), &["denied", "ok"]),
        ("read", format!("/proc/{pid}/environ"), NO_OR_ABSENT),
        ("read", format!("/proc/{pid}/root/etc/passwd"), NO_OR_ABSENT),
        ("list", "/dev/shm".into(), &["denied", "ok"]),
        // In a tree of its own these can be listed, and hold nothing of others.
        ("shell", format!("ls '{}' | grep two", path(&world.at(".remotelab/instances"))), NO),
        ("shell", "ls /proc | grep -E '^[0-9]{3,}$'".into(), NO),
        (
            "shell",
            format!("ls /tmp | grep '{}'", Path::new(&world._root.path().file_name().unwrap()).display()),
            &["denied", "ok"],
        ),
        ("shell", format!("ps -A -o args | grep 'sleep {}' | grep -v grep", Other::NAP), NO),
    ];
    world.expect(&[], &expected).await;
}

#[tokio::test]
async fn reads_no_secret_of_the_owner() {
    let world = World::new();
    let secret = world.at(".config/remotelab/auth.json");
    symlink(&secret, world.one("workspace/way")).unwrap();
    symlink(world.at(".config"), world.one("memory/way")).unwrap();
    let expected = [
        ("read", path(&secret), NO_OR_ABSENT),
        ("read", path(&world.one("workspace/way")), NO_OR_ABSENT),
        ("read", path(&world.one("memory/way/remotelab/auth.json")), NO_OR_ABSENT),
        ("read", path(&world.at(".config/remotelab/chat-history/s/session.json")), NO_OR_ABSENT),
        ("read", path(&world.at(".ssh/id")), NO_OR_ABSENT),
        ("read", format!("/proc/{}/root{}", std::process::id(), path(&secret)), NO_OR_ABSENT),
        ("read", format!("/proc/{}/environ", std::process::id()), NO_OR_ABSENT),
        ("shell", format!("sh -c \"sh -c 'cat {}'\" 2>/dev/null", path(&secret)), NO),
        ("shell", format!("cp '{}' . 2>/dev/null", path(&secret)), NO),
    ];
    world.expect(&[], &expected).await;
}

#[test]
fn a_machine_without_walls_is_told_of() {
    let none = Walls::default();
    assert_eq!(
        none.gaps(),
        [Gap::Files, Gap::Attributes, Gap::Processes, Gap::Ports, Gap::Signals, Gap::Sockets]
    );
    let old = Walls { landlock: 3, namespaces: false, filter: true };
    assert_eq!(old.gaps(), [Gap::Attributes, Gap::Processes, Gap::Ports, Gap::Signals]);
    assert_eq!(old.words(), "no namespaces, Landlock 3, a system call filter");
    let policy = |level, isolation| Policy { walls: old, level, isolation, ..Policy::default() };
    assert!(contain::check(&policy(Level::On, Isolation::Auto)).is_ok());
    let refused = contain::check(&policy(Level::Require, Isolation::Auto)).unwrap_err().to_string();
    assert_eq!(
        refused,
        "This instance keeps its work apart from others, and this machine cannot do that: nothing guards modes of \
         files, command lines, TCP ports, signals. The work was not begun. Ask whoever runs this machine"
    );
    assert!(contain::check(&policy(Level::On, Isolation::Require)).is_err());
    let whole = Walls { landlock: 7, namespaces: true, filter: true };
    assert!(contain::check(&Policy { walls: whole, ..policy(Level::Require, Isolation::Require) }).is_ok());
}

/// A process of somebody else.
struct Other(Child);

impl Other {
    const NAP: &str = "61.5";

    fn start() -> Self {
        Self(StdCommand::new("sleep").arg(Self::NAP).spawn().unwrap())
    }

    fn is_alive(&self) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0.id())).unwrap();
        !stat.rsplit_once(") ").unwrap().1.starts_with('Z')
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
