//! `remotelab mail`

use remotelab_mailbox::{Options, Places};
use tokio_util::sync::CancellationToken;

use crate::place::Place;
use crate::shutdown::Shutdown;
use crate::{logging, output, runtime};

/// One command about mail.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Run the mail bridge in the foreground.
    ///
    /// It takes mail in, hands it to the instance it is for, and sends the answers.
    Serve,
}

pub(crate) fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Serve => serve(),
    }
}

fn serve() -> anyhow::Result<()> {
    logging::start();
    runtime::enable_tls();
    let place = Place::find()?;
    let options = Options::from_env(place.env.clone(), places(&place));
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

fn places(place: &Place) -> Places {
    Places::below(place.paths().instance().config())
}
