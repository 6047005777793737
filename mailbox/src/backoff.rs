//! When to try again. Schedules are data; the clock and the dice come from the caller.

use std::time::Duration;

const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// Delays before each further attempt; past the end the work is dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Schedule(&'static [Duration]);

/// Sending a mail: a relay that greylists wants minutes, one that is broken may need the night.
pub(crate) const SENDING: Schedule = Schedule(&[
    seconds(30),
    seconds(120),
    seconds(600),
    seconds(1_800),
    seconds(3_600),
    seconds(10_800),
    seconds(21_600),
    seconds(43_200),
]);

/// Handing a mail to its chat server: the same, after a few quick tries, since a restart of a local
/// process takes seconds.
pub(crate) const SUBMITTING: Schedule = Schedule(&[
    seconds(1),
    seconds(2),
    seconds(5),
    seconds(10),
    seconds(30),
    seconds(120),
    seconds(600),
    seconds(1_800),
    seconds(3_600),
    seconds(10_800),
    seconds(21_600),
    seconds(43_200),
]);

/// Proving a sender while the name servers are silent; after an hour he counts as unproved.
pub(crate) const PROVING: Schedule = Schedule(&[seconds(60), seconds(240), seconds(900), seconds(2_400)]);

impl Schedule {
    /// Returns the wait after `attempts` failed attempts (1 or more), spread by ±20 % so that many
    /// waiting rows do not return in step. `None`: give up. `dice` is any number from 0 to 1.
    pub(crate) fn wait(self, attempts: u32, dice: f64) -> Option<Duration> {
        let index = usize::try_from(attempts.saturating_sub(1)).ok()?;
        let delay = self.0.get(index)?;
        Some(delay.mul_f64(0.8 + 0.4 * dice.clamp(0.0, 1.0)))
    }
}

/// Returns the pause before looking at a run again, given how long it has been watched.
pub(crate) fn poll_pause(watched: Duration) -> Duration {
    (watched / 8).clamp(Duration::from_millis(100), Duration::from_secs(2))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ends_after_its_last_step() {
        assert_eq!(SENDING.wait(1, 0.5), Some(seconds(30)));
        assert_eq!(SENDING.wait(8, 0.5), Some(seconds(43_200)));
        assert_eq!(SENDING.wait(9, 0.5), None);
        assert_eq!(SUBMITTING.wait(13, 0.5), None);
    }

    #[test]
    fn polls_slower_the_longer_it_takes() {
        assert_eq!(poll_pause(Duration::ZERO), Duration::from_millis(100));
        assert_eq!(poll_pause(seconds(8)), seconds(1));
        assert_eq!(poll_pause(seconds(3_600)), seconds(2));
    }

    proptest! {
        #[test]
        fn stays_within_a_fifth_of_the_step(attempts in 1u32..9, dice in 0.0f64..1.0) {
            let step = SENDING.wait(attempts, 0.5).unwrap();
            let wait = SENDING.wait(attempts, dice).unwrap();
            prop_assert!(wait >= step.mul_f64(0.79) && wait <= step.mul_f64(1.21));
        }
    }
}
