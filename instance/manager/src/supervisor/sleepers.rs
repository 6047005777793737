//! Guests that sleep: putting them to sleep so that no request is lost, and waking them.
//!
//! The front door stops passing requests on first, then the guest is asked once more, then it is stopped. Whoever
//! comes meanwhile is held back at the door, which asks for the guest to be woken; that undoes it at any point.
//! Who comes past the door is seen by the guest itself, which says at its end that it has something to do after
//! all, and is started again.

mod notes;
mod policy;
mod watch;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use remotelab_config::{InstanceName, OwnerPaths};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use super::children::Children;
use super::keeper::Asked;
use super::spec::{Id, Spec};
use crate::control::State;
use crate::outside::{Door, Gateway};
use notes::Notes;

pub(super) use watch::watch;

/// Guests that are woken at once; more wait for their turn.
const WAKING: usize = 4;

/// Which guests sleep.
pub(super) struct Sleepers {
    notes: Arc<Notes>,
    door: Gateway,
    waking: Semaphore,
}

impl Sleepers {
    /// Knows the guests that slept when the last supervisor ended.
    pub(super) fn new(paths: &OwnerPaths) -> Self {
        Self {
            notes: Arc::new(Notes::load(paths.runtime().join("asleep.json"))),
            door: Gateway::new(paths),
            waking: Semaphore::new(WAKING),
        }
    }

    /// Tells whether a guest slept when it was last heard of.
    pub(super) fn has(&self, name: &InstanceName) -> bool {
        self.notes.has(name)
    }

    /// Puts a guest to sleep that was idle for so long; says why not, otherwise.
    pub(super) async fn sleep(&self, children: &Children, id: &Id, idle: Duration) -> Result<(), String> {
        let Id::Guest(name) = id else { return Err(format!("{id} never sleeps")) };
        match children.state(id) {
            State::Asleep => return Ok(()),
            State::Ready => {}
            _ => return Err(format!("{id} does not run")),
        }
        let first = quiet(children, id).await?;
        if Duration::from_millis(first.rest.idle_ms) < idle {
            return Err(format!("{id} was used not long ago"));
        }
        match self.tell(name, Door::park).await {
            Ok(true) => {}
            Ok(false) => return Err(format!("{id} is in use")),
            Err(error) => return Err(format!("the front door cannot be told: {error}")),
        }
        let slept = self.stop(children, id, name).await;
        if slept.is_err() {
            self.woken(id).await;
        }
        slept
    }

    async fn stop(&self, children: &Children, id: &Id, name: &InstanceName) -> Result<(), String> {
        let asked = quiet(children, id).await?;
        self.note(name, Some(asked.rest.wake_at)).await.map_err(|error| error.to_string())?;
        children.sleep(id, asked).await.map_err(|error| error.to_string())?;
        tracing::info!("guest {name} sleeps");
        Ok(())
    }

    /// Wakes a guest; one that is awake costs nothing.
    pub(super) async fn wake(&self, children: &Children, spec: Spec) -> Result<(), String> {
        let id = spec.id.clone();
        let _turn = match children.state(&id) {
            State::Asleep => Some(self.waking.acquire().await.map_err(|error| error.to_string())?),
            _ => None,
        };
        children.wake(spec).await.map_err(|error| error.to_string())?;
        self.woken(&id).await;
        Ok(())
    }

    /// Notes that a guest is awake.
    pub(super) async fn woken(&self, id: &Id) {
        self.forget(id).await;
        if let Id::Guest(name) = id
            && let Err(error) = self.tell(name, |door, name| door.unpark(name)).await
        {
            tracing::warn!(%error, "the front door does not know that {name} is awake");
        }
    }

    /// Forgets that a guest sleeps.
    pub(super) async fn forget(&self, id: &Id) {
        if let Id::Guest(name) = id
            && self.has(name)
            && let Err(error) = self.note(name, None).await
        {
            tracing::warn!(%error, "cannot note that {name} is awake");
        }
    }

    async fn note(&self, name: &InstanceName, sleeps: Option<Option<i64>>) -> io::Result<()> {
        let (notes, name) = (Arc::clone(&self.notes), name.clone());
        spawn_blocking(move || notes.set(&name, sleeps)).await.map_err(io::Error::other)?
    }

    async fn tell<T: Send + 'static>(
        &self,
        name: &InstanceName,
        what: fn(&Gateway, &InstanceName) -> io::Result<T>,
    ) -> io::Result<T> {
        let (door, name) = (self.door.clone(), name.clone());
        spawn_blocking(move || what(&door, &name)).await.map_err(io::Error::other)?
    }
}

/// Asks a guest, which is to have nothing to do.
async fn quiet(children: &Children, id: &Id) -> Result<Asked, String> {
    let asked = children.ask(id).await.map_err(|error| error.to_string())?;
    match asked.rest.because {
        None => Ok(asked),
        Some(because) => Err(format!("{id} is needed: {}", because.words())),
    }
}
