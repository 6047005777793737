//! What the processes hold when nobody does anything.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use remotelab_tests::process::Found;
use remotelab_tests::world::World;

use crate::Figures;

/// Of everything below `up`, with one guest.
pub(crate) async fn idle(figures: &mut Figures) -> anyhow::Result<()> {
    let world = World::without_executors().await?;
    let _up = world.up().await?;
    let created = world.run(&["guest-instance", "create-trial", "--json"]).await?;
    anyhow::ensure!(created.code == Some(0), "create-trial: {created:?}");
    // Each has served something, then is left alone; this is the one wait that is for a time.
    world.owner().await?.get("/api/sessions").await?;
    world.guest_owner("trial1").await?.get("/api/sessions").await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    for Found { pid, words } in world.processes() {
        let name: Vec<&str> = words.iter().skip(1).map(String::as_str).collect();
        let root = variable(pid, "REMOTELAB_INSTANCE_ROOT")?.map_or("", |_| " (guest)");
        let figure = format!("idle memory, `remotelab {}`{root}", name.join(" "));
        figures.add(
            &figure,
            format!("{:.1} MiB resident, {:.1} MiB its own share", mib(pid, "Rss:")?, mib(pid, "Pss:")?),
        );
    }
    Ok(())
}

pub(crate) fn mib(pid: u32, line: &str) -> anyhow::Result<f64> {
    let path = PathBuf::from(format!("/proc/{pid}/smaps_rollup"));
    let text = std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    let found = text.lines().find_map(|it| it.strip_prefix(line));
    let kib = found.and_then(|rest| rest.split_whitespace().next());
    let kib: f64 = kib.context("no such line")?.parse().context("read the number")?;
    Ok(kib / 1024.0)
}

fn variable(pid: u32, name: &str) -> anyhow::Result<Option<String>> {
    let path = format!("/proc/{pid}/environ");
    let bytes = std::fs::read(&path).with_context(|| format!("read {path}"))?;
    let text = String::from_utf8_lossy(&bytes);
    let value = text.split('\0').find_map(|it| it.strip_prefix(name)?.strip_prefix('='));
    Ok(value.map(str::to_owned))
}
