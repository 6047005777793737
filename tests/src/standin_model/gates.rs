//! Named places where an answer waits for its test.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::watch;

use crate::wait;

/// The longest that an answer is held. A forgotten gate must not hang a run for ever.
const PATIENCE: Duration = Duration::from_secs(120);

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Gate {
    reached: bool,
    open: bool,
}

/// All gates; one that was never named is closed and unreached.
#[derive(Debug, Default)]
pub(super) struct Gates(Mutex<BTreeMap<String, watch::Sender<Gate>>>);

impl Gates {
    /// Tells that an answer is at `gate` and waits until it is open, or the patience ends.
    pub(super) async fn pass(&self, gate: &str) {
        let mut seen = self.with(gate, |gate| {
            gate.send_modify(|gate| gate.reached = true);
            gate.subscribe()
        });
        // Either end lets the answer go on: a stand-in has nobody to complain to.
        let _ = tokio::time::timeout(PATIENCE, seen.wait_for(|gate| gate.open)).await;
    }

    /// Opens `gate` for good.
    pub(super) fn release(&self, gate: &str) {
        self.with(gate, |gate| gate.send_modify(|gate| gate.open = true));
    }

    /// Waits until an answer has come to `gate`.
    pub(super) async fn held(&self, gate: &str) -> anyhow::Result<()> {
        let mut seen = self.with(gate, |gate| gate.subscribe());
        let reached = tokio::time::timeout(wait::PATIENCE, seen.wait_for(|gate| gate.reached));
        let reached = reached.await;
        reached.with_context(|| format!("no answer came to the gate {gate}"))??;
        Ok(())
    }

    fn with<T>(&self, gate: &str, act: impl FnOnce(&watch::Sender<Gate>) -> T) -> T {
        let mut gates = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        act(gates.entry(gate.to_owned()).or_default())
    }
}
