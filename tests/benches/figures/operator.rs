//! The operator's commands over many guests.

use std::process::Command;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use remotelab_tests::http;
use remotelab_tests::world::World;
use serde_json::Value;

use crate::{Figures, spread};

/// Guests whose links are printed.
const LISTED: usize = 200;

/// Guests that are brought to another program.
const CONVERGED: usize = 50;

static ASKED: AtomicUsize = AtomicUsize::new(0);
static FAILED: AtomicUsize = AtomicUsize::new(0);

/// `links` and `list`, from the start of the process to its end.
pub(crate) async fn lists(figures: &mut Figures) -> anyhow::Result<()> {
    let world = World::without_executors().await?;
    let count = LISTED.to_string();
    let created =
        world.run(&["guest-instance", "create-trial", "--local-only", "--json", "--count", &count]).await?;
    anyhow::ensure!(created.code == Some(0), "create-trial: {created:?}");
    for verb in ["links", "list"] {
        let mut times = Vec::new();
        for _ in 0..50 {
            let began = Instant::now();
            let said = world.run(&["guest-instance", verb]).await?;
            times.push(began.elapsed());
            anyhow::ensure!(said.code == Some(0), "{verb}: {said:?}");
        }
        figures.add(format!("guest-instance {verb}, {LISTED} guests"), spread(times));
    }
    Ok(())
}

/// All guests to another program, and what a guest that is not at turn notices of it.
pub(crate) async fn converge(figures: &mut Figures) -> anyhow::Result<()> {
    let world = World::without_executors().await?;
    let _up = world.up().await?;
    let count = CONVERGED.to_string();
    let created =
        world.run(&["guest-instance", "create-trial", "--local-only", "--json", "--count", &count]).await?;
    anyhow::ensure!(created.code == Some(0), "create-trial: {created:?}");
    let other = world.root().join("other");
    std::fs::copy(remotelab_tests::world::binary()?, &other).context("copy the program")?;
    let beside = tokio::spawn(beside(format!("{}/owner/login", world.gateway_url())));
    let began = Instant::now();
    // The world's own command, but of the other program.
    let own = world.command(&["guest-instance", "converge", "--all", "--json"])?;
    let mut command = Command::new(&other);
    command.args(own.get_args()).env_clear();
    command.envs(own.get_envs().filter_map(|(key, value)| Some((key, value?))));
    let said = remotelab_tests::process::run(command).await?;
    let took = began.elapsed();
    beside.abort();
    let (asked, failed) = (ASKED.load(Relaxed), FAILED.load(Relaxed));
    anyhow::ensure!(said.code == Some(0), "converge: {said:?}");
    let reports: Value = serde_json::from_str(&said.stdout).context("read the reports")?;
    let restarted = reports.as_array().into_iter().flatten().filter(|report| report["restarted"] == true);
    figures.add(
        format!("converge --all, {CONVERGED} guests"),
        format!(
            "{:.1} s, {} restarted; beside it {failed} of {asked} requests failed",
            took.as_secs_f64(),
            restarted.count()
        ),
    );
    Ok(())
}

/// Two hundred requests a second, whatever becomes of them.
async fn beside(url: String) {
    let client = http::client();
    let mut beat = tokio::time::interval(Duration::from_millis(5));
    loop {
        beat.tick().await;
        let request = client.get(&url);
        tokio::spawn(async move {
            let answer = http::send(request).await;
            ASKED.fetch_add(1, Relaxed);
            FAILED.fetch_add(usize::from(!answer.is_ok_and(|answer| answer.status.as_u16() == 200)), Relaxed);
        });
    }
}
