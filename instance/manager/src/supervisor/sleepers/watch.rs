//! Looking after guests by the clock: who was idle for long is put to sleep, who has to be awake is woken.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use remotelab_config::InstanceName;
use remotelab_config::registry::Registry;
use remotelab_config::sleep::Sleep;
use tokio::task::spawn_blocking;
use tokio::time::Instant;

use super::policy::{Verdict, judge};
use crate::control::State;
use crate::supervisor::control_server::Desk;
use crate::supervisor::spec::Id;

/// The longest pause. The clock of timers stands still while a machine is suspended and knows nothing of a clock
/// that is set, so the time of day is asked for this often.
const PAUSE: Duration = Duration::from_secs(15);

/// How long a guest is left alone that could not be put to sleep or woken.
const RETRY: Duration = Duration::from_secs(60);

/// How long a guest is left alone that is being started or stopped.
const UNDER_WAY: Duration = Duration::from_secs(1);

/// Looks after the guests for as long as the supervisor lives.
pub(in crate::supervisor) async fn watch(desk: Arc<Desk>) {
    let mut looks: BTreeMap<InstanceName, Instant> = BTreeMap::new();
    let mut retries: BTreeMap<InstanceName, Instant> = BTreeMap::new();
    loop {
        retries.retain(|_, at| *at > Instant::now());
        for name in desk.sleepers.notes.due(Timestamp::now().as_millisecond()) {
            if !retries.contains_key(&name)
                && let Err(reason) = desk.wake(name.as_str()).await
            {
                tracing::warn!("guest {name} does not wake in time: {reason}");
                retries.insert(name, Instant::now() + RETRY);
            }
        }
        let policies = policies(&desk).await;
        looks.retain(|name, _| policies.iter().any(|(known, _)| known == name));
        for (name, idle_after) in policies {
            let at = looks.entry(name.clone()).or_insert_with(Instant::now);
            if *at <= Instant::now() {
                *at = Instant::now() + look(&desk, name, idle_after).await;
            }
        }
        let next = looks.values().min().map_or(PAUSE, |at| at.saturating_duration_since(Instant::now()));
        tokio::time::sleep(next.clamp(Duration::from_millis(100), pause(&desk))).await;
    }
}

/// How long nothing has to be woken.
fn pause(desk: &Desk) -> Duration {
    let until = |at: i64| at.saturating_sub(Timestamp::now().as_millisecond());
    let next = desk.sleepers.notes.next().map(|at| u64::try_from(until(at)).unwrap_or(0));
    next.map_or(PAUSE, Duration::from_millis).clamp(Duration::from_millis(200), PAUSE)
}

/// Looks at one guest; returns how long it is left alone.
async fn look(desk: &Desk, name: InstanceName, idle_after: Duration) -> Duration {
    let id = Id::Guest(name);
    match desk.children.state(&id) {
        State::Ready => {}
        State::Asleep | State::Stopped => return idle_after.min(RETRY),
        _ => return UNDER_WAY,
    }
    let verdict = match desk.children.ask(&id).await {
        Ok(asked) => judge(&asked.rest, idle_after),
        Err(_) => Verdict::Later(RETRY),
    };
    match verdict {
        Verdict::Later(wait) => wait,
        Verdict::Sleep => match desk.sleepers.sleep(&desk.children, &id, idle_after).await {
            Ok(()) => idle_after,
            Err(reason) => {
                tracing::debug!("not put to sleep: {reason}");
                idle_after.min(RETRY)
            }
        },
    }
}

/// The guests that sleep at all, and after how long. Those of a registry that cannot be read are left alone.
async fn policies(desk: &Desk) -> Vec<(InstanceName, Duration)> {
    let (registry, settings) = (desk.options.paths.registry(), desk.options.paths.gateway_settings());
    let read = spawn_blocking(move || {
        let usual = Sleep::load(&settings);
        let registry = Registry::load(&registry).ok()?;
        let awake = registry.guests.into_iter().filter(|record| record.state.is_ready() && !record.stopped);
        Some(awake.filter_map(|it| Some((it.name.clone(), usual.of(&it).idle_after?))).collect())
    });
    read.await.ok().flatten().unwrap_or_default()
}
