//! A guest that sleeps and is asked by fifty at once, and another gateway in the place of the one that runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::ensure;
use remotelab_tests::api::Client;
use remotelab_tests::http;
use remotelab_tests::wait::eventually;
use remotelab_tests::world::World;
use tokio::task::JoinSet;

use super::{Figures, spread};

const CROWD: usize = 50;
const WAKES: usize = 10;
/// Requests in a second while the gateway is replaced.
const RATE: usize = 500;
const ASKING: usize = 25;

pub(super) async fn asleep_to_answer(figures: &mut Figures) -> anyhow::Result<()> {
    let world = World::without_executors().await?;
    let _up = world.up().await?;
    let made = world.run(&["guest-instance", "create-trial", "--json"]).await?;
    ensure!(made.code == Some(0), "{made:?}");
    let guest = world.guest_owner("trial1").await?;
    let (mut first, mut all) = (Vec::new(), Vec::new());
    for _ in 0..WAKES {
        eventually("the guest falls asleep", async || {
            let done = world.run(&["guest-instance", "sleep", "trial1"]).await?;
            Ok((done.code == Some(0)).then_some(()))
        })
        .await?;
        let mut times = crowd(&world, &guest).await?;
        times.sort_unstable();
        first.push(times[0]);
        all.extend(times);
    }
    figures.add("asleep guest, 50 at once: first answer p50 / p99", spread(first));
    figures.add("the same, all fifty p50 / p99 (goal 30 / 80 ms)", spread(all));
    Ok(())
}

async fn crowd(world: &World, guest: &Client) -> anyhow::Result<Vec<Duration>> {
    let mut crowd = JoinSet::new();
    for _ in 0..CROWD {
        let (url, cookie) =
            (format!("{}/trial1/api/auth/me", world.gateway_url()), format!("trial1__{}", guest.cookie()));
        let cookie = cookie.replace("trial1__trial1__", "trial1__");
        crowd.spawn(async move {
            let began = Instant::now();
            let answer = http::send(http::client().get(url).header("cookie", cookie)).await?;
            ensure!(answer.status == 200, "{answer:?}");
            anyhow::Ok(began.elapsed())
        });
    }
    let mut times = Vec::new();
    while let Some(time) = crowd.join_next().await {
        times.push(time??);
    }
    Ok(times)
}

pub(super) async fn upgrade(figures: &mut Figures) -> anyhow::Result<()> {
    let world = World::without_executors().await?;
    let _up = world.up().await?;
    let (stop, asked, failed) =
        (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut crowd = JoinSet::new();
    let pace = Duration::from_secs(1) * u32::try_from(ASKING)? / u32::try_from(RATE)?;
    for _ in 0..ASKING {
        let url = format!("{}/owner/api/build-info", world.gateway_url());
        let (stop, asked, failed) = (Arc::clone(&stop), Arc::clone(&asked), Arc::clone(&failed));
        crowd.spawn(async move {
            let mut next = Instant::now();
            while !stop.load(Ordering::SeqCst) {
                let answer = http::send(http::client().get(&url)).await;
                let is_fine = answer.is_ok_and(|answer| answer.status == 200);
                if is_fine { &asked } else { &failed }.fetch_add(1, Ordering::SeqCst);
                next += pace;
                tokio::time::sleep(next.saturating_duration_since(Instant::now())).await;
            }
        });
    }
    let mut times = Vec::new();
    let began = Instant::now();
    for _ in 0..5 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let began = Instant::now();
        let done = world.run(&["gateway", "upgrade"]).await?;
        ensure!(done.code == Some(0), "{done:?}");
        times.push(began.elapsed());
    }
    stop.store(true, Ordering::SeqCst);
    while crowd.join_next().await.is_some() {}
    let rate = asked.load(Ordering::SeqCst) as f64 / began.elapsed().as_secs_f64();
    let failed = failed.load(Ordering::SeqCst);
    figures.add("gateway replaced five times", format!("{failed} failed at {rate:.0} requests/s"));
    figures.add("one replacement p50 / p99", spread(times));
    Ok(())
}
