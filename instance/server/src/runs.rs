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
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use remotelab_config::atomic;
use remotelab_protocol::{Run, RunId};
use remotelab_store::{SessionCell, runs};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::after;
use crate::app::{Shared, StorageRefused, blocking};
use crate::clock::now_iso;
use crate::results;
use projector::{Progress, Projector};
pub(crate) use writing::Shown;

/// How often a run is looked at when the file system tells nothing.
const LOOK: Duration = Duration::from_millis(250);
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
    wake: Notify,
    /// What is being written.
    shown: watch::Receiver<Shown>,
    /// The run has ended, which can be read.
    over: CancellationToken,
}

impl Runs {
    pub(crate) fn new() -> Self {
        let followed = Arc::<Table>::default();
        let those = Arc::clone(&followed);
        let watcher = watcher::new(move |run| wake(&those, run));
        if let Err(error) = &watcher {
            tracing::warn!(%error, "cannot watch folders; runs are polled instead");
        }
        Self { followed, watcher: Mutex::new(watcher.ok()) }
    }

    /// Starts a run if it was never started, and follows it to its end.
    pub(crate) fn watch(&self, app: &Shared, cell: &Arc<SessionCell>, run: &RunId) {
        let folder = runs::folder(&app.settings.paths, run);
        let (showing, shown) = watch::channel(Shown::default());
        let followed = Arc::new(Followed {
            cell: Arc::clone(cell),
            projector: Mutex::new(Projector::new(run.clone(), folder.clone(), showing)),
            wake: Notify::new(),
            shown,
            over: CancellationToken::new(),
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
            let (worker, gone) = (Arc::clone(&app), run.clone());
            blocking(move || worker.runs.forget(&gone, &folder)).await;
            followed.over.cancel();
            app.hub.session_changed(&followed.cell);
            app.hub.list_changed();
            results::publish(&app, &followed.cell, &run).await;
            after::go_on(&app, &followed.cell);
        });
    }

    /// Brings a run's record and history up to what its executor has printed, if it is under way.
    pub(crate) async fn synchronise(&self, app: &Shared, run: &RunId) {
        let Some(followed) = lock(&self.followed).get(run).cloned() else {
            return;
        };
        match project(app, &followed).await {
            Ok(Progress::Ended) => followed.wake.notify_one(),
            Ok(Progress::NotStarted | Progress::UnderWay) => {}
            Err(error) => tracing::warn!(run.id = %run, %error, "cannot bring a run up to date"),
        }
    }

    /// Returns the text that a run's executor is writing; empty when it writes none.
    pub(crate) fn writing(&self, run: &RunId) -> Shown {
        lock(&self.followed).get(run).map(|followed| followed.shown.borrow().clone()).unwrap_or_default()
    }

    /// Returns what is cancelled at the end of a run that is under way.
    pub(crate) fn over(&self, run: &RunId) -> Option<CancellationToken> {
        lock(&self.followed).get(run).map(|followed| followed.over.clone())
    }

    fn watch_folder(&self, folder: &Path) {
        if let Some(watcher) = lock(&self.watcher).as_mut()
            && let Err(error) = watcher.watch(folder, RecursiveMode::NonRecursive)
        {
            tracing::debug!(%error, "cannot watch a run's folder; it is polled instead");
        }
    }

    fn forget(&self, run: &RunId, folder: &Path) {
        lock(&self.followed).remove(run);
        if let Some(watcher) = lock(&self.watcher).as_mut() {
            // The folder may be gone.
            let _ = watcher.unwatch(folder);
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
    let (cancelled, commit) = cell.change(|draft| {
        let mut run = draft.active().filter(|run| only.is_none_or(|only| *only == run.id))?.clone();
        if !run.cancel_requested {
            run.cancel_requested = true;
            run.cancel_requested_at = Some(now_iso());
            run.updated_at = now_iso();
            draft.put_run(run.clone());
        }
        Some(run)
    });
    commit.durable().await?;
    let Some(run) = cancelled else {
        return Ok(None);
    };
    wake(&app.runs.followed, &run.id);
    app.hub.session_changed(cell);
    Ok(Some(run))
}

async fn follow(app: &Shared, run: &RunId, followed: &Arc<Followed>) {
    prepare(app, run).await;
    let mut started: Option<Instant> = None;
    let mut told = Told::at(followed);
    loop {
        let look = match project(app, followed).await {
            Ok(Progress::Ended) => return,
            // A runner that died before it took the run over is replaced; two of them do no harm.
            Ok(Progress::NotStarted) if started.is_none_or(|at| at.elapsed() > START_PATIENCE) => {
                start::start(app, run).await;
                started = Some(Instant::now());
                LOOK
            }
            Ok(Progress::NotStarted) => LOOK,
            Ok(Progress::UnderWay) => LOOK,
            Err(error) => {
                tracing::warn!(run.id = %run, %error, "cannot bring a run up to date");
                RETRY
            }
        };
        let wait = told.tell(app, followed).min(look);
        // Either the folder changed or it is time to look anyway: both mean the same.
        let _ = tokio::time::timeout(wait, followed.wake.notified()).await;
    }
}

/// Makes a run's folder and watches it: it is needed before its records are there.
async fn prepare(app: &Shared, run: &RunId) {
    loop {
        let (worker, run) = (Arc::clone(app), run.clone());
        let made = blocking(move || {
            let folder = runs::make_folder(&worker.settings.paths, &run)?;
            worker.runs.watch_folder(&folder);
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

    /// Tells what is new and returns when to do so again at the latest.
    fn tell(&mut self, app: &Shared, followed: &Followed) -> Duration {
        let revision = followed.cell.with(|state| state.revision);
        if revision != self.revision {
            self.revision = revision;
            app.hub.session_changed(&followed.cell);
        }
        let written = followed.shown.borrow().revision;
        if written == self.written {
            return LOOK;
        }
        let rest = PACE.saturating_sub(self.written_at.elapsed());
        if !rest.is_zero() {
            return rest;
        }
        (self.written, self.written_at) = (written, Instant::now());
        app.hub.session_writing(&followed.cell);
        LOOK
    }
}

async fn project(app: &Shared, followed: &Arc<Followed>) -> Result<Progress, projector::Error> {
    let (app, followed) = (Arc::clone(app), Arc::clone(followed));
    blocking(move || lock(&followed.projector).advance(&app, &followed.cell)).await
}

/// Makes the one who follows a run look at it now.
fn wake(followed: &Table, run: &RunId) {
    if let Some(followed) = lock(followed).get(run) {
        followed.wake.notify_one();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
