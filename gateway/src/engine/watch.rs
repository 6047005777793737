//! Keeps the routes in step with the registry, off the request path.

pub(super) mod files;
mod folders;
mod key;
mod source;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use super::Core;
use super::live::Draft;
use super::tls::Certificates;
use crate::route::build::Problem;
use folders::Folders;

pub(crate) use source::Source;

/// Writers change a file in several steps.
const DEBOUNCE: Duration = Duration::from_millis(200);
/// Looks by itself this often, for what no notification told.
const SAFETY: Duration = Duration::from_secs(30);

/// Asks for a reload and for the generation that is in force afterwards.
pub(crate) type Requests = mpsc::Receiver<oneshot::Sender<Result<u64, String>>>;

/// A source that one reload after the other reads.
pub(crate) type Shared = Arc<Mutex<Source>>;

/// Follows the source until the gateway drains.
pub(crate) async fn follow(core: Arc<Core>, source: Shared, mut requests: Requests) {
    let changed = Arc::new(Notify::new());
    // Without notifications (no inotify left, say) the safety interval still finds changes.
    let mut folders = Folders::watch(&core.settings.registry, &changed)
        .inspect_err(|error| tracing::warn!(%error, "registry is polled: no change notifications"))
        .ok();
    let mut safety = interval(SAFETY);
    safety.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut settled: Option<Instant> = None;
    let mut reports = Reports::default();
    loop {
        tokio::select! {
            () = core.draining.cancelled() => return,
            Some(reply) = requests.recv() => {
                // The one who asked may be gone.
                let _ = reply.send(reload(&core, &source, &mut reports).await);
            }
            () = changed.notified() => {
                settled.get_or_insert_with(|| Instant::now() + DEBOUNCE);
                continue;
            }
            () = sleep_until(settled.unwrap_or_else(Instant::now)), if settled.is_some() => {
                settled = None;
                let _ = reload(&core, &source, &mut reports).await;
            }
            _ = safety.tick() => {
                let _ = reload(&core, &source, &mut reports).await;
                for upstream in &core.snapshot.load().upstreams {
                    upstream.pool.prune(SAFETY);
                }
            }
        }
        if let Some(folders) = &mut folders {
            let mut wanted = lock(&source).folders();
            wanted.extend(core.certificates.iter().flatten().flat_map(Certificates::folders));
            folders.follow(&wanted);
        }
    }
}

/// What was said already; each thing is said once while it lasts.
#[derive(Default)]
struct Reports {
    error: Option<String>,
    problems: HashSet<Problem>,
}

async fn reload(core: &Arc<Core>, source: &Shared, reports: &mut Reports) -> Result<u64, String> {
    let (shared, source) = (Arc::clone(core), Arc::clone(source));
    let read = tokio::task::spawn_blocking(move || {
        shared.certificates.iter().flatten().for_each(Certificates::refresh);
        lock(&source).read()
    })
    .await;
    let draft = match read {
        Ok(Ok(draft)) => draft,
        Ok(Err(error)) => return Err(keep(core, chain(&error), reports)),
        Err(error) => return Err(keep(core, error.to_string(), reports)),
    };
    reports.error = None;
    match draft {
        Some(draft) => Ok(publish(core, draft, reports)),
        None => Ok(core.snapshot.load().generation),
    }
}

fn publish(core: &Core, draft: Draft, reports: &mut Reports) -> u64 {
    let problems: HashSet<Problem> = draft.problems.iter().cloned().collect();
    for problem in problems.difference(&reports.problems) {
        tracing::warn!(%problem, "registry record needs a look");
    }
    reports.problems = problems;
    core.snapshot.publish(draft, core.settings.limits.pooled)
}

fn keep(core: &Core, error: String, reports: &mut Reports) -> String {
    core.metrics.failed_reloads.add(1);
    if reports.error.as_ref() != Some(&error) {
        tracing::error!(%error, "registry cannot be read, the last good routes stay");
        reports.error = Some(error.clone());
    }
    error
}

fn lock(source: &Shared) -> std::sync::MutexGuard<'_, Source> {
    // What a defect left half read is read again.
    source.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
