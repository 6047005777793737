//! When a guest is looked at, and whether it is put to sleep then. Pure.

use std::time::Duration;

use remotelab_protocol::rest::Rest;

/// How often a guest is looked at that has something to do.
const LOOK: Duration = Duration::from_secs(60);

/// What follows of a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It may sleep.
    Sleep,
    /// It is looked at again after this time.
    Later(Duration),
}

/// Judges what a guest says that sleeps after it was idle for so long.
pub(super) fn judge(rest: &Rest, idle_after: Duration) -> Verdict {
    if !rest.can_sleep() {
        return Verdict::Later(idle_after.clamp(Duration::from_secs(1), LOOK));
    }
    let left = idle_after.saturating_sub(Duration::from_millis(rest.idle_ms));
    if left.is_zero() { Verdict::Sleep } else { Verdict::Later(left) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use remotelab_protocol::rest::Because;

    #[test]
    fn only_who_was_idle_for_long_enough_sleeps() {
        let half_an_hour = Duration::from_secs(1800);
        let seconds = |s| Verdict::Later(Duration::from_secs(s));
        let idle = |s: u64| Rest { idle_ms: s * 1000, ..Rest::default() };
        assert_eq!(judge(&idle(0), half_an_hour), seconds(1800));
        assert_eq!(judge(&idle(1700), half_an_hour), seconds(100));
        assert_eq!(judge(&idle(1800), half_an_hour), Verdict::Sleep);
        assert_eq!(judge(&idle(9999), half_an_hour), Verdict::Sleep);
        let busy = Rest { because: Some(Because::Run), ..idle(9999) };
        assert_eq!(judge(&busy, half_an_hour), seconds(60));
        assert_eq!(judge(&busy, Duration::ZERO), seconds(1));
    }
}
