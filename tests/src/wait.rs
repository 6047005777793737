//! Waiting on values: no test sleeps for a time that somebody guessed.

use std::fmt::Display;
use std::time::{Duration, Instant};

use anyhow::bail;

/// How long a step may take on a busy machine before it counts as stuck.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(15);

/// Looks until there is a value, [`PATIENCE`] long; `what` names it in the error.
pub async fn eventually<T>(
    what: impl Display,
    look: impl AsyncFnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    within(PATIENCE, what, look).await
}

/// Looks until there is a value, or `limit` is over. An error of a look ends it at once.
pub async fn within<T>(
    limit: Duration,
    what: impl Display,
    mut look: impl AsyncFnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let began = Instant::now();
    loop {
        if let Some(value) = look().await? {
            return Ok(value);
        }
        if began.elapsed() > limit {
            bail!("waited {} s in vain for {what}", limit.as_secs());
        }
        tokio::time::sleep(PAUSE).await;
    }
}
