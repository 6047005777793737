//! The plan of an operation and how far it has come, on the disk. One file for each guest that is being
//! worked on, which is also the lock that keeps others away.
//!
//! The first line is the plan, each further one a mark; the last whole mark counts. The lock ends with the
//! process that holds it, so a file without a holder is an operation that was cut off.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use remotelab_config::{InstanceName, OwnerPaths, atomic};
use serde::{Deserialize, Serialize};

use super::Error;
use super::plan::{Plan, Way};
use super::step::Step;

/// The longest journal that is read, in bytes.
const MAX_BYTES: u64 = 4 * 1024 * 1024;

/// How long a look for dead operations may take.
const PATIENCE: Duration = Duration::from_secs(1);

const PAUSE: Duration = Duration::from_millis(1);

/// An operation under way, and the right to work on its guest.
#[derive(Debug)]
pub(crate) struct Journal {
    file: File,
    path: PathBuf,
    plan: Plan,
    mark: Mark,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Mark {
    /// The first step that is not known to be done.
    next: usize,
    /// Whether the way is back, whatever the plan says.
    undoing: bool,
}

/// What a journal file turned out to be.
#[derive(Debug)]
pub(super) enum Found {
    /// An operation that was cut off, now ours.
    Dead(Box<Journal>),
    /// One that somebody is at work on.
    AtWork,
    /// Nothing: whoever made it had not begun, or has ended.
    Nothing,
}

impl Journal {
    /// Takes the guest of a plan and writes the plan down, before anything is done.
    pub(super) fn create(paths: &OwnerPaths, plan: Plan) -> Result<Self, Error> {
        let path = path_of(paths, plan.guest());
        let cannot = |source| atomic::Error::new("write", &path, source);
        atomic::create_private_dir(&folder(paths))?;
        let deadline = Instant::now() + PATIENCE;
        let mut file = loop {
            match locked(&path, true).map_err(cannot)? {
                Some(file) => break file,
                // Plans are written under the registry's lock, which is ours now: an empty file is one that
                // somebody looks at who looks for the dead.
                None if is_empty(&path) && Instant::now() < deadline => thread::sleep(PAUSE),
                None => return Err(Error::Busy(plan.guest().clone())),
            }
        };
        if read(&mut file).map_err(cannot)?.contains(&b'\n') {
            return Err(Error::Unfinished(plan.guest().clone()));
        }
        let write = |file: &mut File| -> io::Result<()> {
            let mut line = serde_json::to_vec(&plan)?;
            line.push(b'\n');
            file.set_len(0)?;
            file.write_all(&line)?;
            file.sync_all()?;
            atomic::sync_dir(&folder(paths))
        };
        if let Err(error) = write(&mut file) {
            let _ = fs::remove_file(&path);
            return Err(cannot(error).into());
        }
        Ok(Self { file, path, plan, mark: Mark::default() })
    }

    /// Takes over what somebody has left behind.
    pub(super) fn find(path: &Path) -> io::Result<Found> {
        let mut file = match locked(path, false) {
            Ok(Some(file)) => file,
            Ok(None) => return Ok(Found::AtWork),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
            Err(error) => return Err(error),
        };
        let bytes = read(&mut file)?;
        let Some(end) = bytes.iter().position(|&byte| byte == b'\n') else {
            // Cut off before the plan was whole: nothing was done.
            fs::remove_file(path)?;
            return Ok(Found::Nothing);
        };
        let plan: Plan = serde_json::from_slice(&bytes[..end])?;
        let marks = bytes[end..].split(|&byte| byte == b'\n');
        let mark = marks.filter_map(|line| serde_json::from_slice(line).ok()).next_back();
        let mark = mark.unwrap_or_default();
        Ok(Found::Dead(Box::new(Self { file, path: path.to_owned(), plan, mark })))
    }

    pub(crate) fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The step that is next; `None` after the last.
    pub(super) fn step(&self) -> Option<&Step> {
        self.plan.steps.get(self.mark.next)
    }

    /// The steps that are done or may have been begun, the last one first.
    pub(super) fn begun(&self) -> impl Iterator<Item = &Step> {
        let count = self.plan.steps.len().min(self.mark.next + 1);
        self.plan.steps[..count].iter().rev()
    }

    /// Notes that the next step is done.
    pub(crate) fn advance(&mut self) -> Result<(), Error> {
        self.note(Mark { next: self.mark.next + 1, ..self.mark })
    }

    /// Notes that all is going to be undone.
    pub(super) fn turn_back(&mut self) -> Result<(), Error> {
        self.note(Mark { undoing: true, ..self.mark })
    }

    /// Whether all may still be undone, the next step having failed.
    pub(super) fn may_turn_back(&self) -> bool {
        self.mark.undoing || self.mark.next <= self.plan.commit
    }

    /// Which way it goes after a kill.
    pub(super) fn way(&self) -> Way {
        self.plan.way(self.mark.next, self.mark.undoing)
    }

    /// Ends the operation and lets others work on the guest.
    pub(super) fn close(self) {
        // One that stays is found by the next command, which has nothing left to do.
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(%error, "cannot remove {}", self.path.display());
        }
    }

    fn note(&mut self, mark: Mark) -> Result<(), Error> {
        let write = |file: &mut File| -> io::Result<()> {
            // A line of its own, also after one that a full disk has cut short.
            let mut line = vec![b'\n'];
            serde_json::to_writer(&mut line, &mark)?;
            line.push(b'\n');
            file.write_all(&line)?;
            file.sync_data()
        };
        write(&mut self.file).map_err(|source| atomic::Error::new("write", &self.path, source))?;
        self.mark = mark;
        Ok(())
    }
}

/// Where operations are written down.
pub(super) fn folder(paths: &OwnerPaths) -> PathBuf {
    paths.runtime().join("operations")
}

pub(super) fn path_of(paths: &OwnerPaths, guest: &InstanceName) -> PathBuf {
    folder(paths).join(format!("{guest}.jsonl"))
}

/// Opens a file and locks it; `None` when somebody else has it locked.
fn locked(path: &Path, create: bool) -> io::Result<Option<File>> {
    loop {
        let mut options = OpenOptions::new();
        let file = options.read(true).append(true).create(create).mode(0o600).open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        // Its holder may have removed it between the two calls: then the name belongs to another file.
        if file.metadata()?.nlink() > 0 {
            return Ok(Some(file));
        }
    }
}

/// Also when it is gone: whoever looked at it has removed it.
fn is_empty(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|data| data.len() == 0) || !path.exists()
}

fn read(file: &mut File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(MAX_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operation::Verb;
    use remotelab_config::Env;
    use serde_json::json;

    fn paths(home: &Path) -> OwnerPaths {
        OwnerPaths::from_env(&Env::default(), home)
    }

    fn plan() -> Plan {
        let record = serde_json::from_value(json!({"name": "x", "port": 1})).unwrap();
        Plan { verb: Verb::Create, record, steps: vec![Step::Reserve, Step::Publish], commit: 1 }
    }

    fn found(paths: &OwnerPaths) -> Found {
        Journal::find(&path_of(paths, plan().guest())).unwrap()
    }

    #[test]
    fn the_last_whole_mark_counts() {
        let home = tempfile::tempdir().unwrap();
        let paths = paths(home.path());
        let mut journal = Journal::create(&paths, plan()).unwrap();
        assert!(matches!(found(&paths), Found::AtWork));
        assert!(matches!(Journal::create(&paths, plan()), Err(Error::Busy(_))));
        journal.advance().unwrap();
        journal.file.write_all(b"\n{\"next\":9,\"un").unwrap();
        drop(journal);
        assert!(matches!(Journal::create(&paths, plan()), Err(Error::Unfinished(_))));
        let Found::Dead(mut journal) = found(&paths) else { panic!("it is dead") };
        assert_eq!((journal.plan(), journal.mark.next), (&plan(), 1));
        journal.turn_back().unwrap();
        drop(journal);
        let Found::Dead(journal) = found(&paths) else { panic!("it is dead") };
        assert_eq!(journal.mark, Mark { next: 1, undoing: true });
        journal.close();
        assert!(matches!(found(&paths), Found::Nothing));
    }

    #[test]
    fn a_look_for_the_dead_keeps_nobody_from_beginning() {
        let home = tempfile::tempdir().unwrap();
        let paths = paths(home.path());
        atomic::create_private_dir(&folder(&paths)).unwrap();
        let looking = locked(&path_of(&paths, plan().guest()), true).unwrap().unwrap();
        let begun = thread::scope(|scope| {
            let beginning = scope.spawn(|| Journal::create(&paths, plan()));
            thread::sleep(PAUSE);
            drop(looking);
            beginning.join().unwrap()
        });
        assert!(begun.is_ok());
    }

    #[test]
    fn half_a_plan_is_none_and_one_of_another_version_is_kept() {
        let home = tempfile::tempdir().unwrap();
        let paths = paths(home.path());
        atomic::create_private_dir(&folder(&paths)).unwrap();
        let path = path_of(&paths, plan().guest());
        fs::write(&path, "{\"verb\":\"cre").unwrap();
        assert!(matches!(found(&paths), Found::Nothing));
        assert!(!path.exists());
        fs::write(&path, "{\"verb\":\"fly\"}\n").unwrap();
        assert!(Journal::find(&path).is_err());
        assert!(path.exists());
    }
}
