//! A home folder of its own, free ports, and a stand-in for the `remotelab` program.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use remotelab_config::registry::Registry;
use remotelab_config::{Env, InstanceName, OwnerPaths};
use remotelab_manager::control::{self, Child, State};
use remotelab_manager::guests::Guests;
use remotelab_manager::outside::{Door, Outside, Service};
use remotelab_manager::supervisor::Options;
use tempfile::TempDir;

/// Says that it listens, then lives until it is told to end or its standard input does. Asked whether it has
/// anything to do, it says what the file `rest` holds, otherwise that it has not.
const WELL_BEHAVED: &str = r#"
echo "listening on http://127.0.0.1:${CHAT_PORT:-0}"
trap 'exit 0' TERM
while read -r _; do cat "$HOME/rest" 2>/dev/null || echo 'rest {"idleMs":0}'; done
"#;

pub(crate) struct World {
    pub(crate) home: TempDir,
    ports: [u16; 3],
    first_guest_port: u16,
}

impl World {
    pub(crate) fn new() -> Self {
        let world = Self {
            home: tempfile::tempdir().unwrap(),
            ports: free_ports(),
            first_guest_port: 10_000 + rand::random::<u16>() % 20_000,
        };
        world.program(WELL_BEHAVED);
        world
    }

    /// Replaces the program that children run by a shell script; `$1` is the subcommand.
    pub(crate) fn program(&self, script: &str) {
        let path = self.program_path();
        let fresh = path.with_extension("new");
        fs::write(&fresh, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&fresh, fs::Permissions::from_mode(0o755)).unwrap();
        fs::rename(fresh, path).unwrap();
    }

    pub(crate) fn well_behaved_unless(&self, script: &str) {
        self.program(&format!("{script}\n{WELL_BEHAVED}"));
    }

    pub(crate) fn program_path(&self) -> PathBuf {
        self.home.path().join("remotelab")
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.home.path().join(".config/remotelab")
    }

    /// Returns a child's log when it is as expected.
    pub(crate) async fn log_when(&self, name: &str, right: impl Fn(&str) -> bool) -> String {
        let path = self.config().join("logs").join(name);
        for _ in 0..1000 {
            match fs::read_to_string(&path) {
                Ok(log) if right(&log) => return log,
                _ => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
        panic!("{} is not as expected: {:?}", path.display(), fs::read_to_string(&path));
    }

    pub(crate) fn env(&self) -> Env {
        let [owner, gateway, mail] = self.ports.map(|port| port.to_string());
        [
            ("PATH", std::env::var("PATH").unwrap()),
            ("CHAT_PORT", owner),
            ("NATAPP_PROXY_LISTEN_PORT", gateway),
            ("AGENT_MAILBOX_PORT", mail),
            ("REMOTELAB_GUEST_FIRST_PORT", self.first_guest_port.to_string()),
        ]
        .into_iter()
        .collect()
    }

    pub(crate) fn owner_port(&self) -> u16 {
        self.ports[0]
    }

    pub(crate) fn first_guest_port(&self) -> u16 {
        self.first_guest_port
    }

    pub(crate) fn options(&self) -> Options {
        Options::from_env(&self.env(), self.home.path(), self.program_path())
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.home.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub(crate) fn guests(&self) -> Guests {
        guests(&self.env(), self.path())
    }

    pub(crate) fn paths(&self) -> OwnerPaths {
        OwnerPaths::from_env(&self.env(), self.path())
    }

    pub(crate) fn registry(&self) -> Registry {
        Registry::load(&self.paths().registry()).unwrap()
    }

    /// A system in which everything starts.
    pub(crate) fn system(&self) -> Running {
        Running::below(self.path())
    }

    /// How many operations are under way, or were cut off.
    pub(crate) fn operations(&self) -> usize {
        fs::read_dir(self.config().join("run/operations")).map_or(0, Iterator::count)
    }

    pub(crate) fn path(&self) -> &Path {
        self.home.path()
    }
}

fn free_ports() -> [u16; 3] {
    let listeners = [0; 3].map(|_: u8| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port"));
    listeners.map(|listener| listener.local_addr().expect("a bound address").port())
}

/// Commands about guests below a home folder.
pub(crate) fn guests(env: &Env, home: &Path) -> Guests {
    Guests::new(OwnerPaths::from_env(env, home), env.clone(), (Ipv4Addr::LOCALHOST, 7699).into())
}

/// A system in which everything starts. What runs is a file each, so that it outlives whoever asked for it.
pub(crate) struct Running {
    folder: PathBuf,
}

impl Running {
    pub(crate) fn below(home: &Path) -> Self {
        let folder = home.join("running");
        fs::create_dir_all(&folder).unwrap();
        Self { folder }
    }

    pub(crate) fn outside(&self) -> Outside<'_> {
        Outside { service: self, door: self }
    }

    /// The names of those that run.
    pub(crate) fn started(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.folder).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Service for Running {
    fn start(&self, name: &InstanceName) -> Result<(), control::Error> {
        fs::write(self.folder.join(name.as_str()), "")
            .map_err(|error| control::Error::Refused(error.to_string()))
    }

    fn stop(&self, name: &InstanceName) -> Result<(), control::Error> {
        let _ = fs::remove_file(self.folder.join(name.as_str()));
        Ok(())
    }

    fn restart(&self, name: &InstanceName) -> Result<(), control::Error> {
        self.start(name)
    }

    fn report(&self) -> Result<Vec<Child>, control::Error> {
        let child = |name| Child {
            name,
            state: State::Ready,
            pid: Some(1),
            listening: None,
            program: PathBuf::new(),
            started_at: None,
            failures: 0,
            last_error: None,
        };
        Ok(self.started().into_iter().map(child).collect())
    }
}

impl Door for Running {
    fn reload(&self) -> io::Result<()> {
        Ok(())
    }
}
