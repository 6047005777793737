//! `[limits]`: upper bounds.

use serde::Deserialize;

use super::file::Wrong;
use crate::limit::Rate;
use crate::limit::tenant::{Overrides, Tenant, rate};

/// Upper bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Client connections at a time; more wait in the listen queue.
    pub connections: usize,
    /// Idle connections kept to each instance.
    pub pooled: usize,
    /// Connections of one client at a time.
    pub client_connections: u32,
    /// Open WebSockets of one client.
    pub client_sockets: u32,
    /// Requests of one client.
    pub client_rate: Rate,
    /// Failed sign-ins of one client at one tenant.
    pub logins: Rate,
    /// Of each tenant.
    pub tenant: Tenant,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            pooled: 64,
            client_connections: 256,
            client_sockets: 16,
            client_rate: Rate::per_second(50, 200),
            logins: Rate::per_minute(5),
            tenant: Tenant::default(),
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Table {
    connections: Option<usize>,
    pooled: Option<usize>,
    client_connections: Option<u32>,
    client_sockets: Option<u32>,
    client_rate: Option<u32>,
    client_burst: Option<u32>,
    logins: Option<u32>,
    /// The same as `tenant.body`.
    body: Option<u64>,
    #[serde(default)]
    tenant: Overrides,
}

impl Table {
    pub(super) fn lay_over(&self, limits: &mut Limits) -> Result<(), Wrong> {
        limits.connections = self.connections.unwrap_or(limits.connections).max(1);
        limits.pooled = self.pooled.unwrap_or(limits.pooled);
        limits.client_connections = self.client_connections.unwrap_or(limits.client_connections);
        limits.client_sockets = self.client_sockets.unwrap_or(limits.client_sockets);
        limits.client_rate = rate(self.client_rate, self.client_burst, limits.client_rate)
            .map_err(|problem| Wrong::new("limits.client_burst", problem))?;
        limits.logins = self.logins.map_or(limits.logins, Rate::per_minute);
        limits.tenant.body = self.body.unwrap_or(limits.tenant.body);
        limits.tenant = self
            .tenant
            .over(limits.tenant)
            .map_err(|(key, problem)| Wrong::new(format!("limits.tenant.{key}"), problem))?;
        Ok(())
    }
}
