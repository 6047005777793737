//! So many at a time, and so many more who wait for their turn.

use std::pin::pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

/// Counts who is in. As long as there is room it costs two additions and no lock.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    inside: AtomicU32,
    waiting: AtomicU32,
    left: Notify,
}

/// There is no room, and no sense in waiting for it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Full;

impl Gate {
    /// Lets one in who is to [`leave`](Self::leave) again. Whoever waits comes first, in order.
    pub(crate) async fn enter(&self, room: u32, queue: u32, patience: Duration) -> Result<(), Full> {
        if self.waiting.load(Ordering::SeqCst) == 0 && self.try_enter(room) {
            return Ok(());
        }
        let _waiting = Waiting::join(self, queue)?;
        let turn = async {
            loop {
                let mut left = pin!(self.left.notified());
                // Whoever leaves after this look is heard.
                left.as_mut().enable();
                if self.try_enter(room) {
                    return;
                }
                left.await;
            }
        };
        tokio::time::timeout(patience, turn).await.map_err(|_| Full)
    }

    pub(crate) fn leave(&self) {
        self.inside.fetch_sub(1, Ordering::SeqCst);
        if self.waiting.load(Ordering::SeqCst) > 0 {
            self.left.notify_one();
        }
    }

    /// Tells whether anybody is in or waits to be.
    pub(crate) fn has_any(&self) -> bool {
        self.inside.load(Ordering::SeqCst) > 0 || self.waiting.load(Ordering::SeqCst) > 0
    }

    /// How many are in.
    pub(crate) fn inside(&self) -> u32 {
        self.inside.load(Ordering::Relaxed)
    }

    fn try_enter(&self, room: u32) -> bool {
        add_below(&self.inside, room)
    }
}

/// One in the queue.
struct Waiting<'g>(&'g Gate);

impl<'g> Waiting<'g> {
    fn join(gate: &'g Gate, queue: u32) -> Result<Self, Full> {
        if add_below(&gate.waiting, queue) { Ok(Self(gate)) } else { Err(Full) }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Adds one, unless there are `limit` already.
pub(crate) fn add_below(count: &AtomicU32, limit: u32) -> bool {
    count.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |now| (now < limit).then_some(now + 1)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn the_next_in_the_queue_enters_when_one_leaves() {
        let gate = Arc::new(Gate::default());
        assert_eq!(gate.enter(1, 1, LONG).await, Ok(()));
        let waiting = tokio::spawn({
            let gate = Arc::clone(&gate);
            async move { gate.enter(1, 1, LONG).await }
        });
        while gate.waiting.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(gate.enter(1, 1, LONG).await, Err(Full));
        gate.leave();
        assert_eq!(waiting.await.unwrap(), Ok(()));
        assert_eq!((gate.inside(), gate.waiting.load(Ordering::SeqCst)), (1, 0));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn nobody_is_forgotten_in_a_crowd() {
        let gate = Arc::new(Gate::default());
        let mut crowd = tokio::task::JoinSet::new();
        for _ in 0..200 {
            let gate = Arc::clone(&gate);
            crowd.spawn(async move {
                for _ in 0..50 {
                    gate.enter(3, 1000, LONG).await.unwrap();
                    assert!(gate.inside() <= 3);
                    tokio::task::yield_now().await;
                    gate.leave();
                }
            });
        }
        while let Some(done) = crowd.join_next().await {
            done.unwrap();
        }
        assert_eq!(gate.inside(), 0);
    }

    #[tokio::test]
    async fn patience_ends() {
        let gate = Gate::default();
        gate.enter(1, 1, LONG).await.unwrap();
        assert_eq!(gate.enter(1, 1, Duration::from_millis(10)).await, Err(Full));
        assert_eq!(gate.waiting.load(Ordering::SeqCst), 0);
    }
}
