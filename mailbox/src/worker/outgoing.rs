//! Letters leave.

use std::sync::Arc;
use std::time::Duration;

use super::{Ground, TROUBLE_PAUSE, wait};
use crate::dispatch;
use crate::office::{Error, blocking};

/// Sends letters when their time comes, one after the other, until the instance's work is over.
pub(super) async fn run(ground: &Ground) {
    let mut bell = ground.bell.subscribe();
    while !ground.is_over() {
        let pause = match pass(ground).await {
            Ok(pause) => pause,
            Err(error) => {
                ground.report(&error);
                TROUBLE_PAUSE
            }
        };
        tokio::select! {
            () = ground.shutdown.cancelled() => {}
            _ = bell.changed() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Sends what is due. Returns how long to wait for more.
async fn pass(ground: &Ground) -> Result<Duration, Error> {
    let (store, now) = (ground.store().await?, ground.now());
    let recovering = Arc::clone(&store);
    let next = blocking(move || {
        // Only leases that ran out: those of commands that were killed.
        recovering.recover_letters(|_| false, now)?;
        Ok(recovering.next_letter_due()?)
    })
    .await?;
    if next.is_some_and(|next| next <= now) {
        let settings = ground.settings().await?;
        let mut has_sent = false;
        while dispatch::send_next(&ground.office, &store, &settings.outbound).await? {
            has_sent = true;
        }
        if has_sent {
            // Whoever reports what became of letters.
            ground.ring();
        }
    }
    let next = blocking(move || Ok(store.next_letter_due()?)).await?;
    Ok(wait(next, ground.now()))
}
