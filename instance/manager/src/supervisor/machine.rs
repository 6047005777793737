//! The states of one child, as a pure function of events and the clock.

use std::time::Duration;

use tokio::time::Instant;

use super::backoff::Backoff;

/// What a child is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Not running and not wanted.
    Stopped,
    /// Not running until somebody needs it.
    Asleep,
    /// Running, has not said that it listens.
    Starting { since: Instant },
    /// Running and listening.
    Ready { since: Instant },
    /// Asked to end; killed at the deadline, if that has not happened yet.
    Draining { kill_at: Option<Instant> },
    /// Died; started again at the deadline.
    Waiting { until: Instant },
}

/// What happened to a child, or what somebody wants of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// It should run.
    Start,
    /// It should end, within this time.
    Stop(Duration),
    /// It should end, within this time, and run again.
    Restart(Duration),
    /// It should end, within this time, until somebody needs it.
    Sleep(Duration),
    /// Somebody needs it. That starts nothing which was stopped.
    Wake,
    /// It still had something to do when it was put to sleep.
    Busy,
    /// It listens.
    Ready,
    /// It ended, or could not be started.
    Exited,
    /// The deadline of the phase has come.
    Deadline,
}

/// What to do to the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Start it.
    Spawn,
    /// Ask it to end.
    Terminate,
    /// End it.
    Kill,
}

/// What is to become of a child whose process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    Nothing,
    Rest,
    Run,
}

/// One child's state.
#[derive(Debug)]
pub(crate) struct Machine {
    wish: Wish,
    phase: Phase,
    backoff: Backoff,
}

impl Machine {
    pub(crate) fn new() -> Self {
        Self { wish: Wish::Nothing, phase: Phase::Stopped, backoff: Backoff::default() }
    }

    pub(crate) fn asleep() -> Self {
        Self { wish: Wish::Rest, phase: Phase::Asleep, backoff: Backoff::default() }
    }

    pub(crate) fn phase(&self) -> Phase {
        self.phase
    }

    /// When [`Event::Deadline`] is due.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self.phase {
            Phase::Waiting { until } => Some(until),
            Phase::Draining { kill_at } => kill_at,
            _ => None,
        }
    }

    /// Moves on and says what to do.
    pub(crate) fn on(&mut self, event: Event, now: Instant) -> Option<Action> {
        match (event, self.phase) {
            (Event::Start | Event::Restart(_), Phase::Stopped | Phase::Asleep | Phase::Waiting { .. })
            | (Event::Wake, Phase::Asleep) => {
                self.wish = Wish::Run;
                self.backoff.reset();
                self.spawn(now)
            }
            (Event::Start, _) => {
                self.wish = Wish::Run;
                None
            }
            (Event::Wake | Event::Busy, Phase::Draining { .. }) if self.wish == Wish::Rest => {
                self.wish = Wish::Run;
                None
            }
            (
                Event::Stop(grace) | Event::Restart(grace) | Event::Sleep(grace),
                Phase::Starting { .. } | Phase::Ready { .. },
            ) => {
                self.wish = wish(event);
                self.phase = Phase::Draining { kill_at: Some(now + grace) };
                Some(Action::Terminate)
            }
            (Event::Stop(grace) | Event::Restart(grace), Phase::Draining { kill_at: Some(kill_at) }) => {
                self.wish = wish(event);
                self.phase = Phase::Draining { kill_at: Some(kill_at.min(now + grace)) };
                None
            }
            (Event::Stop(_) | Event::Restart(_), Phase::Draining { kill_at: None }) => {
                self.wish = wish(event);
                None
            }
            (Event::Stop(_), Phase::Waiting { .. } | Phase::Stopped | Phase::Asleep) => {
                self.wish = Wish::Nothing;
                self.phase = Phase::Stopped;
                None
            }
            (Event::Ready, Phase::Starting { .. }) => {
                self.phase = Phase::Ready { since: now };
                None
            }
            (Event::Exited, Phase::Starting { since } | Phase::Ready { since }) => {
                let delay = self.backoff.after(now - since);
                self.phase = Phase::Waiting { until: now + delay };
                None
            }
            (Event::Exited, Phase::Draining { .. }) => match self.wish {
                Wish::Run => self.spawn(now),
                Wish::Rest => {
                    self.phase = Phase::Asleep;
                    None
                }
                Wish::Nothing => {
                    self.phase = Phase::Stopped;
                    None
                }
            },
            (Event::Deadline, Phase::Waiting { .. }) => self.spawn(now),
            (Event::Deadline, Phase::Draining { .. }) => {
                self.phase = Phase::Draining { kill_at: None };
                Some(Action::Kill)
            }
            (
                Event::Ready | Event::Exited | Event::Deadline | Event::Sleep(_) | Event::Wake | Event::Busy,
                _,
            ) => None,
        }
    }

    fn spawn(&mut self, now: Instant) -> Option<Action> {
        self.phase = Phase::Starting { since: now };
        Some(Action::Spawn)
    }
}

fn wish(event: Event) -> Wish {
    match event {
        Event::Restart(_) => Wish::Run,
        Event::Sleep(_) => Wish::Rest,
        _ => Wish::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_secs(3);

    #[test]
    fn restarts_what_dies_and_stops_what_is_stopped() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut machine = Machine::new();
        assert_eq!(machine.on(Event::Start, at(0)), Some(Action::Spawn));
        assert_eq!(machine.on(Event::Start, at(1)), None);
        assert_eq!(machine.on(Event::Ready, at(5)), None);
        assert_eq!(machine.phase(), Phase::Ready { since: at(5) });
        assert_eq!(machine.on(Event::Exited, at(10)), None);
        assert_eq!(machine.deadline(), Some(at(110)));
        assert_eq!(machine.on(Event::Deadline, at(110)), Some(Action::Spawn));
        assert_eq!(machine.on(Event::Stop(GRACE), at(120)), Some(Action::Terminate));
        assert_eq!(machine.deadline(), Some(at(3120)));
        assert_eq!(machine.on(Event::Deadline, at(3120)), Some(Action::Kill));
        assert_eq!(machine.deadline(), None);
        assert_eq!(machine.on(Event::Exited, at(3121)), None);
        assert_eq!(machine.phase(), Phase::Stopped);
    }

    #[test]
    fn a_stop_during_the_back_off_ends_it() {
        let now = Instant::now();
        let mut machine = Machine::new();
        machine.on(Event::Start, now);
        machine.on(Event::Exited, now);
        assert_eq!(machine.on(Event::Stop(GRACE), now), None);
        assert_eq!((machine.phase(), machine.deadline()), (Phase::Stopped, None));
    }

    #[test]
    fn a_restart_waits_for_the_old_process_to_end() {
        let now = Instant::now();
        let mut machine = Machine::new();
        machine.on(Event::Start, now);
        assert_eq!(machine.on(Event::Restart(GRACE), now), Some(Action::Terminate));
        assert_eq!(machine.on(Event::Exited, now), Some(Action::Spawn));
        machine.on(Event::Stop(GRACE), now);
        assert_eq!(machine.on(Event::Start, now), None, "one process at a time");
        assert_eq!(machine.on(Event::Exited, now), Some(Action::Spawn));
    }
    #[test]
    fn sleeps_until_it_is_needed() {
        let now = Instant::now();
        let mut machine = Machine::new();
        assert_eq!(machine.on(Event::Wake, now), None, "what was stopped stays so");
        assert_eq!(machine.on(Event::Sleep(GRACE), now), None);
        assert_eq!(machine.phase(), Phase::Stopped);
        machine.on(Event::Start, now);
        machine.on(Event::Ready, now);
        assert_eq!(machine.on(Event::Wake, now), None);
        assert_eq!(machine.on(Event::Sleep(GRACE), now), Some(Action::Terminate));
        assert_eq!(machine.on(Event::Exited, now), None);
        assert_eq!((machine.phase(), machine.deadline()), (Phase::Asleep, None));
        assert_eq!(machine.on(Event::Sleep(GRACE), now), None);
        assert_eq!(machine.on(Event::Wake, now), Some(Action::Spawn));
        machine.on(Event::Ready, now);
        machine.on(Event::Sleep(GRACE), now);
        assert_eq!(machine.on(Event::Stop(GRACE), now), None, "a stop outlasts a sleep");
        assert_eq!(machine.on(Event::Wake, now), None);
        machine.on(Event::Exited, now);
        assert_eq!(machine.phase(), Phase::Stopped);
        let mut machine = Machine::asleep();
        assert_eq!(machine.on(Event::Stop(GRACE), now), None);
        assert_eq!(machine.phase(), Phase::Stopped);
    }

    #[test]
    fn who_is_needed_while_it_falls_asleep_is_back_at_once() {
        for needed in [Event::Wake, Event::Busy] {
            let now = Instant::now();
            let mut machine = Machine::asleep();
            machine.on(Event::Wake, now);
            machine.on(Event::Ready, now);
            machine.on(Event::Sleep(GRACE), now);
            assert_eq!(machine.on(needed, now), None, "one process at a time");
            assert_eq!(machine.on(Event::Exited, now), Some(Action::Spawn));
        }
    }
}
