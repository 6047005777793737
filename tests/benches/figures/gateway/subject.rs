//! One of the programs that are compared.

use std::fs;
use std::process::Command;

use anyhow::Context as _;
use remotelab_tests::http;
use remotelab_tests::process::{self, Process};
use remotelab_tests::wait::eventually;
use remotelab_tests::world::World;

use super::page;
use crate::memory;

/// The guest that is asked.
pub(super) const GUEST: u16 = 7;
/// How Linux counts a process's time: in hundredths of a second.
const TICKS: f64 = 100.0;

/// A running proxy, or what stands behind all of them.
pub(crate) struct Subject {
    pub(crate) name: &'static str,
    pub(crate) url: String,
    pub(crate) pid: u32,
    /// It ends with this.
    pub(crate) _process: Option<Process>,
}

impl Subject {
    /// A proxy at a port, as soon as it answers, alone on its core with the others.
    pub(super) async fn at(name: &'static str, port: u16, process: Process) -> anyhow::Result<Self> {
        let url = page(port);
        answers(&url).await?;
        let pid = process.pid();
        Ok(Self { name, url, pid, _process: Some(process) })
    }

    /// What it took of processors so far.
    pub(super) fn cpu_seconds(&self) -> anyhow::Result<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid)).context("read the time it took")?;
        let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        let ticks: Vec<f64> = fields.skip(11).take(2).filter_map(|text| text.parse().ok()).collect();
        anyhow::ensure!(ticks.len() == 2, "no times in {stat}");
        Ok((ticks[0] + ticks[1]) / TICKS)
    }

    pub(super) fn memory(&self) -> anyhow::Result<f64> {
        memory::mib(self.pid, "Rss:")
    }
}

/// The gateway with so many guests, of whom one is at home.
pub(super) async fn gateway(
    world: &World,
    name: &'static str,
    upstream: u16,
    routes: u16,
    settings: &str,
) -> anyhow::Result<Subject> {
    let names: Vec<String> = (1..=routes).map(|number| format!("trial{number}")).collect();
    // Two guests on one port would be a broken registry; nobody listens on the others.
    let ports = (1..=routes).map(|number| if number == GUEST { upstream } else { 33_000 + number });
    world.register(names.iter().map(String::as_str).zip(ports))?;
    fs::write(world.config().join("gateway.toml"), settings).context("write the settings")?;
    let gateway = world.start(&["gateway"])?;
    let url = format!("{}/trial{GUEST}/", world.gateway_url());
    answers(&url).await?;
    let mut pin = Command::new("taskset");
    pin.args(["-a", "-c", "-p", "0", &gateway.pid().to_string()]);
    let pinned = process::run(pin).await?;
    anyhow::ensure!(pinned.code == Some(0), "pin the gateway to a core: {pinned:?}");
    Ok(Subject { name, url, pid: gateway.pid(), _process: Some(gateway) })
}

async fn answers(url: &str) -> anyhow::Result<()> {
    eventually("an answer", async || {
        let answer = http::send(http::client().get(url)).await;
        Ok(answer.ok().filter(|answer| answer.status.is_success()))
    })
    .await?;
    Ok(())
}
