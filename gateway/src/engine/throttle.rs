//! Lets an answer wait where its tenant may send so much in a second.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::time::{Sleep, sleep};

use super::standing::Standing;
use crate::limit::bandwidth::Bandwidth;

#[derive(Debug)]
pub(crate) struct Throttle {
    standing: Arc<Standing>,
    bandwidth: Bandwidth,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Throttle {
    pub(crate) fn new(standing: &Arc<Standing>, bandwidth: Bandwidth) -> Self {
        Self { standing: Arc::clone(standing), bandwidth, sleep: None }
    }

    /// Waits until more may leave.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if let Some(sleep) = &mut self.sleep {
                std::task::ready!(sleep.as_mut().poll(cx));
                self.sleep = None;
            }
            // Others of the tenant may have been faster meanwhile.
            let paid = *self.standing.paid.lock().unwrap_or_else(PoisonError::into_inner);
            let wait = Bandwidth::wait(paid, Instant::now());
            if wait.is_zero() {
                return Poll::Ready(());
            }
            self.sleep = Some(Box::pin(sleep(wait)));
        }
    }

    pub(crate) fn left(&self, bytes: usize) {
        let mut paid = self.standing.paid.lock().unwrap_or_else(PoisonError::into_inner);
        *paid = Some(self.bandwidth.paid(*paid, Instant::now(), bytes));
    }
}
