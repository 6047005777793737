//! Who is let in, and who is asked to come again later.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use http::Method;

use super::counts::{Counted, Counts};
use super::live::Upstream;
use super::metrics::Counter;
use super::pages::Trouble;
use super::standing::Seat;
use super::visit::Visit;
use crate::limit::client::{self, Key};
use crate::limit::table::Buckets;
use crate::limit::{Rate, Reason, login};
use crate::settings::Limits;

/// Clients whose buckets are kept, a quarter of a megabyte of them.
const CLIENTS: usize = 16 * 1024;
/// Failures are far fewer.
const GUESSERS: usize = 4 * 1024;
/// How long a request waits for its turn.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a sign-in is slowed down at most.
const MAX_SLOW: Duration = Duration::from_secs(2);

/// The buckets and counts of all clients.
#[derive(Debug)]
pub(crate) struct Desk {
    started: Instant,
    clients: Buckets,
    guessers: Buckets,
    connections: Arc<Counts>,
    sockets: Arc<Counts>,
    refused: [Counter; Reason::ALL.len()],
}

/// A sign-in under way. It counts as failed from the beginning, so that nobody gains by trying many at once.
#[derive(Debug)]
pub(crate) struct Attempt {
    guesser: Option<Key>,
}

/// An open WebSocket's seats.
#[derive(Debug)]
pub(crate) struct Socket {
    _tenant: Seat,
    _client: Option<Counted>,
}

impl Desk {
    pub(crate) fn new() -> Self {
        Self {
            started: Instant::now(),
            clients: Buckets::new(CLIENTS),
            guessers: Buckets::new(GUESSERS),
            connections: Arc::default(),
            sockets: Arc::default(),
            refused: Default::default(),
        }
    }

    /// Counts a connection of a client who is known by it. The error is to hang up.
    pub(crate) fn connect(&self, client: std::net::IpAddr, limits: &Limits) -> Result<Option<Counted>, ()> {
        let Some(key) = client::key(client) else { return Ok(None) };
        let counted = self.connections.add(key, limits.client_connections);
        counted.map(Some).ok_or_else(|| self.count(Reason::ClientConnections))
    }

    /// Takes a request of a client.
    pub(crate) fn ask(&self, visit: &Visit, limits: &Limits) -> Result<(), Trouble> {
        let Some(key) = client::key(visit.client) else { return Ok(()) };
        let taken = self.clients.take(key, limits.client_rate, self.at(visit));
        taken.map_err(|wait| self.refuse(Reason::ClientRate, wait))
    }

    /// Lets a request in to its tenant.
    pub(crate) async fn admit(
        &self,
        visit: &mut Visit,
        upstream: &Arc<Upstream>,
        method: &Method,
        target: &str,
        logins: Rate,
    ) -> Result<(), Trouble> {
        visit.upstream = Some(Arc::clone(upstream));
        let (standing, limits) = (&upstream.standing, &upstream.route.policy.limits);
        limits
            .rate
            .take(&standing.rate, self.at(visit))
            .map_err(|wait| self.refuse(Reason::TenantRate, wait))?;
        if login::is_attempt(method, target) {
            visit.attempt = Some(self.attempt(visit, upstream, logins)?);
            let wait = limits.logins.look(&standing.logins, self.at(visit)).min(MAX_SLOW);
            if !wait.is_zero() {
                tokio::time::sleep(wait).await;
            }
        }
        let entered = standing.requests.enter(limits.requests, limits.queue, PATIENCE).await;
        entered.map_err(|_| self.refuse(Reason::TenantRequests, Duration::ZERO))?;
        visit.in_work = true;
        standing.last.store(visit.now.as_secs(), Ordering::Relaxed);
        Ok(())
    }

    /// Lets a WebSocket open.
    pub(crate) fn socket(
        &self,
        visit: &Visit,
        upstream: &Upstream,
        limits: &Limits,
    ) -> Result<Socket, Trouble> {
        let client = match client::key(visit.client) {
            None => None,
            Some(key) => match self.sockets.add(key, limits.client_sockets) {
                None => return Err(self.refuse(Reason::ClientSockets, Duration::ZERO)),
                counted => counted,
            },
        };
        let most = upstream.route.policy.limits.sockets;
        let tenant = Seat::take(&upstream.standing, |standing| &standing.sockets, most)
            .ok_or_else(|| self.refuse(Reason::TenantSockets, Duration::ZERO))?;
        Ok(Socket { _tenant: tenant, _client: client })
    }

    /// Counts a connection for the tenant that it asks first.
    pub(crate) fn seat(&self, upstream: &Upstream) -> Result<Seat, Trouble> {
        let most = upstream.route.policy.limits.connections;
        Seat::take(&upstream.standing, |standing| &standing.connections, most)
            .ok_or_else(|| self.refuse(Reason::TenantConnections, Duration::ZERO))
    }

    /// Notes what became of a sign-in.
    pub(crate) fn settle(
        &self,
        visit: &Visit,
        attempt: Attempt,
        upstream: &Upstream,
        has_failed: bool,
        logins: Rate,
    ) {
        if has_failed {
            // A full bucket is full.
            let _ = upstream.route.policy.limits.logins.take(&upstream.standing.logins, self.at(visit));
        } else if let Some(guesser) = attempt.guesser {
            self.guessers.give_back((guesser, &upstream.route.id), logins);
        }
    }

    /// How often something was refused for a reason.
    pub(crate) fn refused(&self, reason: Reason) -> u64 {
        self.refused[reason as usize].get()
    }

    /// Only the client's own failures at this tenant count. Whoever cannot be told from others is slowed
    /// down with them and never refused.
    fn attempt(&self, visit: &Visit, upstream: &Upstream, logins: Rate) -> Result<Attempt, Trouble> {
        let Some(key) = client::key(visit.client) else {
            return Ok(Attempt { guesser: None });
        };
        let taken = self.guessers.take((key, &upstream.route.id), logins, self.at(visit));
        taken.map_err(|wait| self.refuse(Reason::Logins, wait))?;
        Ok(Attempt { guesser: Some(key) })
    }

    fn at(&self, visit: &Visit) -> u64 {
        let since = visit.began.saturating_duration_since(self.started);
        // Nanoseconds fit for 500 years.
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    }

    fn count(&self, reason: Reason) {
        self.refused[reason as usize].add(1);
    }

    fn refuse(&self, reason: Reason, wait: Duration) -> Trouble {
        self.count(reason);
        let seconds = u32::try_from(wait.as_millis().div_ceil(1000)).unwrap_or(u32::MAX);
        match reason {
            Reason::TenantRequests | Reason::TenantConnections | Reason::TenantSockets => Trouble::BUSY,
            _ => Trouble::TOO_MANY,
        }
        .after(seconds)
    }
}
