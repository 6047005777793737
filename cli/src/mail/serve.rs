//! `remotelab mail serve`

use remotelab_mailbox::Options;
use tokio_util::sync::CancellationToken;

use crate::shutdown::Shutdown;
use crate::{logging, output, runtime};

pub(super) fn run(options: Options) -> anyhow::Result<()> {
    logging::start();
    runtime::enable_tls();
    runtime::block_on(async {
        let shutdown = Shutdown::listen()?;
        let stop = CancellationToken::new();
        let service = remotelab_mailbox::serve(options, stop.clone()).await?;
        output::line(&format!("listening on http://{}", service.addr))?;
        shutdown.wanted().await;
        stop.cancel();
        service.wait().await;
        Ok(())
    })
}
