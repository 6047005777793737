//! What of the instance's files is damaged, as it is told by its health.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use remotelab_store::Store;
use remotelab_store::damage::{self, Damage};
use tokio::sync::Mutex;

use crate::app::{Shared, blocking};

/// How long after the start everything is read for the first time, and how often after that.
const FIRST: Duration = Duration::from_secs(10 * 60);
const EVERY: Duration = Duration::from_secs(24 * 60 * 60);

/// What was found when somebody looked last.
#[derive(Debug)]
pub(crate) struct Damages {
    found: RwLock<Vec<Damage>>,
    /// Held by who looks.
    looking: Mutex<()>,
}

impl Damages {
    /// What the start met, and what is told by the files that stand for the whole instance. Blocks.
    pub(crate) fn at_start(store: &Store) -> Self {
        let mut found = store.damaged().to_vec();
        for damage in damage::scan_configuration(store.paths()) {
            if !found.iter().any(|known| known.path == damage.path) {
                found.push(damage);
            }
        }
        Self { found: RwLock::new(found), looking: Mutex::default() }
    }

    pub(crate) fn list(&self) -> Vec<Damage> {
        self.found.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Reads everything anew. Whoever asks while somebody looks waits for what he finds.
pub(crate) async fn look(app: &Shared) {
    let Ok(_looking) = app.damages.looking.try_lock() else {
        drop(app.damages.looking.lock().await);
        return;
    };
    let worker = Arc::clone(app);
    let found = blocking(move || damage::scan(worker.store.paths())).await;
    *app.damages.found.write().unwrap_or_else(PoisonError::into_inner) = found;
}

/// Looks once in a while, for ever.
pub(crate) async fn look_regularly(app: Shared) {
    let mut pause = FIRST;
    loop {
        tokio::time::sleep(pause).await;
        look(&app).await;
        pause = EVERY;
    }
}
