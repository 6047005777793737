//! Approved mail is handed over to the instance.

use super::Ground;
use super::lane::{self, Next};
use crate::office::Error;
use crate::state::Inbound;
use crate::submit::{self, Outcome};

/// Mails handed over at a time; of one conversation only the first is due.
const AT_ONCE: usize = 4;

/// From this size on a mail waits for its turn to be in memory (bytes): of each instance one, so that
/// one that hangs keeps no other's waiting, and of all together a few.
const LARGE: i64 = 1024 * 1024;

pub(super) async fn run(ground: &Ground) {
    lane::run(ground, Inbound::Approved, AT_ONCE, |store, item| async move {
        let settings = ground.settings().await?;
        if !settings.automation.enabled {
            return Ok(Next::Rest);
        }
        let _turns = if item.size < LARGE {
            None
        } else {
            let own = ground.large.acquire().await.map_err(|_| Error::CutOff)?;
            Some((own, ground.office.large.acquire().await.map_err(|_| Error::CutOff)?))
        };
        let outcome = submit::submit(&ground.office, &ground.place(), &settings, &store, &item).await?;
        Ok(match outcome {
            Outcome::Moved => Next::GoOn,
            Outcome::Unreachable => Next::Rest,
        })
    })
    .await;
}
