//! The gateway beside nginx, HAProxy and a bare hyper proxy: same upstream, same core, same load, rounds taking
//! turns.

pub(crate) mod bare;
mod haproxy;
mod held;
mod subject;

use std::fmt::Write as _;

use remotelab_tests::world::World;

use crate::Figures;
use crate::nginx::Nginx;
use crate::wrk::{self, Round};
use bare::Bare;
use haproxy::Haproxy;
use subject::{GUEST, gateway};

pub(crate) use subject::Subject;

const ROUNDS: usize = 3;
const SECONDS: u32 = 3;
const CONNECTIONS: u32 = 64;
/// A subject with less of its core than this was not what limited the rate.
const BUSY: f64 = 0.9;

/// What passes here is not limited: measured is how much can pass, not how much may.
const OPEN: &str = "[limits.tenant]\nrate = 0\n";
const OPEN_WITHOUT_LOG: &str = "[limits.tenant]\nrate = 0\n[log]\naccess = false\n";

pub(crate) async fn throughput_and_latency(figures: &mut Figures) -> anyhow::Result<()> {
    let mut ours = Vec::new();
    for routes in [10, 2000] {
        let worlds = [World::without_executors().await?, World::without_executors().await?];
        let upstream = Nginx::upstream(&worlds[0]).await?;
        let subjects = [
            gateway(&worlds[0], "ours", upstream.port, routes, OPEN).await?,
            gateway(&worlds[1], "ours without log", upstream.port, routes, OPEN_WITHOUT_LOG).await?,
            Nginx::proxy(&worlds[0], upstream.port, routes).await?.subject(),
            Haproxy::start(&worlds[0], upstream.port, routes).await?,
            Bare::start(&worlds[0], upstream.port, routes).await?,
            upstream.direct(),
        ];
        if routes == 10 {
            for subject in &subjects[..5] {
                figures.add(
                    format!("memory idle, {} (ours: floor 12 MiB, goal 6)", subject.name),
                    format!("{:.1} MiB", subject.memory()?),
                );
            }
        }
        let small = measure(&subjects, "", CONNECTIONS).await?;
        let rate = |at: usize| small[at].round.requests_per_second;
        let better = if routes == 10 { rate(2) } else { rate(2).max(rate(3)) };
        let goals = if routes == 10 { "floor 0.5, goal 1.0" } else { "floor 0.5, goal 1.4" };
        ours.push(rate(0));
        figures.add(
            format!("requests/s, one core, 1 KiB, {CONNECTIONS} connections, {routes} routes"),
            table(&subjects, &small, |one| format!("{:.0}", one.round.requests_per_second)),
        );
        figures.add(
            format!(
                "the same against the best of nginx{} ({goals})",
                if routes == 10 { "" } else { " and HAProxy" }
            ),
            format!("{:.2}; without log {:.2}", rate(0) / better, rate(1) / better),
        );
        figures.add(
            format!("CPU per request, {routes} routes (floor 2.5 × nginx, goal 1.2)"),
            format!(
                "{}; {:.2} × nginx",
                table(&subjects[..5], &small, |one| format!("{:.1} µs", one.cpu_us)),
                small[0].cpu_us / small[2].cpu_us
            ),
        );
        let one = measure(&subjects, "", 1).await?;
        let added = |at: usize| {
            let (one, direct) = (one[at].round, one[5].round);
            format!("{:.0} / {:.0} µs", one.p50_us - direct.p50_us, one.p99_us - direct.p99_us)
        };
        let added: Vec<String> = (0..5).map(|at| format!("{} {}", subjects[at].name, added(at))).collect();
        figures.add(
            format!(
                "added latency p50 / p99, one connection, {routes} routes (floor 50 / 500 µs, goal 20 / 100)"
            ),
            added.join("; "),
        );
        if routes == 10 {
            bodies(figures, &subjects).await?;
        }
    }
    figures
        .add("ours with 2,000 routes against ours with 10 (within 5 %)", format!("{:.3}", ours[1] / ours[0]));
    held::sockets(figures).await
}

async fn bodies(figures: &mut Figures, subjects: &[Subject]) -> anyhow::Result<()> {
    let bytes = |measured: &[Measured]| {
        let rate = |at: usize| measured[at].round.bytes_per_second;
        let all = table(subjects, measured, |one| format!("{:.0} MB/s", one.round.bytes_per_second / 1e6));
        format!("{:.2}; {all}", rate(0) / rate(2))
    };
    let pieces = measure(subjects, "files/64k", CONNECTIONS).await?;
    figures.add("64 KiB answers against nginx (floor 0.8, goal 1.0)", bytes(&pieces));
    let download = measure(subjects, "files/100m", 1).await?;
    figures.add("100 MB download against nginx (floor 0.9, goal 1.0)", bytes(&download));
    Ok(())
}

/// A subject's best round, and what each request of it took of the subject's core.
#[derive(Clone, Copy)]
struct Measured {
    round: Round,
    cpu_us: f64,
    busy: f64,
}

/// Takes turns, so that a busy moment hits all of them.
async fn measure(subjects: &[Subject], path: &str, connections: u32) -> anyhow::Result<Vec<Measured>> {
    let mut best: Vec<Option<Measured>> = vec![None; subjects.len()];
    for _ in 0..ROUNDS {
        for (subject, best) in subjects.iter().zip(&mut best) {
            let before = subject.cpu_seconds()?;
            let round = wrk::round(&format!("{}{path}", subject.url), connections, SECONDS).await?;
            let cpu = subject.cpu_seconds()? - before;
            let measured =
                Measured { round, cpu_us: cpu * 1e6 / round.requests, busy: cpu / f64::from(SECONDS) };
            if best.is_none_or(|best| round.requests_per_second > best.round.requests_per_second) {
                *best = Some(measured);
            }
        }
    }
    Ok(best.into_iter().flatten().collect())
}

/// Each subject's value; a mark says that its core was not the limit.
fn table(subjects: &[Subject], measured: &[Measured], value: impl Fn(&Measured) -> String) -> String {
    let mut text = String::new();
    for (subject, one) in subjects.iter().zip(measured) {
        let mark = if one.busy >= BUSY { "" } else { " (core not full)" };
        let between = if text.is_empty() { "" } else { "; " };
        let _ = write!(text, "{between}{} {}{mark}", subject.name, value(one));
    }
    text
}

/// The page that is asked for.
fn page(port: u16) -> String {
    format!("http://127.0.0.1:{port}/trial{GUEST}/")
}
