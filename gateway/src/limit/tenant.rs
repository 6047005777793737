//! Upper bounds of one tenant, which its record may change.

use serde::Deserialize;

use super::Rate;
use super::bandwidth::Bandwidth;

/// Upper bounds of one tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tenant {
    /// Request body, bytes.
    pub body: u64,
    /// Requests in work at a time.
    pub requests: u32,
    /// Requests that wait for their turn.
    pub queue: u32,
    /// Requests.
    pub rate: Rate,
    /// Open WebSockets.
    pub sockets: u32,
    /// Client connections at a time.
    pub connections: u32,
    /// Failed sign-ins before further ones are slowed down.
    pub logins: Rate,
    /// What its answers may take.
    pub bandwidth: Bandwidth,
}

impl Default for Tenant {
    fn default() -> Self {
        Self {
            body: 2 << 30,
            requests: 128,
            queue: 64,
            rate: Rate::per_second(200, 400),
            sockets: 64,
            connections: 1_000,
            logins: Rate::per_minute(60),
            bandwidth: Bandwidth::default(),
        }
    }
}

/// What the settings or a guest's record say about a tenant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Overrides {
    body: Option<u64>,
    requests: Option<u32>,
    queue: Option<u32>,
    rate: Option<u32>,
    burst: Option<u32>,
    sockets: Option<u32>,
    connections: Option<u32>,
    logins: Option<u32>,
    bandwidth: Option<u64>,
}

impl Overrides {
    /// Lays what is said over what holds otherwise.
    ///
    /// # Errors
    /// The key that makes no sense, and why.
    pub fn over(&self, tenant: Tenant) -> Result<Tenant, (&'static str, &'static str)> {
        for (key, count) in [("requests", self.requests), ("connections", self.connections)] {
            if count == Some(0) {
                return Err((key, "is zero, which would refuse everybody"));
            }
        }
        Ok(Tenant {
            body: self.body.unwrap_or(tenant.body),
            requests: self.requests.unwrap_or(tenant.requests),
            queue: self.queue.unwrap_or(tenant.queue),
            rate: rate(self.rate, self.burst, tenant.rate).map_err(|problem| ("burst", problem))?,
            sockets: self.sockets.unwrap_or(tenant.sockets),
            connections: self.connections.unwrap_or(tenant.connections),
            logins: self.logins.map_or(tenant.logins, Rate::per_minute),
            bandwidth: self.bandwidth.map_or(tenant.bandwidth, Bandwidth),
        })
    }
}

/// Builds a rate of what is said about it. One without a burst may come twice at once, as the usual one may.
///
/// # Errors
/// When only a burst is given.
pub fn rate(per_second: Option<u32>, burst: Option<u32>, otherwise: Rate) -> Result<Rate, &'static str> {
    match (per_second, burst) {
        (None, None) => Ok(otherwise),
        (None, Some(_)) => Err("needs the rate that it belongs to"),
        (Some(count), burst) => Ok(Rate::per_second(count, burst.unwrap_or(count.saturating_mul(2)))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_changes_what_it_names() {
        let over = |json: &str| {
            let overrides: Overrides = serde_json::from_str(json).map_err(|_| ("json", ""))?;
            overrides.over(Tenant::default()).map_err(|(key, _)| (key, ""))
        };
        let usual = Tenant::default();
        assert_eq!(over("{}"), Ok(usual));
        assert_eq!(
            over(r#"{"rate":5,"queue":0}"#),
            Ok(Tenant { rate: Rate::per_second(5, 10), queue: 0, ..usual })
        );
        assert_eq!(over(r#"{"rate":0,"burst":1}"#), Ok(Tenant { rate: Rate::UNLIMITED, ..usual }));
        assert_eq!(over(r#"{"burst":1}"#), Err(("burst", "")));
        assert_eq!(over(r#"{"requests":0}"#), Err(("requests", "")));
        assert_eq!(over(r#"{"reqests":1}"#), Err(("json", "")));
    }
}
