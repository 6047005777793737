//! Keeping a run to its own instance: what it may see is in [`policy`], how that is brought about below it.
//!
//! A run gets two walls where the machine has both. Namespaces (by `bwrap`) show it a file tree, processes and
//! shared memory of its own. Landlock keeps the rest: TCP ports, signals, abstract sockets, and without
//! namespaces the files, too. A system call filter closes what Landlock leaves open. All three hold for whatever
//! the run starts, and none of them needs root.

mod filter;
mod homes;
mod kernel;
mod namespaces;
mod policy;

use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use remotelab_config::containment::{Isolation, Level};
use serde::{Deserialize, Serialize};
use tokio::process::{Child, Command};
use tokio::runtime::Handle;

pub use homes::prepare as prepare_homes;
pub use policy::{Ground, Policy};

/// What keeps runs to their own instance on this machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Walls {
    /// The generation of the kernel's Landlock; 0 where there is none.
    pub landlock: u8,
    /// Whether runs can get namespaces of their own.
    pub namespaces: bool,
    /// Whether system calls can be filtered.
    pub filter: bool,
}

/// Something that runs of other instances, or the operator's files, are not kept from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gap {
    /// Files can be read and written.
    Files,
    /// The mode and times of files whose paths are known can be changed, and folders be watched.
    Attributes,
    /// Command lines of processes whose numbers are guessed can be read.
    Processes,
    /// Ports of other instances can be connected to.
    Ports,
    /// Processes can be signalled.
    Signals,
    /// Sockets of other programs can be connected to.
    Sockets,
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Files => "files",
            Self::Attributes => "modes of files",
            Self::Processes => "command lines",
            Self::Ports => "TCP ports",
            Self::Signals => "signals",
            Self::Sockets => "sockets",
        })
    }
}

impl Walls {
    /// Finds out what this machine has. Asks once; starts a process the first time. Blocks.
    #[must_use]
    pub fn here() -> Self {
        static HERE: OnceLock<Walls> = OnceLock::new();
        *HERE.get_or_init(|| Self {
            landlock: kernel::generation(),
            namespaces: namespaces::work(),
            filter: filter::exists(),
        })
    }

    /// What they leave open.
    #[must_use]
    pub fn gaps(self) -> Vec<Gap> {
        let Self { landlock, namespaces, filter } = self;
        let gaps = [
            (Gap::Files, !namespaces && landlock < kernel::TRUNCATION),
            (Gap::Attributes, !namespaces),
            (Gap::Processes, !namespaces),
            (Gap::Ports, landlock < kernel::PORTS || !filter),
            (Gap::Signals, !namespaces && landlock < kernel::SCOPES),
            (Gap::Sockets, !(filter || namespaces && landlock >= kernel::SCOPES)),
        ];
        gaps.into_iter().filter(|(_, is_open)| *is_open).map(|(gap, _)| gap).collect()
    }

    /// Says what the walls are, in words for people.
    #[must_use]
    pub fn words(self) -> String {
        let landlock = match self.landlock {
            0 => "no Landlock".to_owned(),
            generation => format!("Landlock {generation}"),
        };
        let namespaces = if self.namespaces { "namespaces" } else { "no namespaces" };
        let filter = if self.filter { "a system call filter" } else { "no system call filter" };
        format!("{namespaces}, {landlock}, {filter}")
    }
}

/// Lists gaps in words for people.
#[must_use]
pub fn list(gaps: &[Gap]) -> String {
    gaps.iter().map(Gap::to_string).collect::<Vec<_>>().join(", ")
}

/// Why a run is not begun.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The policy asks for more than the machine has.
    #[error(
        "This instance keeps its work apart from others, and this machine cannot do that: {0}. \
             The work was not begun. Ask whoever runs this machine"
    )]
    Unable(String),
    /// A wall could not be put up.
    #[error("the work could not be kept apart from others")]
    Wall(#[source] io::Error),
    /// The program could not be started behind the walls.
    #[error(transparent)]
    Start(io::Error),
}

/// Tells what is missing of what a policy asks for; with a level of [`Level::On`] only the namespaces that were
/// asked for are missed.
///
/// # Errors
/// [`Error::Unable`].
pub fn check(policy: &Policy) -> Result<(), Error> {
    if policy.isolation == Isolation::Require && !policy.walls.namespaces {
        return Err(Error::Unable("there are no namespaces (is bubblewrap installed?)".into()));
    }
    match policy.walls.gaps() {
        gaps if policy.level == Level::Require && !gaps.is_empty() => {
            Err(Error::Unable(format!("nothing guards {}", list(&gaps))))
        }
        _ => Ok(()),
    }
}

/// Starts a command behind the walls. Must be called inside a tokio runtime.
///
/// The walls bind the thread that puts them up and what it starts; so that the caller stays free, that is a
/// thread for this alone.
///
/// # Errors
/// See [`Error`].
pub fn spawn(policy: &Policy, command: &mut Command) -> Result<(Child, Held), Error> {
    let runtime = Handle::current();
    let behind = || {
        let _runtime = runtime.enter();
        restrict(policy).map_err(Error::Wall)?;
        command.spawn().map_err(Error::Start)
    };
    // Before the rules are made of them.
    let held = Held { _files: kernel::hold() };
    let started = std::thread::scope(|scope| scope.spawn(behind).join())
        .unwrap_or_else(|_| Err(Error::Wall(io::Error::other("the thread for it has died"))));
    started.map(|child| (child, held))
}

/// What has to stay as long as the run.
#[derive(Debug)]
pub struct Held {
    _files: Vec<File>,
}

/// Returns the program and arguments that start a program in namespaces of its own, where there are any; else the
/// program itself.
#[must_use]
pub fn wrapped(policy: &Policy, program: &Path, args: &[String], folder: &Path) -> (PathBuf, Vec<OsString>) {
    if policy.walls.namespaces {
        return namespaces::wrapped(policy, program, args, folder);
    }
    (program.to_owned(), args.iter().map(Into::into).collect())
}

/// Puts the walls up around this thread.
fn restrict(policy: &Policy) -> io::Result<()> {
    let walls = policy.walls;
    // With namespaces `bwrap` shows the files and needs its rights for that; it drops them.
    if !walls.namespaces {
        kernel::drop_privileges()?;
    }
    kernel::landlock(policy)?;
    if walls.filter {
        let private_sockets = walls.namespaces && walls.landlock >= kernel::SCOPES;
        filter::apply(private_sockets)?;
    }
    Ok(())
}
