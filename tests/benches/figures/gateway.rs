//! The gateway beside nginx: same upstream, same core, same load, rounds taking turns.

use std::process::Command;

use anyhow::Context as _;
use remotelab_tests::http;
use remotelab_tests::process::{self, Process};
use remotelab_tests::wait::eventually;
use remotelab_tests::world::World;

use crate::Figures;
use crate::nginx::Nginx;
use crate::wrk::{self, Round};

const ROUNDS: usize = 3;
const SECONDS: u32 = 3;
const CONNECTIONS: u32 = 64;
/// The guest that is asked.
const GUEST: u16 = 7;

pub(crate) async fn throughput_and_latency(figures: &mut Figures) -> anyhow::Result<()> {
    for routes in [10, 2000] {
        let world = World::without_executors().await?;
        let upstream = Nginx::upstream(&world).await?;
        let nginx = Nginx::proxy(&world, upstream.port, routes).await?;
        let _gateway = gateway(&world, upstream.port, routes).await?;
        let direct = format!("http://127.0.0.1:{}/trial{GUEST}/", upstream.port);
        let theirs = format!("http://127.0.0.1:{}/trial{GUEST}/", nginx.port);
        let ours = format!("{}/trial{GUEST}/", world.gateway_url());

        let [direct_load, theirs_load, ours_load] = best([&direct, &theirs, &ours], CONNECTIONS).await?;
        let rate = |round: Round| round.requests_per_second;
        figures.add(
            format!("gateway, requests/s, one core, 1 KiB, 64 connections, {routes} routes"),
            format!(
                "{:.0}; nginx {:.0}; ratio {:.2}; direct {:.0}",
                rate(ours_load),
                rate(theirs_load),
                rate(ours_load) / rate(theirs_load),
                rate(direct_load)
            ),
        );
        let [direct_one, theirs_one, ours_one] = best([&direct, &theirs, &ours], 1).await?;
        figures.add(
            format!("added latency p50 / p99, one connection, {routes} routes"),
            format!(
                "{:.0} / {:.0} µs; nginx {:.0} / {:.0} µs",
                ours_one.p50_us - direct_one.p50_us,
                ours_one.p99_us - direct_one.p99_us,
                theirs_one.p50_us - direct_one.p50_us,
                theirs_one.p99_us - direct_one.p99_us
            ),
        );
    }
    Ok(())
}

/// The gateway with so many guests, of whom one is at home.
async fn gateway(world: &World, upstream: u16, routes: u16) -> anyhow::Result<Process> {
    let names: Vec<String> = (1..=routes).map(|number| format!("trial{number}")).collect();
    // Two guests on one port would be a broken registry; nobody listens on the others.
    let ports = (1..=routes).map(|number| if number == GUEST { upstream } else { 33_000 + number });
    world.register(names.iter().map(String::as_str).zip(ports))?;
    // What is measured is how much can pass, not how much may.
    std::fs::write(world.config().join("gateway.toml"), "[limits.tenant]\nrate = 0\n")
        .context("lift the limits")?;
    let gateway = world.start(&["gateway"])?;
    let page = format!("{}/trial{GUEST}/", world.gateway_url());
    eventually("the gateway", async || {
        let answer = http::send(http::client().get(&page)).await;
        Ok(answer.ok().filter(|answer| answer.status.is_success()))
    })
    .await?;
    let mut pin = Command::new("taskset");
    pin.args(["-a", "-c", "-p", "0", &gateway.pid().to_string()]);
    let pinned = process::run(pin).await?;
    anyhow::ensure!(pinned.code == Some(0), "pin the gateway to a core: {pinned:?}");
    Ok(gateway)
}

/// The best round of each, taking turns so that a busy moment hits all of them.
async fn best(urls: [&str; 3], connections: u32) -> anyhow::Result<[Round; 3]> {
    let mut best: [Option<Round>; 3] = [None; 3];
    for _ in 0..ROUNDS {
        for (url, best) in urls.iter().zip(&mut best) {
            let round = wrk::round(url, connections, SECONDS).await?;
            if best.is_none_or(|best| round.requests_per_second > best.requests_per_second) {
                *best = Some(round);
            }
        }
    }
    let [a, b, c] = best;
    let ran = "every one ran";
    Ok([a.context(ran)?, b.context(ran)?, c.context(ran)?])
}
