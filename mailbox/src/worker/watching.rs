//! Mail in a session is looked after until its run has ended.

use super::Ground;
use super::lane::{self, Next};
use crate::state::Inbound;
use crate::watch;

/// Runs looked at at a time.
const AT_ONCE: usize = 8;

pub(super) async fn run(ground: &Ground) {
    lane::run(ground, Inbound::Submitted, AT_ONCE, |store, item| async move {
        let settings = ground.settings().await?;
        watch::look(&ground.office, &ground.place(), &settings, &store, &item).await?;
        Ok(Next::GoOn)
    })
    .await;
}
