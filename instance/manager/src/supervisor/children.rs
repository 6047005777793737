//! All children of a supervisor.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::keeper::{self, Asked, Keeper, describe};
use super::process::Driver;
use super::spec::{Id, Spec};
use crate::control::{Child, State};

/// How long a child may take until it listens, when somebody waits for it.
const START_PATIENCE: Duration = Duration::from_secs(10);

/// How long a child may take to end before it is killed.
const STOP_GRACE: Duration = Duration::from_secs(3);

/// When the turns of a drain are killed, counted from its beginning. All of it stays below 5 s.
const DRAIN: [Duration; 3] =
    [Duration::from_millis(1500), Duration::from_millis(3000), Duration::from_millis(4500)];

/// The children by identity.
pub(crate) struct Children {
    driver: Arc<dyn Driver>,
    keepers: Mutex<BTreeMap<Id, Entry>>,
}

#[derive(Clone)]
struct Entry {
    keeper: Keeper,
    /// The program that is wanted.
    program: PathBuf,
}

impl Children {
    pub(crate) fn new(driver: Arc<dyn Driver>) -> Self {
        Self { driver, keepers: Mutex::default() }
    }

    /// Starts a child without waiting for it.
    pub(crate) async fn launch(&self, spec: Spec) {
        self.keeper(&spec).launch(spec).await;
    }

    /// Starts a child, if it does not run, and waits until it listens.
    pub(crate) async fn start(&self, spec: Spec) -> Result<(), Error> {
        let id = spec.id.clone();
        let outcome = self.keeper(&spec).start(spec, START_PATIENCE).await;
        outcome.map_err(|source| Error::new(&id, &source))
    }

    /// Stops a child and forgets it when it is a guest.
    pub(crate) async fn stop(&self, id: &Id) -> Result<(), Error> {
        let Some(keeper) = self.find(id) else {
            return Ok(());
        };
        keeper.stop(STOP_GRACE).await.map_err(|source| Error::new(id, &source))?;
        let mut keepers = self.lock();
        // Somebody else with a handle may be starting it again at this moment.
        if matches!(id, Id::Guest(_)) && keeper.handles() <= 2 {
            keepers.remove(id);
        }
        Ok(())
    }

    /// Stops a child, if it runs, and starts it as it is to be now.
    pub(crate) async fn restart(&self, spec: Spec) -> Result<(), Error> {
        let id = spec.id.clone();
        let outcome = self.keeper(&spec).restart(spec, STOP_GRACE, START_PATIENCE).await;
        outcome.map_err(|source| Error::new(&id, &source))
    }

    /// Takes a child on that is started when it is needed.
    pub(crate) fn rest(&self, spec: Spec) {
        self.lock().entry(spec.id.clone()).or_insert_with(|| Entry {
            program: spec.program.clone(),
            keeper: Keeper::asleep(spec, Arc::clone(&self.driver)),
        });
    }

    /// Starts a child that sleeps and waits until it listens.
    pub(crate) async fn wake(&self, spec: Spec) -> Result<(), Error> {
        let id = spec.id.clone();
        let keeper = self.find(&id).ok_or_else(|| Error::not_running(&id))?;
        keeper.wake(spec, START_PATIENCE).await.map_err(|source| Error::new(&id, &source))
    }

    /// Asks a child what it has to do.
    pub(crate) async fn ask(&self, id: &Id) -> Result<Asked, Error> {
        let keeper = self.find(id).ok_or_else(|| Error::not_running(id))?;
        keeper.ask().await.ok_or_else(|| Error(format!("{} does not say what it has to do", describe(id))))
    }

    /// Stops a child until it is needed, unless it is needed.
    pub(crate) async fn sleep(&self, id: &Id, asked: Asked) -> Result<(), Error> {
        let keeper = self.find(id).ok_or_else(|| Error::not_running(id))?;
        keeper.sleep(asked, STOP_GRACE).await.map_err(|source| Error::new(id, &source))
    }

    /// What a child is doing.
    pub(crate) fn state(&self, id: &Id) -> State {
        self.find(id).map_or(State::Stopped, |keeper| keeper.status().state)
    }

    /// Waits until a child listens, or has died for the first time.
    pub(crate) async fn ready(&self, id: &Id, patience: Duration) -> Result<(), Error> {
        let keeper = self.find(id).ok_or_else(|| Error::not_running(id))?;
        keeper.ready(patience).await.map_err(|source| Error::new(id, &source))
    }

    /// Describes every child.
    pub(crate) fn report(&self) -> Vec<Child> {
        let entries = self.lock().clone();
        entries.into_iter().map(|(id, entry)| report(&id, entry)).collect()
    }

    /// Ends all children: the door first, then guests and mail, the owner last.
    pub(crate) async fn drain(&self) {
        let begin = Instant::now();
        let entries = self.lock().clone();
        for (turn, limit) in DRAIN.into_iter().enumerate() {
            let mut stopping: JoinSet<_> = entries
                .iter()
                .filter(|(id, _)| id.drain_turn() == turn)
                .map(|(id, entry)| {
                    let (id, keeper) = (id.clone(), entry.keeper.clone());
                    let grace = (begin + limit).saturating_duration_since(Instant::now());
                    async move {
                        if let Err(error) = keeper.stop(grace).await {
                            tracing::warn!("{} {error}", describe(&id));
                        }
                    }
                })
                .collect();
            while stopping.join_next().await.is_some() {}
        }
    }

    fn keeper(&self, spec: &Spec) -> Keeper {
        let mut keepers = self.lock();
        let entry = keepers.entry(spec.id.clone()).or_insert_with(|| Entry {
            keeper: Keeper::new(spec.clone(), Arc::clone(&self.driver)),
            program: spec.program.clone(),
        });
        entry.keeper.clone()
    }

    fn find(&self, id: &Id) -> Option<Keeper> {
        self.lock().get(id).map(|entry| entry.keeper.clone())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Id, Entry>> {
        // Every change is one insertion or removal: a panicked holder leaves a whole map.
        self.keepers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A child that is not as it was wanted, in a sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Error(String);

impl Error {
    fn new(id: &Id, source: &keeper::Error) -> Self {
        let what = describe(id);
        Self(match source {
            keeper::Error::Died(reason) => format!("{what} did not start: {reason}"),
            other => format!("{what} {other}"),
        })
    }

    fn not_running(id: &Id) -> Self {
        Self(format!("{} is not running", describe(id)))
    }
}

fn report(id: &Id, entry: Entry) -> Child {
    let status = entry.keeper.status();
    Child {
        name: id.to_string(),
        state: status.state,
        pid: status.pid,
        listening: status.listening,
        program: status.pid.and_then(running).unwrap_or(entry.program),
        started_at: status.started_at.map(iso),
        failures: status.failures,
        last_error: status.last_error,
    }
}

/// The program that a process really is. Linux says so, and adds a word when it was replaced on the disk since.
fn running(pid: u32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/exe")).ok()
}

fn iso(at: Timestamp) -> String {
    format!("{at:.3}")
}
