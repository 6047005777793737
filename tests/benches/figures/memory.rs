//! What the processes hold when nobody does anything.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use remotelab_tests::process::Found;
use remotelab_tests::world::World;

use crate::Figures;

/// With the owner's, how many chat servers there are.
const INSTANCES: usize = 20;

/// Of everything below `up`, with so many instances. What they share is counted once in the sum of their own
/// shares.
pub(crate) async fn idle(figures: &mut Figures) -> anyhow::Result<()> {
    let world = World::without_executors().await?;
    let _up = world.up().await?;
    // Each has served something, then is left alone; this is the one wait that is for a time.
    world.owner().await?.get("/api/sessions").await?;
    for number in 1..INSTANCES {
        let created = world.run(&["guest-instance", "create-trial", "--json"]).await?;
        anyhow::ensure!(created.code == Some(0), "create-trial: {created:?}");
        world.guest_owner(&format!("trial{number}")).await?.get("/api/sessions").await?;
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut chats = Vec::new();
    for Found { pid, words } in world.processes() {
        let name = words.iter().skip(1).map(String::as_str).collect::<Vec<_>>().join(" ");
        let (resident, own) = (mib(pid, "Rss:")?, mib(pid, "Pss:")?);
        if name == "chat" {
            chats.push((resident, own));
        } else {
            figures.add(
                format!("idle memory, `remotelab {name}`"),
                format!("{resident:.1} MiB resident, {own:.1} MiB its own share"),
            );
        }
    }
    anyhow::ensure!(chats.len() == INSTANCES, "{} chat servers", chats.len());
    let resident = chats.iter().map(|(resident, _)| resident).fold(0.0, |a: f64, b| a.max(*b));
    let together: f64 = chats.iter().map(|(_, own)| own).sum();
    figures.add(
        format!("idle memory, {INSTANCES} instances"),
        format!(
            "{together:.1} MiB together, {:.0} in a GiB; {resident:.1} MiB resident at most",
            1024.0 * chats.len() as f64 / together
        ),
    );
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
