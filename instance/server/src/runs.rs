//! Following runs: starting their runner, turning what it spools into history, ending them once.
//!
//! A run is followed by one task. It reads the run's files; whatever it does is decided by them, so
//! that a server that starts anew goes on where the last one stopped.

mod projector;
pub(crate) mod start;
mod watcher;
mod writing;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use remotelab_config::atomic;
use remotelab_protocol::{Run, RunId};
use remotelab_store::{SessionCell, runs};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::after;
use crate::app::{Shared, StorageRefused, blocking, change};
use crate::clock::now_iso;
use crate::results;
use crate::submit::schedule_flush;
use projector::{Progress, Projector};
use watcher::Word;
pub(crate) use writing::Shown;

/// How often a run is looked at that nobody tells of.
const LOOK: Duration = Duration::from_millis(250);
/// How often it is looked at all the same when somebody does.
const WATCHED_LOOK: Duration = Duration::from_secs(1);
/// How long more output is waited for before it is read. Executors print in bursts, and the end of a run, which
/// is not waited for, often follows at once.
const GATHER: Duration = Duration::from_millis(5);
/// How long a runner may take to take its run over.
const START_PATIENCE: Duration = Duration::from_secs(3);
/// How often those who show it are told that more was written.
const PACE: Duration = Duration::from_millis(150);
/// How long to wait after files or storage refused.
const RETRY: Duration = Duration::from_secs(2);

/// The runs that are being followed.
#[derive(Debug)]
pub(crate) struct Runs {
    followed: Arc<Table>,
    /// Wakes a run's task when its folder changes; without it the task looks every [`LOOK`].
    watcher: Mutex<Option<RecommendedWatcher>>,
}

type Table = Mutex<HashMap<RunId, Arc<Followed>>>;

/// One followed run.
#[derive(Debug)]
struct Followed {
    cell: Arc<SessionCell>,
    projector: Mutex<Projector>,
    /// Whether word comes of every change of its folder.
    watched: AtomicBool,
    /// Something was printed.
    more: Notify,
    /// It is time to look, now.
    wake: Notify,
    /// What is being written.
    shown: watch::Receiver<Shown>,
    /// Whether anything that was said in the run may name files that it made.
    names_files: Arc<AtomicBool>,
    /// The run has ended, which can be read.
    over: CancellationToken,
    /// The record as it was when the run ended.
    record: OnceLock<Run>,
}

/// The end of a run that is under way.
#[derive(Debug)]
pub(crate) struct End(Arc<Followed>);

impl Runs {
    pub(crate) fn new() -> Self {
        let followed = Arc::<Table>::default();
        let those = Arc::clone(&followed);
        let watcher = watcher::new(move |run, word| tell(&those, run, word));
        if let Err(error) = &watcher {
            tracing::warn!(%error, "cannot watch folders; runs are polled instead");
        }
        Self { followed, watcher: Mutex::new(watcher.ok()) }
    }

    /// Starts a new run and follows it to its end.
    pub(crate) fn watch(&self, app: &Shared, cell: &Arc<SessionCell>, run: &RunId) {
        self.watch_from(app, cell, run, false);
    }

    /// Tells whether any run is under way.
    pub(crate) fn any(&self) -> bool {
        !lock(&self.followed).is_empty()
    }

    /// Goes on with a run that an earlier server left, or starts it if that one did not come to it.
    pub(crate) fn resume(&self, app: &Shared, cell: &Arc<SessionCell>, run: &RunId) {
        // Nobody remembers what was said so far.
        self.watch_from(app, cell, run, true);
    }

    /// Notes that something was said in a run beside what its executor prints.
    pub(crate) fn note_words(&self, run: &str) {
        if let Some(followed) = RunId::parse(run).ok().and_then(|run| self.followed(&run)) {
            followed.names_files.store(true, Ordering::Release);
        }
    }

    fn watch_from(&self, app: &Shared, cell: &Arc<SessionCell>, run: &RunId, names_files: bool) {
        let folder = runs::folder(&app.settings.paths, run);
        let names_files = Arc::new(AtomicBool::new(names_files));
        let (showing, shown) = watch::channel(Shown::default());
        let followed = Arc::new(Followed {
            cell: Arc::clone(cell),
            projector: Mutex::new(Projector::new(
                run.clone(),
                folder.clone(),
                Arc::clone(&names_files),
                showing,
            )),
            watched: AtomicBool::new(false),
            more: Notify::new(),
            wake: Notify::new(),
            shown,
            names_files,
            over: CancellationToken::new(),
            record: OnceLock::new(),
        });
        match lock(&self.followed).entry(run.clone()) {
            Entry::Occupied(_) => return,
            Entry::Vacant(place) => place.insert(Arc::clone(&followed)),
        };
        let (app, run) = (Arc::clone(app), run.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = follow(&app, &run, &followed) => {}
                // The next server goes on with it.
                () = app.stopping.cancelled() => return,
            }
            lock(&app.runs.followed).remove(&run);
            if let Some(record) = lock(&followed.projector).take_ended() {
                let _ = followed.record.set(record);
            }
            followed.over.cancel();
            app.hub.session_changed(&followed.cell);
            app.hub.list_changed();
            // Messages that wait do not wait for files to be copied.
            schedule_flush(&app, &followed.cell);
            results::publish(&app, &followed.cell, &run).await;
            after::go_on(&app, &followed.cell, Some(run));
            blocking(move || app.runs.forget_folder(&folder)).await;
        });
    }

    /// Brings a run's record and history up to what its executor has printed, if it is under way and nobody
    /// tells of its changes.
    pub(crate) async fn synchronise(&self, app: &Shared, run: &RunId) {
        let Some(followed) = self.followed(run).filter(|followed| !followed.is_watched()) else {
            return;
        };
        match project(app, &followed).await {
            Ok(Progress::Ended) => followed.wake.notify_one(),
            Ok(Progress::NotStarted | Progress::UnderWay) => {}
            Err(error) => tracing::warn!(run.id = %run, %error, "cannot bring a run up to date"),
        }
    }

    /// Returns the record of a run that is under way, if it is known to be up to date.
    pub(crate) fn under_way(&self, run: &RunId) -> Option<Run> {
        let followed = self.followed(run).filter(|followed| followed.is_watched())?;
        followed.cell.with(|state| state.active.clone()).filter(|active| active.id == *run)
    }

    /// Returns the text that a run's executor is writing; empty when it writes none.
    pub(crate) fn writing(&self, run: &RunId) -> Shown {
        self.followed(run).map(|followed| followed.shown.borrow().clone()).unwrap_or_default()
    }

    /// Returns the end of a run that is under way.
    pub(crate) fn end(&self, run: &RunId) -> Option<End> {
        self.followed(run).map(End)
    }

    fn followed(&self, run: &RunId) -> Option<Arc<Followed>> {
        lock(&self.followed).get(run).cloned()
    }

    /// Has changes of a folder told; tells whether that could be done. Blocks.
    fn watch_folder(&self, folder: &Path) -> bool {
        let mut watcher = lock(&self.watcher);
        let Some(watcher) = watcher.as_mut() else { return false };
        let watched = watcher.watch(folder, RecursiveMode::NonRecursive);
        if let Err(error) = &watched {
            tracing::debug!(%error, "cannot watch a run's folder; it is polled instead");
        }
        watched.is_ok()
    }

    /// Blocks.
    fn forget_folder(&self, folder: &Path) {
        if let Some(watcher) = lock(&self.watcher).as_mut() {
            // The folder may be gone.
            let _ = watcher.unwatch(folder);
        }
    }
}

impl End {
    /// Waits for the end and returns the run's record as it was then, unless it has to be read from the files.
    pub(crate) async fn reached(self) -> Option<Run> {
        self.0.over.cancelled().await;
        self.0.record.get().cloned()
    }
}

impl Followed {
    fn is_watched(&self) -> bool {
        self.watched.load(Ordering::Acquire)
    }

    /// How long to wait when nobody tells of a change.
    fn look(&self) -> Duration {
        if self.is_watched() { WATCHED_LOOK } else { LOOK }
    }

    /// Waits until there is something to read, at most so long.
    async fn changed(&self, longest: Duration) {
        tokio::select! {
            () = self.wake.notified() => {}
            () = self.more.notified() => {
                let _ = tokio::time::timeout(GATHER, self.wake.notified()).await;
            }
            () = tokio::time::sleep(longest) => {}
        }
    }
}

/// Asks a session's active run to stop, or only that one; returns its record, or `None` when it is not
/// active. The one who follows the run passes the request on to its runner.
pub(crate) async fn cancel(
    app: &Shared,
    cell: &Arc<SessionCell>,
    only: Option<&RunId>,
) -> Result<Option<Run>, StorageRefused> {
    let only = only.cloned();
    let cancelled = change(cell, move |draft| {
        let mut run = draft.active().filter(|run| only.as_ref().is_none_or(|only| *only == run.id))?.clone();
        if !run.cancel_requested {
            run.cancel_requested = true;
            run.cancel_requested_at = Some(now_iso());
            run.updated_at = now_iso();
            draft.put_run(run.clone());
        }
        Some(run)
    });
    let Some(run) = cancelled.await? else {
        return Ok(None);
    };
    tell(&app.runs.followed, Some(&run.id), Word::Over);
    app.hub.session_changed(cell);
    Ok(Some(run))
}

async fn follow(app: &Shared, run: &RunId, followed: &Arc<Followed>) {
    prepare(app, run, followed).await;
    let mut started: Option<Instant> = None;
    let mut told = Told::at(followed);
    loop {
        let look = match project(app, followed).await {
            Ok(Progress::Ended) => return,
            // A runner that died before it took the run over is replaced; two of them do no harm.
            Ok(Progress::NotStarted) if started.is_none_or(|at| at.elapsed() > START_PATIENCE) => {
                start::start(app, run).await;
                started = Some(Instant::now());
                followed.look()
            }
            Ok(Progress::NotStarted | Progress::UnderWay) => followed.look(),
            Err(error) => {
                tracing::warn!(run.id = %run, %error, "cannot bring a run up to date");
                RETRY
            }
        };
        let wait = told.tell(app, followed).map_or(look, |rest| rest.min(look));
        followed.changed(wait).await;
    }
}

/// Makes a run's folder and watches it, before it is looked at for the first time: it is needed before its
/// records are there.
async fn prepare(app: &Shared, run: &RunId, followed: &Arc<Followed>) {
    loop {
        let (worker, run, followed) = (Arc::clone(app), run.clone(), Arc::clone(followed));
        let made = blocking(move || {
            let folder = runs::make_folder(&worker.settings.paths, &run)?;
            followed.watched.store(worker.runs.watch_folder(&folder), Ordering::Release);
            Ok::<_, atomic::Error>(())
        });
        let Err(error) = made.await else { return };
        tracing::warn!(%error, "cannot make a run's folder");
        tokio::time::sleep(RETRY).await;
    }
}

/// What those who show a run were told. Compared with what is there, and not with what the last look
/// brought: whoever reads brings a run up to date as well.
struct Told {
    revision: u64,
    written: u64,
    written_at: Instant,
}

impl Told {
    fn at(followed: &Followed) -> Self {
        let revision = followed.cell.with(|state| state.revision);
        Self { revision, written: 0, written_at: Instant::now() }
    }

    /// Tells what is new and returns when there is more to tell.
    fn tell(&mut self, app: &Shared, followed: &Followed) -> Option<Duration> {
        let revision = followed.cell.with(|state| state.revision);
        if revision != self.revision {
            self.revision = revision;
            app.hub.session_changed(&followed.cell);
        }
        let written = followed.shown.borrow().revision;
        if written == self.written {
            return None;
        }
        let rest = PACE.saturating_sub(self.written_at.elapsed());
        if !rest.is_zero() {
            return Some(rest);
        }
        (self.written, self.written_at) = (written, Instant::now());
        app.hub.session_writing(&followed.cell);
        None
    }
}

async fn project(app: &Shared, followed: &Arc<Followed>) -> Result<Progress, projector::Error> {
    let (app, followed) = (Arc::clone(app), Arc::clone(followed));
    blocking(move || lock(&followed.projector).advance(&app, &followed.cell)).await
}

/// Makes those who follow a run, or any, look at it.
fn tell(followed: &Table, run: Option<&RunId>, word: Word) {
    let table = lock(followed);
    let concerned = match run {
        Some(run) => table.get(run).into_iter().collect(),
        None => table.values().collect::<Vec<_>>(),
    };
    for followed in concerned {
        match word {
            Word::More => followed.more.notify_one(),
            Word::Over => followed.wake.notify_one(),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
