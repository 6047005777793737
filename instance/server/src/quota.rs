//! What the instance may use. When that is used up, new work and new files are refused with a sentence that says so;
//! reading goes on, and so does whatever has begun.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};
use std::{fs, thread};

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use remotelab_config::chat::Settings;
use remotelab_config::limits::{self, size};
use remotelab_store::housekeeping;

/// How long it is good enough to know what the files took.
const MEASURE_EVERY: Duration = Duration::from_secs(60);

/// Why something new is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Exceeded {
    #[error("The files here take all the room they may ({}). Delete some, or ask whoever runs this machine", size(*.0))]
    Disk(u64),
    #[error(
        "All work that may begin today has begun ({0} runs). It goes on tomorrow, or ask whoever runs this machine"
    )]
    Runs(u32),
}

/// Counts what is used.
#[derive(Debug)]
pub(crate) struct Quota {
    quota: limits::Quota,
    room: Arc<Room>,
    runs: Mutex<Day>,
}

/// What the files take, as it was when somebody looked.
#[derive(Debug)]
struct Room {
    folders: Vec<PathBuf>,
    bytes: AtomicU64,
    measuring: AtomicBool,
    measured: Mutex<Option<Instant>>,
}

#[derive(Debug, PartialEq, Eq)]
struct Day {
    date: Date,
    runs: u32,
}

impl Quota {
    /// Finds out what is used already, as far as anybody wants to know. Blocks.
    pub(crate) fn open(settings: &Settings) -> Self {
        let (quota, paths) = (settings.quota, &settings.paths);
        let mut folders = vec![paths.config().to_owned(), paths.memory().to_owned()];
        if let Some(contained) = &settings.contained {
            folders = [vec![contained.root.clone()], folders].concat();
        }
        let room = Arc::new(Room {
            folders: outermost(folders),
            bytes: AtomicU64::new(0),
            measuring: AtomicBool::new(false),
            measured: Mutex::new(None),
        });
        if quota.disk.is_some() {
            room.measure();
        }
        let date = today();
        let runs = if quota.runs_per_day.is_some() { begun_on(date, &paths.chat_runs()) } else { 0 };
        Self { quota, room, runs: Mutex::new(Day { date, runs }) }
    }

    /// Refuses new files when the room is used up.
    pub(crate) fn check_room(&self) -> Result<(), Exceeded> {
        let Some(most) = self.quota.disk else { return Ok(()) };
        Room::look(&self.room);
        if self.room.bytes.load(Ordering::Relaxed) < most { Ok(()) } else { Err(Exceeded::Disk(most)) }
    }

    /// Refuses new work when the room or the day's runs are used up.
    pub(crate) fn check(&self) -> Result<(), Exceeded> {
        self.check_room()?;
        let Some(most) = self.quota.runs_per_day else { return Ok(()) };
        if self.today().runs < most { Ok(()) } else { Err(Exceeded::Runs(most)) }
    }

    /// Counts a run that begins.
    pub(crate) fn note_run(&self) {
        if self.quota.runs_per_day.is_some() {
            let mut today = self.today();
            today.runs = today.runs.saturating_add(1);
        }
    }

    fn today(&self) -> std::sync::MutexGuard<'_, Day> {
        let mut day = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        let date = today();
        if day.date != date {
            *day = Day { date, runs: 0 };
        }
        day
    }
}

impl Room {
    /// Has it measured anew when that was long ago, beside the work.
    fn look(room: &Arc<Self>) {
        let is_old = {
            let measured = room.measured.lock().unwrap_or_else(PoisonError::into_inner);
            measured.is_none_or(|at| at.elapsed() >= MEASURE_EVERY)
        };
        if is_old && !room.measuring.swap(true, Ordering::AcqRel) {
            let measured = Arc::clone(room);
            let started = thread::Builder::new().name("room".into()).spawn(move || measured.measure());
            if let Err(error) = started {
                room.measuring.store(false, Ordering::Release);
                tracing::warn!(%error, "cannot look what the files take");
            }
        }
    }

    fn measure(&self) {
        let bytes = self.folders.iter().map(|folder| housekeeping::taken(folder)).sum();
        self.bytes.store(bytes, Ordering::Relaxed);
        *self.measured.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        self.measuring.store(false, Ordering::Release);
    }
}

/// Leaves out folders that are in others.
fn outermost(folders: Vec<PathBuf>) -> Vec<PathBuf> {
    let is_inner =
        |folder: &PathBuf| folders.iter().any(|other| folder != other && folder.starts_with(other));
    folders.iter().filter(|folder| !is_inner(folder)).cloned().collect()
}

/// How many runs began on a day, by the folders that they have.
fn begun_on(date: Date, runs: &Path) -> u32 {
    let folders = fs::read_dir(runs).into_iter().flatten().flatten();
    let begun = folders.filter(|entry| {
        // A run's manifest is written once, when it begins.
        let manifest = entry.path().join("manifest.json").metadata();
        manifest.and_then(|about| about.modified()).is_ok_and(|at| day_of(at) == Some(date))
    });
    u32::try_from(begun.count()).unwrap_or(u32::MAX)
}

fn day_of(time: SystemTime) -> Option<Date> {
    Some(Timestamp::try_from(time).ok()?.to_zoned(TimeZone::UTC).date())
}

fn today() -> Date {
    Timestamp::now().to_zoned(TimeZone::UTC).date()
}

#[cfg(test)]
mod tests {
    use super::*;
    use remotelab_config::Env;

    fn quota(root: &Path, pairs: &[(&str, &str)]) -> Quota {
        let mut env: Env = pairs.iter().copied().collect();
        env.set("REMOTELAB_INSTANCE_ROOT", root.to_string_lossy());
        Quota::open(&Settings::from_env(&env, root))
    }

    #[test]
    fn the_runs_of_a_day_are_counted_and_survive_a_restart() {
        let root = tempfile::tempdir().unwrap();
        let two = [("REMOTELAB_QUOTA_RUNS", "2")];
        let first = quota(root.path(), &two);
        first.note_run();
        assert_eq!(first.check(), Ok(()));
        first.note_run();
        assert_eq!(first.check(), Err(Exceeded::Runs(2)));
        assert_eq!(first.check_room(), Ok(()));
        for run in ["run_1", "run_2"] {
            let folder = root.path().join("config/chat-runs").join(run);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("manifest.json"), "{}").unwrap();
        }
        let again = quota(root.path(), &two);
        assert_eq!(again.check(), Err(Exceeded::Runs(2)));
        again.runs.lock().unwrap().date = Date::constant(2026, 1, 1);
        assert_eq!(again.check(), Ok(()), "another day");
        assert_eq!(quota(root.path(), &[]).check(), Ok(()));
    }

    #[test]
    fn files_that_take_all_the_room_refuse_new_ones() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("config")).unwrap();
        let disk = [("REMOTELAB_QUOTA_DISK", "65536")];
        assert_eq!(quota(root.path(), &disk).check(), Ok(()));
        fs::write(root.path().join("config/large"), vec![7; 100_000]).unwrap();
        let full = quota(root.path(), &disk);
        assert_eq!(
            (full.check(), full.check_room()),
            (Err(Exceeded::Disk(65_536)), Err(Exceeded::Disk(65_536)))
        );
        let said = "The files here take all the room they may (64 KiB). Delete some, or ask whoever runs this machine";
        assert_eq!(full.check().unwrap_err().to_string(), said);
    }
}
