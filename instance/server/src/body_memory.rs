//! Memory for the bodies of requests: together they stay within what there is, none keeps its share for ever,
//! and small ones never wait behind large ones.

use std::future::pending;
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep_until, timeout};

/// So much of a body needs no share: as much as connections hold anyhow.
const FREE: u64 = 64 << 10;
/// The longest body that counts as small.
const SMALL: u64 = 1 << 20;
/// How many small bodies there may be at once.
const SMALL_BODIES: usize = 64;
/// What large bodies may take together, in MiB. One of the largest fits at least.
const LARGE_MEBIBYTES: usize = 448;
/// How long a share is waited for.
const WAIT: Duration = Duration::from_secs(30);
/// How long a share may be kept, and how much longer for each MiB of it.
const HOLD: Duration = Duration::from_secs(60);
const HOLD_PER_MEBIBYTE: Duration = Duration::from_secs(4);

/// Why a body was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    #[error("too many requests send much at the moment; try again later")]
    Busy,
    #[error("the request took too long to send its body")]
    Slow,
}

/// The memory of all bodies.
#[derive(Debug)]
pub(crate) struct BodyMemory {
    small: Semaphore,
    /// In MiB.
    large: Semaphore,
    wait: Duration,
    hold: Duration,
}

/// What one body may take.
#[derive(Debug)]
pub(crate) struct Share<'a> {
    memory: &'a BodyMemory,
    bytes: u64,
    permit: Option<SemaphorePermit<'a>>,
    /// When it has to be given back.
    until: Option<Instant>,
}

impl BodyMemory {
    pub(crate) fn new() -> Self {
        Self::of(SMALL_BODIES, LARGE_MEBIBYTES, WAIT, HOLD)
    }

    fn of(small: usize, large: usize, wait: Duration, hold: Duration) -> Self {
        Self { small: Semaphore::new(small), large: Semaphore::new(large), wait, hold }
    }

    /// The share of a body of which nothing was read yet.
    pub(crate) fn share(&self) -> Share<'_> {
        Share { memory: self, bytes: FREE, permit: None, until: None }
    }
}

impl Share<'_> {
    /// Sees to it that the share covers so many bytes: takes one for the `most` that the body may have, if it
    /// does not yet.
    pub(crate) async fn cover(&mut self, bytes: u64, most: u64) -> Result<(), Error> {
        if bytes <= self.bytes {
            return Ok(());
        }
        // Nobody waits for one share while he keeps another.
        (self.permit, self.bytes, self.until) = (None, FREE, None);
        let most = most.max(bytes);
        let mebibytes = u32::try_from(most.div_ceil(1 << 20)).unwrap_or(u32::MAX);
        let permit = async {
            if most <= SMALL {
                self.memory.small.acquire().await
            } else {
                self.memory.large.acquire_many(mebibytes).await
            }
        };
        let permit = timeout(self.memory.wait, permit).await.map_err(|_| Error::Busy)?;
        self.permit = Some(permit.map_err(|_| Error::Busy)?);
        self.bytes = most;
        self.until = Some(Instant::now() + self.memory.hold + HOLD_PER_MEBIBYTE * mebibytes);
        Ok(())
    }

    /// Waits for a piece of the body, as long as the share may be kept.
    pub(crate) async fn within<T>(&self, piece: impl Future<Output = T>) -> Result<T, Error> {
        let late = async {
            match self.until {
                Some(until) => sleep_until(until).await,
                None => pending().await,
            }
        };
        tokio::select! {
            biased;
            piece = piece => Ok(piece),
            () = late => Err(Error::Slow),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOT: Duration = Duration::ZERO;
    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn what_is_small_needs_nothing_of_what_is_large() {
        let memory = BodyMemory::of(1, 3, NOT, LONG);
        let (mut large, mut too_much) = (memory.share(), memory.share());
        assert_eq!(large.cover(SMALL + 1, 3 << 20).await, Ok(()));
        assert_eq!(too_much.cover(FREE + 1, SMALL + 1).await, Err(Error::Busy));

        let (mut small, mut one_more, mut tiny) = (memory.share(), memory.share(), memory.share());
        assert_eq!(small.cover(SMALL, SMALL).await, Ok(()));
        assert_eq!(one_more.cover(FREE + 1, FREE + 1).await, Err(Error::Busy));
        assert_eq!(tiny.cover(FREE, FREE).await, Ok(()));
        assert_eq!(tiny.until, None);

        drop((large, small));
        assert_eq!(too_much.cover(3 << 20, 3 << 20).await, Ok(()));
        assert_eq!(one_more.cover(SMALL, SMALL).await, Ok(()));
    }

    #[tokio::test]
    async fn a_share_that_grows_is_given_back_first() {
        let memory = BodyMemory::of(1, 3, NOT, LONG);
        let mut share = memory.share();
        assert_eq!(share.cover(2 << 20, 2 << 20).await, Ok(()));
        assert_eq!(share.cover(1, 1).await, Ok(()));
        assert_eq!(memory.large.available_permits(), 1);
        assert_eq!(share.cover(3 << 20, 3 << 20).await, Ok(()));
        assert_eq!(memory.large.available_permits(), 0);
    }

    #[tokio::test]
    async fn a_share_is_kept_for_a_time_only() {
        let memory = BodyMemory::of(1, 1, NOT, NOT);
        let mut share = memory.share();
        assert_eq!(share.within(async { 1 }).await, Ok(1));
        assert_eq!(share.cover(SMALL, SMALL).await, Ok(()));
        share.until = Some(Instant::now());
        assert_eq!(share.within(async { 1 }).await, Ok(1));
        assert_eq!(share.within(pending::<()>()).await, Err(Error::Slow));
    }
}
