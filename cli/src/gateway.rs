//! `remotelab gateway`

use remotelab_gateway::Settings;

use crate::place::Place;
use crate::shutdown::Shutdown;
use crate::{logging, output, runtime};

pub(crate) fn run() -> anyhow::Result<()> {
    logging::start();
    let place = Place::find()?;
    let settings = Settings::load(&place.env, &place.paths())?;
    runtime::block_on(async {
        let shutdown = Shutdown::listen()?;
        let gateway = remotelab_gateway::start(settings).await?;
        for address in gateway.addresses() {
            output::line(&format!("listening on http://{address}"))?;
        }
        gateway.run_until(shutdown.wanted()).await;
        Ok(())
    })
}
