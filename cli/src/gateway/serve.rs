//! Serving: `remotelab gateway` without a further word.

use std::net::TcpListener;
use std::sync::Arc;

use anyhow::Context;
use listenfd::ListenFd;
use remotelab_gateway::{Inherited, Reloader, Settings, Start};
use tokio::signal::unix::{SignalKind, signal};

use super::supervisor::BySocket;
use crate::place::Place;
use crate::shutdown::Shutdown;
use crate::{logging, output, runtime};

pub(super) fn run(takes_over: bool) -> anyhow::Result<()> {
    logging::start();
    let place = Place::find()?;
    let settings = Settings::load(&place.env, &place.paths())?;
    let supervisor = Arc::new(BySocket::new(&place.paths().supervisor_socket()));
    runtime::block_on(async {
        let shutdown = Shutdown::listen()?;
        let inherited = if takes_over {
            let asked = settings.clone();
            tokio::task::spawn_blocking(move || Inherited::ask(&asked)).await??
        } else {
            Inherited::default()
        };
        let inherited = inherited.or(Inherited::bound(activated()));
        let gateway = Start { settings, supervisor, inherited }.run().await?;
        for url in gateway.urls() {
            output::line(&format!("listening on {url}"))?;
        }
        reload_on_hangup(gateway.reloader())?;
        gateway.run_until(shutdown.wanted()).await;
        Ok(())
    })
}

/// Sockets that a service manager has bound for this process (`LISTEN_FDS`).
fn activated() -> Vec<TcpListener> {
    let mut sockets = ListenFd::from_env();
    let taken = (0..sockets.len()).filter_map(|at| sockets.take_tcp_listener(at).ok().flatten());
    taken.collect()
}

fn reload_on_hangup(reloader: Reloader) -> anyhow::Result<()> {
    let mut hangup = signal(SignalKind::hangup()).context("cannot listen for SIGHUP")?;
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            match reloader.reload().await {
                Ok(generation) => tracing::info!(generation, "routes are reloaded"),
                Err(error) => tracing::error!(%error, "routes are not reloaded"),
            }
        }
    });
    Ok(())
}
