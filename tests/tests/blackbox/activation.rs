//! A gateway whose address is bound by a service manager, and the units for that.

use std::fs;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use remotelab_tests::process::signal_to;
use remotelab_tests::world::World;
use remotelab_tests::{http, process};
use rustix::process::Signal;

/// As a service manager does it: the socket is the fourth file, and the process is told that it is.
const ACTIVATE: &str = r#"exec 3<&0 </dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec "$@""#;

#[tokio::test]
async fn who_comes_while_no_gateway_runs_waits_for_the_next() -> anyhow::Result<()> {
    let world = World::without_executors().await?;
    fs::create_dir_all(world.config())?;
    let socket = TcpListener::bind(("127.0.0.1", world.ports().gateway))?;
    let url = format!("{}/", world.gateway_url());
    for _ in 0..2 {
        // Nobody accepts yet, and nobody is refused.
        let asked = tokio::spawn(http::send(http::client().get(&url)));
        let mut gateway = activated(&world, &socket)?;
        let answer = asked.await??;
        ensure!(answer.status == 200, "{answer:?}");
        signal_to(gateway.id(), Signal::TERM)?;
        let ended = tokio::task::spawn_blocking(move || gateway.wait());
        let ended = tokio::time::timeout(Duration::from_secs(20), ended).await???;
        ensure!(ended.success(), "{ended}");
    }
    Ok(())
}

fn activated(world: &World, socket: &TcpListener) -> anyhow::Result<Child> {
    let plain = world.command(&["gateway"])?;
    let mut command = Command::new("sh");
    command.args(["-c", ACTIVATE, "sh"]).arg(plain.get_program()).args(plain.get_args()).env_clear();
    for (key, value) in plain.get_envs() {
        command.env(key, value.context("a variable has a value")?);
    }
    command.stdin(Stdio::from(OwnedFd::from(socket.try_clone()?))).stdout(Stdio::null());
    Ok(command.current_dir(world.work()).spawn()?)
}

#[tokio::test]
async fn the_units_are_what_systemd_understands() -> anyhow::Result<()> {
    let Ok(version) = process::run(command(&["--version"])).await else {
        // Where there is no systemd, its units are nobody's.
        return Ok(());
    };
    ensure!(version.code == Some(0), "{version:?}");
    let world = World::without_executors().await?;
    let program = world.home().join(".local/bin/remotelab");
    fs::create_dir_all(program.parent().context("a folder")?)?;
    symlink(world.command(&[])?.get_program(), &program)?;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/systemd");
    let mut verify = command(&["--user", "verify", "--man=no"]);
    verify.env("HOME", world.home()).env("XDG_RUNTIME_DIR", world.root());
    for entry in fs::read_dir(&folder)? {
        verify.arg(entry?.path());
    }
    let verified = process::run(verify).await?;
    ensure!(verified.code == Some(0) && verified.stderr.trim().is_empty(), "{verified:?}");
    Ok(())
}

fn command(words: &[&str]) -> Command {
    let mut command = Command::new("systemd-analyze");
    command.args(words);
    command
}
