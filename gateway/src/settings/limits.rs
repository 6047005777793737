//! `[limits]`: upper bounds.

use serde::Deserialize;

/// Upper bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Client connections at a time; more wait in the listen queue.
    pub connections: usize,
    /// Idle connections kept to each instance.
    pub pooled: usize,
    /// Request body, bytes.
    pub body: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: 10_000, pooled: 64, body: 2 << 30 }
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Table {
    connections: Option<usize>,
    pooled: Option<usize>,
    /// Bytes.
    body: Option<u64>,
}

impl Table {
    pub(super) fn lay_over(&self, limits: &mut Limits) {
        limits.connections = self.connections.unwrap_or(limits.connections).max(1);
        limits.pooled = self.pooled.unwrap_or(limits.pooled);
        limits.body = self.body.unwrap_or(limits.body);
    }
}
