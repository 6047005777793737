//! Clearing away what nobody needs.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{Timestamp, civil::Date};
use remotelab_config::lock::FileLock;
use remotelab_config::{InstancePaths, atomic};
use remotelab_protocol::{Run, Session};
use serde::Serialize;

use super::unused::Unused;
use super::{File, media, room, walk};

/// Files that are younger may be half way to where they belong.
const SETTLED: Duration = Duration::from_hours(24);

/// What can be cleared away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// How executors were called and what they printed in runs that have ended; their records, results and
    /// history stay.
    Runs,
    /// Logs of requests and of processes.
    Logs,
    /// Files of messages that no message names any longer.
    Media,
    /// Copies of files whose bytes are in an object storage.
    Cache,
    /// Executors' own logs of conversations that no session goes on with.
    Conversations,
    /// The history in copies of sessions that a crash left half-way.
    Copies,
    /// Half-written files that a crash left.
    Temporary,
}

/// What is to be cleared away.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Which kinds.
    pub kinds: Vec<Kind>,
    /// Only what has not changed since.
    pub older_than: Duration,
    /// Whether nothing is touched.
    pub dry_run: bool,
    /// The present.
    pub now: Timestamp,
}

/// What was cleared away, or would be.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Pruned {
    /// The room that this makes.
    pub bytes: u64,
    /// The files.
    pub removed: Vec<Removed>,
    /// What was old enough and stays all the same.
    pub skipped: Vec<Skipped>,
}

/// A file that was cleared away.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Removed {
    /// Why it could be.
    pub kind: Kind,
    /// The file.
    pub path: PathBuf,
    /// Its room.
    pub bytes: u64,
}

/// A file that stays.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Skipped {
    /// The file or folder.
    pub path: PathBuf,
    /// Why.
    pub reason: String,
}

/// Clears away what a plan says, also while a server runs there. Blocks, long where there is much.
#[must_use]
pub fn prune(paths: &InstancePaths, plan: &Plan) -> Pruned {
    let mut work = Work { plan, pruned: Pruned::default() };
    for kind in &plan.kinds {
        match kind {
            Kind::Runs => work.runs(paths),
            Kind::Logs => work.logs(paths),
            Kind::Media => work.media(paths),
            Kind::Cache => work.cache(paths),
            Kind::Conversations => work.unused(paths, Kind::Conversations, |unused| unused.logs(paths)),
            Kind::Copies => work.unused(paths, Kind::Copies, Unused::copied),
            Kind::Temporary => work.temporary(paths),
        }
    }
    work.pruned
}

struct Work<'a> {
    plan: &'a Plan,
    pruned: Pruned,
}

impl Work<'_> {
    fn runs(&mut self, paths: &InstancePaths) {
        let mut folders: Vec<PathBuf> = fs::read_dir(paths.chat_runs())
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .collect();
        folders.sort();
        for folder in folders {
            let output = output_of(&folder);
            if output.is_empty() {
                continue;
            }
            match atomic::read_json::<Run>(&folder.join("status.json")) {
                Ok(Some(run)) => self.run(paths, &folder, &run, output),
                Ok(None) => self.skip(folder, "it has no record"),
                Err(error) => self.skip(folder, &format!("its record is damaged: {}", error.source)),
            }
        }
    }

    fn run(&mut self, paths: &InstancePaths, folder: &Path, run: &Run, output: Vec<File>) {
        let ended = run.finalized_at.as_deref().or(run.completed_at.as_deref());
        let ended = ended.and_then(|at| at.parse::<Timestamp>().ok());
        if !run.state.is_terminal() || ended.is_none() {
            return self.skip(folder.to_owned(), "the run has not ended");
        }
        if ended.is_some_and(|at| !self.is_old(at, self.plan.older_than)) {
            return;
        }
        let session = paths.chat_history().join(run.session_id.as_str()).join("session.json");
        match atomic::read_json::<Session>(&session) {
            Ok(session)
                if session.as_ref().and_then(|session| session.active_run_id.as_ref()) == Some(&run.id) =>
            {
                return self.skip(folder.to_owned(), "its session is still at it");
            }
            Ok(_) => {}
            Err(_) => return self.skip(folder.to_owned(), "the record of its session is damaged"),
        }
        // Held while the files go: a runner that lives has it.
        let lock = folder.join("runner.lock");
        let lock = if self.plan.dry_run {
            FileLock::is_held(&lock).ok().filter(|is_held| !is_held).map(|_| None)
        } else {
            FileLock::try_acquire(&lock).ok().map(Some)
        };
        let Some(_lock) = lock else {
            return self.skip(folder.to_owned(), "its runner is still at work");
        };
        for file in output {
            self.remove(Kind::Runs, file);
        }
        if !self.plan.dry_run {
            // Only when it is empty.
            let _ = fs::remove_dir(folder.join("artifacts"));
        }
    }

    fn logs(&mut self, paths: &InstancePaths) {
        let today = self.plan.now.to_zoned(TimeZone::system()).date();
        let mut files = Vec::new();
        walk(&paths.api_logs(), &mut |file| files.push(file));
        for file in files {
            let name = file.path.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
            let end = name.parse::<Date>().ok().filter(|day| *day < today).and_then(|day| {
                let end = day.tomorrow().ok()?.to_zoned(TimeZone::system()).ok()?;
                Some(end.timestamp())
            });
            // Today's is being written to, and what has another name is not ours.
            if end.is_some_and(|end| self.is_old(end, self.plan.older_than)) {
                self.remove(Kind::Logs, file);
            }
        }
        let mut aside = Vec::new();
        walk(&paths.config().join("logs"), &mut |file| aside.push(file));
        // `x.log.1` was put aside; `x.log` is open.
        aside.retain(|file| file.path.to_string_lossy().ends_with(".log.1"));
        for file in aside {
            if self.is_file_old(&file.path, self.plan.older_than) {
                self.remove(Kind::Logs, file);
            }
        }
    }

    fn media(&mut self, paths: &InstancePaths) {
        let orphans = match media::orphans(paths) {
            Ok(orphans) => orphans,
            Err(error) => {
                return self.skip(paths.images(), &format!("what messages name is not known: {error}"));
            }
        };
        for path in orphans {
            if let Ok(about) = fs::symlink_metadata(&path)
                && self.is_file_old(&path, self.plan.older_than.max(SETTLED))
            {
                self.remove(Kind::Media, File { bytes: room(&about), path });
            }
        }
    }

    fn cache(&mut self, paths: &InstancePaths) {
        let mut files = Vec::new();
        walk(&paths.file_assets_cache(), &mut |file| files.push(file));
        files.sort_by(|a, b| a.path.cmp(&b.path));
        self.remove_old(Kind::Cache, files);
    }

    fn unused(&mut self, paths: &InstancePaths, kind: Kind, of: impl FnOnce(&Unused) -> Vec<File>) {
        match Unused::find(paths) {
            Ok(unused) => self.remove_old(kind, of(&unused)),
            Err(error) => {
                self.skip(paths.chat_history(), &format!("what sessions go on with is not known: {error}"));
            }
        }
    }

    /// Removes files of no use that are old enough, and at least a day: younger ones may just come to be.
    fn remove_old(&mut self, kind: Kind, files: Vec<File>) {
        for file in files {
            if self.is_file_old(&file.path, self.plan.older_than.max(SETTLED)) {
                self.remove(kind, file);
            }
        }
    }

    fn temporary(&mut self, paths: &InstancePaths) {
        let mut files = Vec::new();
        walk(paths.config(), &mut |file| {
            let name = file.path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if name.starts_with('.') && name.contains(".tmp-") {
                files.push(file);
            }
        });
        for file in files {
            // The age that is asked for is about what is of use; these are of none.
            if self.is_file_old(&file.path, SETTLED) {
                self.remove(Kind::Temporary, file);
            }
        }
    }

    fn is_file_old(&self, path: &Path, age: Duration) -> bool {
        let changed = fs::symlink_metadata(path).and_then(|about| about.modified()).ok();
        let changed = changed.and_then(|time| Timestamp::try_from(time).ok());
        changed.is_some_and(|at| self.is_old(at, age))
    }

    fn is_old(&self, at: Timestamp, age: Duration) -> bool {
        self.plan.now.checked_sub(age).is_ok_and(|limit| at <= limit)
    }

    fn remove(&mut self, kind: Kind, File { path, bytes }: File) {
        let outcome = if self.plan.dry_run { Ok(()) } else { fs::remove_file(&path) };
        match outcome {
            Ok(()) => {
                self.pruned.bytes += bytes;
                self.pruned.removed.push(Removed { kind, path, bytes });
            }
            Err(error) => self.skip(path, &error.to_string()),
        }
    }

    fn skip(&mut self, path: PathBuf, reason: &str) {
        self.pruned.skipped.push(Skipped { path, reason: reason.to_owned() });
    }
}

/// How an executor was called, and what it and its runner printed.
fn output_of(folder: &Path) -> Vec<File> {
    let mut files = Vec::new();
    walk(&folder.join("artifacts"), &mut |file| files.push(file));
    for name in ["launch.json", "spool.jsonl", "runner.log"] {
        let path = folder.join(name);
        if let Ok(about) = fs::symlink_metadata(&path) {
            files.push(File { bytes: room(&about), path });
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}
