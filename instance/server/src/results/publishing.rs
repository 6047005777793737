//! Runs whose results are on their way. Whoever tells what a run brought waits for them a little.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use remotelab_protocol::RunId;
use tokio_util::sync::CancellationToken;

use super::PATIENCE;

/// Runs whose results are on their way.
#[derive(Debug, Default)]
pub(crate) struct Publishing(Mutex<HashMap<RunId, CancellationToken>>);

impl Publishing {
    /// Notes that the results of a run come.
    pub(super) fn begin(&self, run: &RunId) {
        self.lock().entry(run.clone()).or_default();
    }

    /// Lets those go on who wait for the results of a run: they are there, or take too long.
    pub(super) fn end(&self, run: &RunId) {
        if let Some(over) = self.lock().remove(run) {
            over.cancel();
        }
    }

    /// Tells whether the results of a run are on their way.
    pub(crate) fn is_under_way(&self, run: &RunId) -> bool {
        self.lock().contains_key(run)
    }

    /// Waits until a run's results are published or are not waited for any longer; tells whether they were on
    /// their way at all.
    pub(crate) async fn over(&self, run: &RunId) -> bool {
        let Some(over) = self.lock().get(run).cloned() else { return false };
        // Whoever publishes ends it; nobody does so in a server that stops.
        let _ = tokio::time::timeout(PATIENCE, over.cancelled()).await;
        true
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<RunId, CancellationToken>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn those_who_wait_go_on_when_it_is_over() {
        let (publishing, run) = (Publishing::default(), RunId::random());
        assert!(!publishing.over(&run).await);
        publishing.begin(&run);
        let (waited, ()) = tokio::join!(publishing.over(&run), async { publishing.end(&run) });
        assert!(waited && !publishing.over(&run).await);
    }
}
