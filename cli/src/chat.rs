//! `remotelab chat`

use remotelab_config::auth;
use remotelab_config::chat::Settings;
use remotelab_server::{Error, Server};

use crate::failure::Hinted;
use crate::place::{self, Place};
use crate::shutdown::Shutdown;
use crate::{logging, output, runtime};

pub(crate) fn run() -> anyhow::Result<()> {
    logging::start();
    runtime::enable_tls();
    let place = Place::find()?;
    let settings = Settings::from_env(&place.env, &place.home);
    let program = place::program()?;
    runtime::block_on(async {
        let cookies = if settings.secure_cookies { "Secure" } else { "not Secure" };
        let stop = Shutdown::listen()?.wanted();
        let server = Server::start(settings, place.env, program, stop).await.map_err(explain)?;
        output::text(&format!("listening on http://{}\ncookies are {cookies}\n", server.address()))?;
        Ok(server.stopped().await?)
    })
}

fn explain(error: Error) -> anyhow::Error {
    match &error {
        Error::Auth(auth::Error::Missing(_) | auth::Error::BadToken(_)) => {
            Hinted::new(error.to_string(), "remotelab generate-token").into()
        }
        _ => error.into(),
    }
}
