//! Whether an instance is worth asking: a pure function of what came of asking it, and the clock.

use std::time::{Duration, Instant};

/// How an instance is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It answers, or nobody has asked it yet.
    Ready,
    /// It is being started.
    Starting,
    /// It was stopped because nobody used it.
    Asleep,
    /// It does not answer.
    Down,
    /// Another instance answers in its place.
    Mismatch,
}

impl State {
    /// Its word for programs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Starting => "starting",
            Self::Asleep => "asleep",
            Self::Down => "down",
            Self::Mismatch => "mismatch",
        }
    }
}

/// So many failures in a row are no accident.
const ACCIDENTS: u32 = 3;
/// How long one that is down is left alone at first.
const FIRST: Duration = Duration::from_millis(250);
/// How long at most.
const LONGEST: Duration = Duration::from_secs(10);
/// How long a trial may take until there is another.
const TRIAL: Duration = Duration::from_secs(5);

/// What is known of one instance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    failures: u32,
    /// Until when it is left alone.
    until: Option<Instant>,
}

impl Health {
    /// Tells whether it is left alone for a while, after failures in a row.
    #[must_use]
    pub fn is_down(&self) -> bool {
        self.failures >= ACCIDENTS
    }

    /// Tells whether a request may be tried now. Of one that is down, only one at a time is.
    pub fn may_try(&mut self, now: Instant) -> bool {
        if !self.is_down() {
            return true;
        }
        let is_time = self.until.is_none_or(|until| until <= now);
        if is_time {
            self.until = Some(now + TRIAL);
        }
        is_time
    }

    /// It did not answer.
    pub fn failed(&mut self, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        let doublings = self.failures.saturating_sub(ACCIDENTS).min(16);
        self.until = Some(now + FIRST.saturating_mul(1 << doublings).min(LONGEST));
    }

    /// It answered, or was started anew.
    pub fn succeeded(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_fails_again_and_again_is_tried_less_and_less() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut health = Health::default();
        for _ in 0..2 {
            health.failed(at(0));
            assert!(!health.is_down() && health.may_try(at(0)));
        }
        health.failed(at(0));
        assert!(health.is_down() && !health.may_try(at(249)));
        // One trial, and another one only when nothing came of it.
        assert!(health.may_try(at(250)) && !health.may_try(at(251)));
        assert!(health.may_try(at(5250)));
        health.failed(at(6000));
        assert!(!health.may_try(at(6499)) && health.may_try(at(6500)));
        for _ in 0..100 {
            health.failed(at(7000));
        }
        assert!(!health.may_try(at(16_999)) && health.may_try(at(17_000)));
        health.succeeded();
        assert_eq!((health.is_down(), health.may_try(at(17_001))), (false, true));
    }
}
