//! The supervisor of `remotelab up`, as the gateway knows it.

use std::path::Path;

use remotelab_gateway::supervisor::{Supervisor, Waiting};
use remotelab_manager::control::{Client, Error, State};
use tokio::task::spawn_blocking;

/// Starts guests by the supervisor's socket, where somebody listens there.
#[derive(Debug)]
pub(super) struct BySocket(Client);

impl BySocket {
    pub(super) fn new(socket: &Path) -> Self {
        Self(Client::new(socket))
    }

    fn ask<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Client) -> Result<T, Error> + Send + 'static,
    ) -> Waiting<Result<T, String>> {
        let client = self.0.clone();
        Box::pin(async move {
            let answer = spawn_blocking(move || ask(&client)).await.map_err(|error| error.to_string())?;
            answer.map_err(|error| error.to_string())
        })
    }
}

impl Supervisor for BySocket {
    fn wake(&self, name: &str) -> Waiting<Result<(), String>> {
        let name = name.to_owned();
        self.ask(move |client| client.wake(&name))
    }

    fn asleep(&self) -> Waiting<Option<Vec<String>>> {
        let asked = self.ask(Client::status);
        Box::pin(async move {
            let children = asked.await.ok()?.into_iter();
            Some(children.filter(|child| child.state == State::Asleep).map(|child| child.name).collect())
        })
    }
}
