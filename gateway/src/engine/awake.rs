//! Whether an instance is awake, and waking it: one start, however many wait for it.

pub(crate) mod hold;
pub(crate) mod page;

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::Core;
use super::gate::add_below;
use super::live::Upstream;
use super::standing::Standing;
use crate::route::Kind;

/// Requests of one tenant that may wait for its instance.
const WAITING: u32 = 64;

/// What came of a start; nothing, as long as it is under way.
type Outcome = Option<Result<(), ()>>;

/// Whether a tenant's instance is awake.
#[derive(Debug, Default)]
pub(crate) struct Awake {
    asleep: AtomicBool,
    waiting: AtomicU32,
    /// The start under way, or the last one.
    start: Mutex<Option<watch::Receiver<Outcome>>>,
}

/// Why an instance is not awake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotAwake {
    /// It is on its way.
    Late,
    /// Too many wait for it.
    Crowded,
    /// It does not start.
    Failed,
}

impl Awake {
    /// One look, which is all that an instance that is awake costs.
    pub(crate) fn is_awake(&self) -> bool {
        // Whoever parks looks for requests after it has set this, and a request looks here after it is counted:
        // both in one order, so that one of them sees the other.
        !self.asleep.load(Ordering::SeqCst)
    }

    /// Notes that it is awake.
    pub(crate) fn unpark(&self) {
        self.asleep.store(false, Ordering::SeqCst);
    }

    /// Notes that it sleeps.
    pub(crate) fn sleeps(&self) {
        self.asleep.store(true, Ordering::SeqCst);
    }

    /// Tells whether a start is under way.
    pub(crate) fn is_starting(&self) -> bool {
        self.lock().as_ref().is_some_and(|start| start.borrow().is_none())
    }

    fn lock(&self) -> MutexGuard<'_, Option<watch::Receiver<Outcome>>> {
        // A change is one assignment.
        self.start.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Standing {
    /// Holds requests back from now on, unless somebody uses the instance.
    pub(crate) fn park(&self) -> bool {
        self.awake.sleeps();
        let uses = [&self.sockets, &self.streams].iter().any(|open| open.load(Ordering::SeqCst) > 0);
        let is_used = uses || self.requests.has_any() || self.awake.is_starting();
        if is_used {
            self.awake.unpark();
        }
        !is_used
    }
}

/// Waits until an instance is awake, and has it started if nobody has yet.
pub(crate) async fn wake(
    core: &Arc<Core>,
    upstream: &Arc<Upstream>,
    patience: Duration,
) -> Result<(), NotAwake> {
    let awake = &upstream.standing.awake;
    let _waiting = Waiting::join(&awake.waiting)?;
    let mut start = start(core, upstream);
    let outcome = tokio::time::timeout(patience, start.wait_for(Option::is_some)).await;
    match outcome.map(|outcome| outcome.map(|outcome| *outcome)) {
        Err(_) => Err(NotAwake::Late),
        Ok(Ok(Some(Ok(())))) => Ok(()),
        Ok(_) => Err(NotAwake::Failed),
    }
}

/// What the service that keeps instances running calls this one.
pub(crate) fn known_as(upstream: &Upstream) -> Option<&str> {
    match upstream.route.kind {
        Kind::Main => Some("owner"),
        Kind::Guest => Some(&upstream.route.name),
        Kind::Service => None,
    }
}

/// Joins the start under way or begins one. It goes on when nobody waits for it any more.
fn start(core: &Arc<Core>, upstream: &Arc<Upstream>) -> watch::Receiver<Outcome> {
    let mut current = upstream.standing.awake.lock();
    if let Some(start) =
        current.as_ref().filter(|start| start.borrow().is_none() && start.has_changed().is_ok())
    {
        return start.clone();
    }
    let (sender, receiver) = watch::channel(None);
    *current = Some(receiver.clone());
    drop(current);
    let (core, upstream) = (Arc::clone(core), Arc::clone(upstream));
    tokio::spawn(async move {
        let began = Instant::now();
        let name = known_as(&upstream).unwrap_or_default();
        let outcome = core.supervisor.wake(name).await;
        if let Err(reason) = &outcome {
            core.metrics.failed_wakes.add(1);
            tracing::warn!(instance = %upstream.route.name, %reason, "an instance does not wake");
        } else {
            core.metrics.woken(began.elapsed());
            upstream.standing.awake.unpark();
        }
        let _ = sender.send(Some(outcome.map_err(drop)));
    });
    receiver
}

/// One who waits.
struct Waiting<'a>(&'a AtomicU32);

impl<'a> Waiting<'a> {
    fn join(waiting: &'a AtomicU32) -> Result<Self, NotAwake> {
        if add_below(waiting, WAITING) { Ok(Self(waiting)) } else { Err(NotAwake::Crowded) }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
