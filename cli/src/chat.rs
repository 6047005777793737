//! `remotelab chat`

use remotelab_config::auth;
use remotelab_config::chat::Settings;
use remotelab_server::{Error, Idle, Server};
use tokio::sync::mpsc::Receiver;

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
        let mut shutdown = Shutdown::listen()?;
        let questions = shutdown.questions();
        let server = Server::start(settings, place.env, program, shutdown.wanted()).await.map_err(explain)?;
        output::text(&format!("listening on http://{}\ncookies are {cookies}\n", server.address()))?;
        let Some(questions) = questions else { return Ok(server.stopped().await?) };
        let idle = server.idle();
        tokio::spawn(answer(questions, idle.clone()));
        server.stopped().await?;
        // It may have got something to do while it was put to sleep.
        tell(idle).await
    })
}

/// Answers the supervisor's questions whether there is anything to do.
async fn answer(mut questions: Receiver<()>, idle: Idle) {
    while questions.recv().await.is_some() {
        if let Err(error) = tell(idle.clone()).await {
            tracing::warn!(%error, "the supervisor cannot be answered");
        }
    }
}

async fn tell(idle: Idle) -> anyhow::Result<()> {
    tokio::task::spawn_blocking(move || output::line(&idle.ask().line())).await?
}

fn explain(error: Error) -> anyhow::Error {
    match &error {
        Error::Auth(auth::Error::Missing(_) | auth::Error::BadToken(_)) => {
            Hinted::new(error.to_string(), "remotelab generate-token").into()
        }
        _ => error.into(),
    }
}
