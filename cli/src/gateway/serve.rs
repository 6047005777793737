//! Serving: `remotelab gateway` without a further word.

use anyhow::Context;
use remotelab_gateway::{Reloader, Settings};
use tokio::signal::unix::{SignalKind, signal};

use crate::place::Place;
use crate::shutdown::Shutdown;
use crate::{logging, output, runtime};

pub(super) fn run() -> anyhow::Result<()> {
    logging::start();
    let place = Place::find()?;
    let settings = Settings::load(&place.env, &place.paths())?;
    runtime::block_on(async {
        let shutdown = Shutdown::listen()?;
        let gateway = remotelab_gateway::start(settings).await?;
        for url in gateway.urls() {
            output::line(&format!("listening on {url}"))?;
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
