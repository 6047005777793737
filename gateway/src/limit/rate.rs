//! How often something may happen: a bucket whose whole state is the moment at which it is empty again.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// So many in a while, and so many at once after a rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Nanoseconds that one takes; zero is no limit.
    each: u64,
    burst: u32,
}

impl Rate {
    /// No limit.
    pub const UNLIMITED: Self = Self { each: 0, burst: 0 };

    /// So many in a second, `burst` at once; zero in a second is no limit.
    #[must_use]
    pub const fn per_second(count: u32, burst: u32) -> Self {
        Self::each_of(1_000_000_000, count, burst)
    }

    /// So many in a minute, all of them at once; zero is no limit.
    #[must_use]
    pub const fn per_minute(count: u32) -> Self {
        Self::each_of(60_000_000_000, count, count)
    }

    const fn each_of(while_ns: u64, count: u32, burst: u32) -> Self {
        match count {
            0 => Self::UNLIMITED,
            count => Self { each: while_ns / count as u64, burst: if burst == 0 { 1 } else { burst } },
        }
    }

    /// Takes one out of a bucket, at a time in nanoseconds of any clock that only goes forward.
    ///
    /// # Errors
    /// How long until there is one again; nothing is taken then.
    pub fn take(self, bucket: &AtomicU64, now: u64) -> Result<(), Duration> {
        if self.each == 0 {
            return Ok(());
        }
        let taken = bucket.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |empty_at| {
            let next = empty_at.max(now).saturating_add(self.each);
            (next <= self.full(now)).then_some(next)
        });
        taken.map(drop).map_err(|empty_at| self.wait(empty_at, now))
    }

    /// Gives back what was taken.
    pub fn give_back(self, bucket: &AtomicU64) {
        let _ = bucket.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |empty_at| {
            Some(empty_at.saturating_sub(self.each))
        });
    }

    /// How long until there is one to take; zero when there is.
    #[must_use]
    pub fn look(self, bucket: &AtomicU64, now: u64) -> Duration {
        if self.each == 0 { Duration::ZERO } else { self.wait(bucket.load(Ordering::Relaxed), now) }
    }

    fn full(self, now: u64) -> u64 {
        now.saturating_add(self.each.saturating_mul(u64::from(self.burst)))
    }

    fn wait(self, empty_at: u64, now: u64) -> Duration {
        let next = empty_at.max(now).saturating_add(self.each);
        Duration::from_nanos(next.saturating_sub(self.full(now)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_burst_and_then_one_at_a_time() {
        let rate = Rate::per_second(2, 3);
        let bucket = AtomicU64::new(0);
        let at = |now| rate.take(&bucket, now).map_err(|wait| wait.as_millis());
        let start = 10 * SECOND;
        assert_eq!([at(start), at(start), at(start)], [Ok(()); 3]);
        assert_eq!(at(start), Err(500));
        assert_eq!(at(start + SECOND / 4), Err(250));
        assert_eq!(at(start + SECOND / 2), Ok(()));
        assert_eq!(at(start + SECOND / 2), Err(500));
        rate.give_back(&bucket);
        assert_eq!(rate.look(&bucket, start + SECOND / 2), Duration::ZERO);
        assert_eq!(at(start + SECOND / 2), Ok(()));
        assert_eq!(rate.look(&bucket, start + SECOND / 2), Duration::from_millis(500));
        assert_eq!(Rate::UNLIMITED.take(&bucket, 0), Ok(()));
        assert_eq!(Rate::per_second(0, 5), Rate::UNLIMITED);
    }

    proptest! {
        #[test]
        fn never_more_than_the_burst_and_what_the_time_brings(
            count in 1u32..100, burst in 1u32..50, mut times in prop::collection::vec(0u64..5 * SECOND, 1..300),
        ) {
            times.sort_unstable();
            let rate = Rate::per_second(count, burst);
            let bucket = AtomicU64::new(0);
            let taken = times.iter().filter(|now| rate.take(&bucket, **now).is_ok()).count() as u64;
            let most = u64::from(burst) + (times[times.len() - 1] - times[0]) * u64::from(count) / SECOND + 1;
            prop_assert!(taken <= most, "{taken} of at most {most}");
        }
    }
}
