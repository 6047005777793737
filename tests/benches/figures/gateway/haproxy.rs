//! HAProxy, which finds its backend by the name in the path.

use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use anyhow::Context as _;
use remotelab_tests::ports;
use remotelab_tests::process::Process;
use remotelab_tests::world::World;

use super::Subject;

pub(super) struct Haproxy;

impl Haproxy {
    /// One thread, connections to the upstream kept and shared.
    pub(super) async fn start(world: &World, upstream: u16, routes: u16) -> anyhow::Result<Subject> {
        let port = ports::free()?;
        let mut config = format!(
            "global\n nbthread 1\n maxconn 4000\n\
             defaults\n mode http\n http-reuse always\n timeout connect 5s\n timeout client 60s\n timeout server 60s\n\
             frontend all\n bind 127.0.0.1:{port}\n use_backend %[path,field(2,/)]\n"
        );
        for number in 1..=routes {
            write!(
                config,
                "backend trial{number}\n http-request set-path %[path,regsub(^/[^/]*,)]\n server one 127.0.0.1:{upstream}\n"
            )?;
        }
        let file = world.root().join(format!("haproxy-{routes}.cfg"));
        fs::write(&file, config).context("write HAProxy's configuration")?;
        let mut command = Command::new("taskset");
        command.args(["-c", "0", "/usr/sbin/haproxy", "-db", "-f"]).arg(file);
        Subject::at("HAProxy", port, Process::start("haproxy", &mut command)?).await
    }
}
