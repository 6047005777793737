//! One pass over an instance's mail: everything that is due, then how long to wait.

use std::sync::Arc;
use std::time::Duration;

use crate::office::{Error, Office, blocking};
use crate::places::{Place, Settings};
use crate::state::Inbound;
use crate::store::Store;
use crate::submit::{self, Outcome};
use crate::{dispatch, intake, watch};

/// The longest wait: another process may have changed a row.
const LONGEST: Duration = Duration::from_secs(1);

/// The shortest wait while something is always due, such as mail whose automation is off.
const SHORTEST: Duration = Duration::from_millis(20);

/// Reads, hands over and watches what is due. Returns how long to wait for more.
pub(crate) async fn inbound(office: &Arc<Office>, place: &Place) -> Result<Duration, Error> {
    let (store, settings) = open(office, place).await?;
    let mut moved = false;
    for item in due(office, &store, Inbound::Received).await? {
        let (office, place, store) = (Arc::clone(office), place.clone(), Arc::clone(&store));
        blocking(move || intake::settle(&office, &place, &store, &item.id)).await?;
        moved = true;
    }
    if settings.automation.enabled {
        for item in due(office, &store, Inbound::Approved).await? {
            let outcome = submit::submit(office, place, &settings, &store, &item).await?;
            moved |= outcome == Outcome::Moved;
            if outcome == Outcome::Unreachable {
                break;
            }
        }
    }
    for item in due(office, &store, Inbound::Submitted).await? {
        watch::look(office, place, &settings, &store, &item).await?;
    }
    if moved {
        return Ok(Duration::ZERO);
    }
    let next = blocking(move || Ok(store.next_due()?)).await?;
    Ok(wait(next, office.clock.now()))
}

/// Sends what is due. Returns how long to wait for more.
pub(crate) async fn outgoing(office: &Arc<Office>, place: &Place) -> Result<Duration, Error> {
    let (store, settings) = open(office, place).await?;
    let (recovering, now) = (Arc::clone(&store), office.clock.now());
    // Only leases that ran out: those of commands that were killed.
    blocking(move || Ok(recovering.recover_letters(|_| false, now)?)).await?;
    while dispatch::send_next(office, &store, &settings.outbound, None).await? {}
    let next = blocking(move || Ok(store.next_letter_due()?)).await?;
    Ok(wait(next, office.clock.now()))
}

async fn open(office: &Arc<Office>, place: &Place) -> Result<(Arc<Store>, Settings), Error> {
    let (office, place) = (Arc::clone(office), place.clone());
    blocking(move || Ok((office.store(&place)?, office.places.settings(&place)?))).await
}

async fn due(office: &Office, store: &Arc<Store>, state: Inbound) -> Result<Vec<crate::store::Item>, Error> {
    let (store, now) = (Arc::clone(store), office.clock.now());
    blocking(move || Ok(store.due(state, now)?)).await
}

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
