//! Serving: `remotelab gateway` without a further word.

use std::sync::Arc;

use anyhow::Context;
use remotelab_gateway::{Reloader, Settings, Start};
use tokio::signal::unix::{SignalKind, signal};

use super::supervisor::BySocket;
use crate::place::Place;
use crate::shutdown::Shutdown;
use crate::{logging, output, runtime};

pub(super) fn run() -> anyhow::Result<()> {
    logging::start();
    let place = Place::find()?;
    let settings = Settings::load(&place.env, &place.paths())?;
    let supervisor = Arc::new(BySocket::new(&place.paths().supervisor_socket()));
    runtime::block_on(async {
        let shutdown = Shutdown::listen()?;
        let gateway = Start { settings, supervisor }.run().await?;
        for address in gateway.addresses() {
            output::line(&format!("listening on http://{address}"))?;
        }
        reload_on_hangup(gateway.reloader())?;
        gateway.run_until(shutdown.wanted()).await;
        Ok(())
    })
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
