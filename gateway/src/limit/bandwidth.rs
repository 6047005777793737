//! How much may leave in a second: all answers of a tenant share a moment from which on more may.

use std::time::{Duration, Instant};

/// What may leave at once after a rest.
const REST: Duration = Duration::from_millis(250);

/// Bytes in a second; zero is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bandwidth(pub u64);

impl Bandwidth {
    /// Tells whether there is no limit.
    #[must_use]
    pub fn is_unlimited(self) -> bool {
        self.0 == 0
    }

    /// When all that left is paid for, after `bytes` more left now.
    #[must_use]
    pub fn paid(self, paid: Option<Instant>, now: Instant, bytes: usize) -> Instant {
        let from = paid.map_or(now, |paid| paid.max(now));
        let nanos = (bytes as u128 * 1_000_000_000).checked_div(u128::from(self.0)).unwrap_or_default();
        // A piece that takes longer than an hour is one of a limit that is none.
        from + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)).min(Duration::from_secs(3600))
    }

    /// How long until more may leave.
    #[must_use]
    pub fn wait(paid: Option<Instant>, now: Instant) -> Duration {
        paid.map_or(Duration::ZERO, |paid| paid.saturating_duration_since(now).saturating_sub(REST))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_left_is_paid_for_in_time() {
        let (limit, now) = (Bandwidth(1000), Instant::now());
        let second = Duration::from_secs(1);
        let paid = Some(limit.paid(None, now, 2000));
        assert_eq!(paid, Some(now + 2 * second));
        assert_eq!(Bandwidth::wait(paid, now), 2 * second - REST);
        assert_eq!(Bandwidth::wait(paid, now + 2 * second), Duration::ZERO);
        assert_eq!(limit.paid(paid, now + second, 500), now + second * 5 / 2);
        // Nothing is saved up.
        assert_eq!(limit.paid(paid, now + 9 * second, 1000), now + 10 * second);
        assert_eq!(Bandwidth::wait(None, now), Duration::ZERO);
        assert_eq!(Bandwidth(0).paid(None, now, 1000), now);
    }
}
