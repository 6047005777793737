//! A server that does nothing, as the floor of what a server costs: this program again, told so by a
//! variable.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use remotelab_tests::ports;
use remotelab_tests::process::Process;
use remotelab_tests::world::World;
use tokio::net::TcpListener;

use crate::instance::first_page;
use crate::memory;

/// The bare server.
pub(crate) struct Peer;

impl Peer {
    /// In this variable it finds its port.
    const PORT: &str = "BARE_SERVER_PORT";

    /// Serves for ever if this process was started to be the peer.
    pub(crate) async fn serve_if_told() -> anyhow::Result<()> {
        let Some(port) = std::env::var(Self::PORT).ok().and_then(|port| port.parse::<u16>().ok()) else {
            return Ok(());
        };
        let listener = TcpListener::bind(("127.0.0.1", port)).await.context("listen")?;
        loop {
            let (stream, _) = listener.accept().await.context("accept")?;
            let answer = service_fn(async |_: Request<Incoming>| {
                Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"ok"))))
            });
            tokio::spawn(
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer),
            );
        }
    }

    /// How long it takes to its first answer, twenty times, and what it holds in MiB.
    pub(crate) async fn boot_and_memory(world: &World) -> anyhow::Result<(Vec<Duration>, f64)> {
        let mut times = Vec::new();
        let mut memory = 0.0;
        for _ in 0..20 {
            let port = ports::free()?;
            let began = Instant::now();
            let peer = Self::start(world, port)?;
            first_page(&format!("http://127.0.0.1:{port}/")).await?;
            times.push(began.elapsed());
            memory = memory::mib(peer.pid(), "Rss:")?;
        }
        Ok((times, memory))
    }

    fn start(world: &World, port: u16) -> anyhow::Result<Process> {
        let program = std::env::current_exe().context("find this program")?;
        let mut command = std::process::Command::new(program);
        command.env_clear().env(Self::PORT, port.to_string()).env("HOME", world.home());
        Process::start("bare server", &mut command)
    }
}
