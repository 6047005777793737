//! Asking an instance who it is: before the first request goes there, and now and then while it is used.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::{HeaderValue, Request, header};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};

use super::Core;
use super::live::Upstream;
use super::pool::{self, poll_answer};
use super::upload::Upload;
use crate::route::Kind;

const PATH: &str = "/api/build-info";
const INSTANCE: &str = "x-remotelab-instance";

/// How long a probe may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often an instance is asked that is used.
const EVERY: Duration = Duration::from_secs(10);
/// Probes at a time.
const PARALLEL: usize = 16;

/// Who listens where an instance should.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Identity {
    /// Nobody has asked, or nobody tells.
    #[default]
    Unknown,
    /// The instance.
    Right,
    /// Another one.
    Wrong,
}

/// Returns who listens at an instance's address; asks if that is not known. An instance whose id is not known, and
/// one that does not tell its own, is taken for the right one.
pub(crate) async fn identity(upstream: &Upstream, connect: Duration) -> Result<Identity, pool::Error> {
    let route = &upstream.route;
    if route.kind != Kind::Guest || route.id == route.name {
        return Ok(Identity::Unknown);
    }
    let pool = &upstream.pool;
    // At a socket in its own folder nobody else can listen.
    if pool.identity() == Identity::Right || pool.origin().is_private() {
        return Ok(Identity::Right);
    }
    // One asks, the others wait for it.
    let mut asked = pool.asking().await;
    if pool.identity() == Identity::Right {
        return Ok(Identity::Right);
    }
    // A wrong one may be gone by now, but is not asked for each request.
    if asked.is_some_and(|at: Instant| at.elapsed() < Duration::from_secs(1))
        && pool.identity() == Identity::Wrong
    {
        return Ok(Identity::Wrong);
    }
    let answer = ask(upstream, connect).await?;
    *asked = Some(Instant::now());
    let identity = match answer {
        Some(id) if id != route.id => Identity::Wrong,
        _ => Identity::Right,
    };
    if identity == Identity::Wrong {
        tracing::error!(instance = %route.name, "another instance answers at its address");
        pool.prune(Duration::ZERO);
    }
    pool.identified(identity);
    Ok(identity)
}

/// Asks the instances that are used, until the gateway drains.
pub(crate) async fn watch(core: Arc<Core>) {
    let mut tick = interval_at(Instant::now() + EVERY, EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let places = Arc::new(Semaphore::new(PARALLEL));
    loop {
        tokio::select! {
            () = core.draining.cancelled() => return,
            _ = tick.tick() => {}
        }
        let mut probes = JoinSet::new();
        for upstream in &core.snapshot.load_full().upstreams {
            let standing = &upstream.standing;
            let requests = standing.traffic.total();
            let is_used = standing.probed.swap(requests, Ordering::Relaxed) != requests;
            if is_used && standing.awake.is_awake() {
                let (upstream, places, connect) =
                    (Arc::clone(upstream), Arc::clone(&places), core.settings.timeouts.connect);
                probes.spawn(async move {
                    let _place = places.acquire().await;
                    // Not all at once.
                    tokio::time::sleep(Duration::from_millis(rand::random_range(0..2000))).await;
                    probe(&upstream, connect).await;
                });
            }
        }
        let all = async { while probes.join_next().await.is_some() {} };
        tokio::select! {
            () = core.draining.cancelled() => return,
            () = all => {}
        }
    }
}

async fn probe(upstream: &Upstream, connect: Duration) {
    if !upstream.standing.awake.is_awake() {
        return;
    }
    let health = &upstream.standing.health;
    match ask(upstream, connect).await {
        Ok(answer) => {
            let is_other = upstream.route.kind == Kind::Guest
                && upstream.route.id != upstream.route.name
                && answer.is_some_and(|id| id != upstream.route.id);
            upstream.pool.identified(if is_other { Identity::Wrong } else { Identity::Right });
            health.succeeded();
        }
        // It may have been put to sleep meanwhile.
        Err(error) if upstream.standing.awake.is_awake() => {
            tracing::debug!(instance = %upstream.route.name, error = &error as &dyn std::error::Error, "a probe failed");
            health.failed();
        }
        Err(_) => {}
    }
}

/// Returns the id that is answered, if any is.
async fn ask(upstream: &Upstream, connect: Duration) -> Result<Option<String>, pool::Error> {
    let mut link = upstream.pool.connect(connect).await?;
    let mut request = Request::new(Upload::empty());
    *request.uri_mut() = http::Uri::from_static(PATH);
    let host =
        HeaderValue::try_from(&upstream.authority).unwrap_or_else(|_| HeaderValue::from_static("localhost"));
    request.headers_mut().insert(header::HOST, host);
    request.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    let answer = async {
        let mut answer = std::pin::pin!(link.sender.try_send_request(request));
        std::future::poll_fn(|cx| poll_answer(&mut link, answer.as_mut(), cx)).await
    };
    let answer = timeout(PATIENCE, answer).await.map_err(|_| pool::Error::TimedOut)?;
    let answer = answer.map_err(|error| pool::Error::Handshake(error.into_error()))?;
    let id = answer.headers().get(INSTANCE).and_then(|id| id.to_str().ok());
    Ok(id.filter(|id| !id.is_empty()).map(str::to_owned))
}
