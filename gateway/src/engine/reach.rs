//! Connecting to an instance that may be starting anew: what was not sent yet waits a little.

use std::io;
use std::time::{Duration, Instant};

use super::awake::known_as;
use super::pages::Trouble;
use super::passage::Passage;
use super::pool::{self, Link};
use super::probe::{self, Identity};

/// Between two tries.
const PAUSE: Duration = Duration::from_millis(20);
/// The longest pause.
const LONGEST: Duration = Duration::from_millis(200);

impl Passage {
    /// Opens a connection to the instance, once it is known who listens there. An instance that is just being
    /// started anew is waited for.
    pub(crate) async fn reach(&self) -> Result<Link, Trouble> {
        let health = &self.upstream.standing.health;
        if !health.may_try() {
            return Err(Trouble::UNREACHABLE);
        }
        match self.try_reach().await {
            Ok(link) => {
                health.succeeded();
                Ok(link)
            }
            Err(trouble) => {
                health.failed();
                Err(trouble)
            }
        }
    }

    async fn try_reach(&self) -> Result<Link, Trouble> {
        let timeouts = &self.client.core.settings.timeouts;
        let pool = &self.upstream.pool;
        let deadline = Instant::now() + timeouts.restart;
        let mut pause = PAUSE;
        loop {
            let error = match probe::identity(&self.upstream, timeouts.connect).await {
                Ok(Identity::Wrong) => return Err(Trouble::MISMATCH),
                Ok(Identity::Right | Identity::Unknown) => match pool.connect(timeouts.connect).await {
                    Ok(link) => return Ok(link),
                    Err(error) => error,
                },
                Err(error) => error,
            };
            let left = deadline.saturating_duration_since(Instant::now());
            if !is_absent(&error) || left.is_zero() {
                return Err(self.no_connection(&error));
            }
            // Whoever listens there next may be somebody else.
            pool.forget_identity();
            self.restarted(left, pause).await;
            pause = (pause * 2).min(LONGEST);
        }
    }

    /// Waits for the one who starts instances, or a little.
    async fn restarted(&self, left: Duration, pause: Duration) {
        let pause = pause.min(left);
        let supervisor = &self.client.core.supervisor;
        let Some(name) = known_as(&self.upstream) else { return tokio::time::sleep(pause).await };
        let started = tokio::time::timeout(left, supervisor.wake(name)).await;
        // It may not have noticed yet that the instance is gone.
        if started.is_ok() {
            tokio::time::sleep(pause).await;
        }
    }
}

/// Nobody listens there, so nothing was sent.
fn is_absent(error: &pool::Error) -> bool {
    matches!(error, pool::Error::Connect(error)
        if matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound))
}
