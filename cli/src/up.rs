//! `remotelab up`

mod greeting;

use std::net::Ipv4Addr;
use std::time::Duration;

use remotelab_config::atomic;
use remotelab_gateway::Settings as GatewaySettings;
use remotelab_manager::supervisor::{Error, Id, Listen, Options, Service};

use crate::failure::Hinted;
use crate::place::{self, Place};
use crate::shutdown::Shutdown;
use crate::{logging, output, runtime};

/// How long the greeting waits for the services: it says what is known after that.
const PATIENCE: Duration = Duration::from_millis(1800);

const GATEWAY_HOST: &str = "NATAPP_PROXY_LISTEN_HOST";

/// Start everything and keep it running, in the foreground.
///
/// Starts your chat server, the front door, the mailbox and every guest, restarts what dies, and prints
/// the links. The first start makes the folders and the access token. Ctrl-C ends it within five
/// seconds; runs in progress go on and are found again at the next start.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Open the front door to the local network, so that a phone can come in.
    ///
    /// Traffic on the local network is then plain HTTP: use it only where you trust everybody.
    #[arg(long)]
    lan: bool,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    logging::start();
    let mut place = Place::find()?;
    if arguments.lan {
        let open = (GATEWAY_HOST, Ipv4Addr::UNSPECIFIED.to_string());
        let rest = place.env.iter().filter(|(key, _)| *key != GATEWAY_HOST);
        place.env = rest.map(|(key, value)| (key, value.to_owned())).chain([open]).collect();
    }
    // First of all, for a folder that cannot be made is no trouble of the gateway's.
    atomic::create_private_dir(place.paths().instance().config())?;
    let gateway = GatewaySettings::load(&place.env, &place.paths())?;
    let options = options(&place, &gateway)?;
    runtime::block_on(async {
        let shutdown = Shutdown::listen()?;
        let service = Service::start(options.clone()).await.map_err(explain)?;
        let handle = service.handle();
        let greet = async {
            let (owner, door, mail) = tokio::join!(
                handle.ready(&Id::Owner, PATIENCE),
                handle.ready(&Id::Gateway, PATIENCE),
                handle.ready(&Id::Mail, PATIENCE),
            );
            for trouble in [owner, door, mail].into_iter().filter_map(Result::err) {
                tracing::warn!("{trouble}");
            }
            let facts = greeting::Facts::collect(&options, &gateway, &service, &place);
            output::text(&facts.render())
        };
        // Ctrl-C during the wait must not be lost: `run` looks at it right after.
        greet.await?;
        service.run(shutdown.wanted()).await;
        Ok(())
    })
}

/// The supervisor checks the addresses that the services will really take.
fn options(place: &Place, gateway: &GatewaySettings) -> anyhow::Result<Options> {
    let mut options = Options::from_env(&place.env, &place.home, place::program()?);
    options.listens.retain(|listen| listen.user != "gateway");
    options.listens.extend(gateway.listeners.iter().map(|listener| Listen {
        address: listener.bind,
        user: "gateway",
        setting: "NATAPP_PROXY_LISTEN_PORT or gateway.toml",
    }));
    Ok(options)
}

fn explain(error: Error) -> anyhow::Error {
    match &error {
        Error::AlreadyUp(_) => Hinted::new(error.to_string(), "remotelab guest-instance links").into(),
        _ => error.into(),
    }
}
