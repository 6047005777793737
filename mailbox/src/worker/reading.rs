//! Stored mail is read and its fate decided.

use super::Ground;
use super::lane::{self, Next};
use crate::intake;
use crate::office::Error;
use crate::state::Inbound;

/// Mails read at a time: what they are found to be becomes durable together.
const AT_ONCE: usize = 16;

pub(super) async fn run(ground: &Ground) {
    lane::run(ground, Inbound::Received, AT_ONCE, |store, item| async move {
        // Of all instances together.
        let _turn = ground.office.readers.acquire().await.map_err(|_| Error::CutOff)?;
        intake::settle(&ground.office, &ground.place(), &store, &item.id).await?;
        Ok(Next::GoOn)
    })
    .await;
}
