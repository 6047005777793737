//! Who is at turn. The first goes alone; when it comes up, several go at once, until too many did not.

use std::collections::VecDeque;

/// Guests under way at the same time.
pub(super) const PARALLEL: usize = 8;

/// How far all have come. `T` is whatever stands for a guest.
#[derive(Debug)]
pub(super) struct Rollout<T> {
    waiting: VecDeque<T>,
    at_work: usize,
    is_proven: bool,
    failures: usize,
    /// At so many failures nobody else is touched.
    budget: usize,
}

impl<T> Rollout<T> {
    /// All in their order; the first is the canary.
    pub(super) fn new(guests: impl IntoIterator<Item = T>, budget: usize) -> Self {
        Self {
            waiting: guests.into_iter().collect(),
            at_work: 0,
            is_proven: false,
            failures: 0,
            budget: budget.max(1),
        }
    }

    /// The next whose turn it is; `None` while others must end first, or when all is over.
    pub(super) fn take(&mut self) -> Option<T> {
        let room = if self.is_proven { PARALLEL } else { 1 };
        if self.at_work >= room || self.failures >= self.budget {
            return None;
        }
        let taken = self.waiting.pop_front()?;
        self.at_work += 1;
        Some(taken)
    }

    /// One has ended.
    pub(super) fn ended(&mut self, came_up: bool) {
        self.at_work -= 1;
        if came_up {
            self.is_proven = true;
        } else {
            self.failures += 1;
            if !self.is_proven {
                // The canary tells what would become of all others.
                self.failures = self.budget;
            }
        }
    }

    /// Whether anybody is under way.
    pub(super) fn is_at_work(&self) -> bool {
        self.at_work > 0
    }

    /// Those whose turn never came.
    pub(super) fn left(self) -> impl Iterator<Item = T> {
        self.waiting.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nothing_else_is_touched_when_the_canary_does_not_come_up() {
        let mut rollout = Rollout::new(0..5, 3);
        assert_eq!((rollout.take(), rollout.take()), (Some(0), None));
        rollout.ended(false);
        assert_eq!((rollout.take(), rollout.is_at_work()), (None, false));
        assert_eq!(rollout.left().collect::<Vec<_>>(), [1, 2, 3, 4]);
    }

    proptest! {
        #[test]
        fn never_too_many_and_everybody_once(
            outcomes in proptest::collection::vec(any::<bool>(), 0..60),
            budget in 1_usize..6,
            order in any::<u64>(),
        ) {
            let count = outcomes.len();
            let mut rollout = Rollout::new(0..count, budget);
            let (mut under_way, mut touched, mut failures, mut random) = (Vec::new(), Vec::new(), 0, order);
            loop {
                let proven = touched.len() > under_way.len() + failures;
                while let Some(guest) = rollout.take() {
                    under_way.push(guest);
                    touched.push(guest);
                }
                let room = if proven { PARALLEL } else { 1 };
                prop_assert!(under_way.len() <= room);
                if under_way.is_empty() {
                    break;
                }
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let index = usize::try_from(random >> 33).unwrap() % under_way.len();
                let guest = under_way.swap_remove(index);
                failures += usize::from(!outcomes[guest]);
                rollout.ended(outcomes[guest]);
            }
            prop_assert_eq!(&touched, &(0..touched.len()).collect::<Vec<_>>());
            // Those under way when the budget was used up may fail too.
            prop_assert!(failures < budget + PARALLEL);
            let left: Vec<usize> = rollout.left().collect();
            prop_assert_eq!(left, (touched.len()..count).collect::<Vec<_>>());
        }
    }
}
