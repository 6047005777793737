use std::process::Command;
use std::time::Duration;

use remotelab_tests::process::{self, Process};
use remotelab_tests::world::World;

#[tokio::test]
async fn executors_are_found_by_a_login_shell() -> anyhow::Result<()> {
    let world = World::new().await?;
    let mut shell = Command::new("/bin/bash");
    shell.args(["-l", "-c", "command -v codex claude node"]).env_clear().env("HOME", world.home());

    let output = process::run(shell).await?;

    let bin = world.bin();
    let expected = ["codex", "claude", "node"].map(|name| bin.join(name).display().to_string());
    assert_eq!(output.stdout.lines().collect::<Vec<_>>(), expected);
    Ok(())
}

#[tokio::test]
async fn processes_end_with_their_world() -> anyhow::Result<()> {
    let world = World::without_executors().await?;
    // In a process session of its own, like a runner, and with a child.
    let mut detached = Command::new("setsid");
    detached.args(["--fork", "sh", "-c", "sleep 600 & sleep 600"]).env("HOME", world.home());
    Process::start("detached", &mut detached)?.ended(Duration::from_secs(10)).await?;
    let home = world.home();
    remotelab_tests::wait::eventually("the sleepers", async || {
        Ok((world.processes().len() >= 3).then_some(()))
    })
    .await?;

    drop(world);

    assert_eq!(process::with_variable("HOME", home), []);
    Ok(())
}

#[tokio::test]
async fn worlds_do_not_share_ports() -> anyhow::Result<()> {
    let one = World::without_executors().await?.ports();
    let two = World::without_executors().await?.ports();

    let mut ports = [one, two].map(|ports| [ports.owner, ports.gateway, ports.mailbox]).concat();
    ports.sort_unstable();
    ports.dedup();
    assert_eq!(ports.len(), 6);
    Ok(())
}
