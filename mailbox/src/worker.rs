//! The work for one instance, in lanes that know nothing of each other: reading, handing over,
//! watching and sending. What hangs in one keeps nobody but itself waiting.

mod carrying;
mod delivery;
mod lane;
mod outgoing;
mod reading;
mod watching;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

use crate::office::{Error, Office, blocking};
use crate::places::{Place, Settings};
use crate::store::Store;

/// The longest wait: another process may have changed a row.
const LONGEST: Duration = Duration::from_secs(1);

/// The shortest wait while something is always due, such as mail whose automation is off.
const SHORTEST: Duration = Duration::from_millis(20);

/// The pause after a step that failed as a whole, say on a full disk.
const TROUBLE_PAUSE: Duration = Duration::from_secs(5);

/// A letter that hangs at the relay keeps this many others from going, less one.
const SENDERS: usize = 3;

/// What the lanes of an instance share.
pub(crate) struct Ground {
    office: Arc<Office>,
    place: watch::Receiver<Place>,
    /// Rung when rows may have become due.
    bell: watch::Sender<()>,
    shutdown: CancellationToken,
    /// Held while a large mail is in memory.
    large: Semaphore,
}

/// Works for one instance until shutdown or dismissal.
pub(crate) async fn work(
    office: Arc<Office>,
    place: watch::Receiver<Place>,
    bell: watch::Sender<()>,
    shutdown: CancellationToken,
) {
    let ground = Ground { office, place, bell, shutdown, large: Semaphore::new(1) };
    let senders = futures_util::future::join_all((0..SENDERS).map(|_| outgoing::run(&ground)));
    let mail = async { tokio::join!(reading::run(&ground), delivery::run(&ground), watching::run(&ground)) };
    tokio::join!(mail, carrying::run(&ground), senders);
}

impl Ground {
    fn is_over(&self) -> bool {
        self.shutdown.is_cancelled() || self.place.has_changed().is_err()
    }

    fn now(&self) -> i64 {
        self.office.clock.now()
    }

    fn place(&self) -> Place {
        self.place.borrow().clone()
    }

    fn ring(&self) {
        self.bell.send_replace(());
    }

    async fn store(&self) -> Result<Arc<Store>, Error> {
        let (office, place) = (Arc::clone(&self.office), self.place());
        blocking(move || office.store(&place)).await
    }

    /// Reads the settings of this moment.
    async fn settings(&self) -> Result<Settings, Error> {
        let (office, place) = (Arc::clone(&self.office), self.place());
        blocking(move || Ok(office.places.settings(&place)?)).await
    }

    fn report(&self, error: &Error) {
        let place = self.place();
        let name = place.name.as_ref().map_or("the owner", |name| name.as_str());
        tracing::error!(instance = name, "mail of {name} not worked on: {error}");
    }
}

/// How long to wait for what is due next.
fn wait(next: Option<i64>, now: i64) -> Duration {
    let Some(next) = next else { return LONGEST };
    let millis = u64::try_from(next.saturating_sub(now)).unwrap_or_default();
    match Duration::from_millis(millis) {
        // Still due after the pass that should have dealt with it.
        Duration::ZERO => LONGEST,
        wait => wait.clamp(SHORTEST, LONGEST),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_spins_and_never_sleeps_long() {
        assert_eq!(wait(None, 0), LONGEST);
        assert_eq!(wait(Some(-5), 0), LONGEST);
        assert_eq!(wait(Some(1), 0), SHORTEST);
        assert_eq!(wait(Some(300), 0), Duration::from_millis(300));
        assert_eq!(wait(Some(i64::MAX), 0), LONGEST);
    }
}
