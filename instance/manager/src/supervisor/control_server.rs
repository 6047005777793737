//! The answering side of the control socket.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use std::{fs, io};

use remotelab_config::atomic;
use remotelab_config::registry::{self, Record, Registry};
use remotelab_config::secret::Secret;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::children::Children;
use super::sleepers::Sleepers;
use super::spec::{Id, Spec};
use super::{Error, Options};
use crate::control::{Answer, Asked, KEY, MAX_REQUEST, Request, State};

/// Requests answered at the same time; more wait in the socket's queue.
const MAX_CONNECTIONS: usize = 64;

/// How long a client may take to send its line and to read the answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Binds the socket, readable by the operator only, and makes the key that requests have to show. The caller holds
/// the supervisor's lock, so whatever lies there belongs to the dead.
pub(super) fn bind(path: &Path) -> Result<(UnixListener, Secret), Error> {
    let cannot = |source| Error::ControlSocket { path: path.to_owned(), source };
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(cannot(error)),
        _ => {}
    }
    let key = Secret::random();
    atomic::write_private(&path.with_file_name(KEY), key.reveal().as_bytes())
        .map_err(|error| cannot(error.source))?;
    let listener = UnixListener::bind(path).map_err(cannot)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(cannot)?;
    Ok((listener, key))
}

/// Answers until dropped.
pub(super) async fn serve(listener: UnixListener, desk: Arc<Desk>) {
    let connections = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let permit = Arc::clone(&connections).acquire_owned().await;
        match listener.accept().await {
            Ok((stream, _)) => {
                let desk = Arc::clone(&desk);
                tokio::spawn(async move {
                    if let Err(error) = converse(stream, &desk).await {
                        tracing::debug!(%error, "a control connection broke off");
                    }
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a control connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn converse(mut stream: UnixStream, desk: &Desk) -> io::Result<()> {
    let (reader, mut writer) = stream.split();
    let mut line = Vec::new();
    let limit = MAX_REQUEST as u64;
    let mut reader = BufReader::new(reader.take(limit));
    timeout(PATIENCE, reader.read_until(b'\n', &mut line)).await??;
    let answer = match serde_json::from_slice(&line) {
        Ok(Asked { key, request }) if desk.key.matches(&key) => desk.answer(request).await,
        Ok(_) => Answer::refused("this needs the key in run/control.key, which the operator alone can read"),
        Err(error) => Answer::refused(format!("not a request: {error}")),
    };
    let mut bytes = serde_json::to_vec(&answer)?;
    bytes.push(b'\n');
    timeout(PATIENCE, writer.write_all(&bytes)).await?
}

/// Carries requests out.
pub(super) struct Desk {
    /// What requests have to show.
    pub(super) key: Secret,
    pub(super) options: Options,
    pub(super) children: Arc<Children>,
    pub(super) sleepers: Sleepers,
}

impl Desk {
    async fn answer(&self, request: Request) -> Answer {
        let outcome = match &request {
            Request::Status => return Answer::done(self.children.report()),
            Request::Start { name } => self.start(name).await,
            Request::Stop { name } => self.stop(name).await,
            Request::Restart { name } => self.restart(name, None).await,
            Request::Renew { name, program } => self.restart(name, Some(program)).await,
            Request::Replace { name } => self.replace(name).await,
            Request::Sleep { name } => self.sleep(name).await,
            Request::Wake { name } => self.wake(name).await,
        };
        match outcome {
            Ok(()) => {
                let report = self.children.report().into_iter();
                Answer::done(report.filter(|child| Some(child.name.as_str()) == request.name()).collect())
            }
            Err(error) => Answer::refused(error),
        }
    }

    async fn start(&self, name: &str) -> Result<(), String> {
        let spec = self.spec(name).await?;
        let id = spec.id.clone();
        self.children.start(spec).await.map_err(|error| error.to_string())?;
        self.sleepers.woken(&id).await;
        Ok(())
    }

    async fn stop(&self, name: &str) -> Result<(), String> {
        let id = id(name)?;
        self.children.stop(&id).await.map_err(|error| error.to_string())?;
        self.sleepers.forget(&id).await;
        Ok(())
    }

    async fn restart(&self, name: &str, program: Option<&Path>) -> Result<(), String> {
        let mut spec = self.spec(name).await?;
        if let Some(program) = program {
            program.clone_into(&mut spec.program);
        }
        let id = spec.id.clone();
        self.children.restart(spec).await.map_err(|error| error.to_string())?;
        self.sleepers.woken(&id).await;
        Ok(())
    }

    async fn replace(&self, name: &str) -> Result<(), String> {
        match id(name)? {
            Id::Gateway => {
                let next = Spec::next_gateway(&self.options);
                self.children.replace(next).await.map_err(|error| error.to_string())
            }
            id => Err(format!("{id} cannot be replaced while it works; restart it")),
        }
    }

    async fn sleep(&self, name: &str) -> Result<(), String> {
        match id(name)? {
            id @ Id::Guest(_) => self.sleepers.sleep(&self.children, &id, Duration::ZERO).await,
            id => Err(format!("{id} never sleeps")),
        }
    }

    /// Wakes a guest. One that runs already costs a look at its state.
    pub(super) async fn wake(&self, name: &str) -> Result<(), String> {
        let id = id(name)?;
        if self.children.state(&id) == State::Stopped {
            self.sleepers.forget(&id).await;
            return Err(format!("{id} is stopped"));
        }
        let spec = self.spec(name).await?;
        self.sleepers.wake(&self.children, spec).await
    }

    /// How a child is to be started now.
    async fn spec(&self, name: &str) -> Result<Spec, String> {
        Ok(match id(name)? {
            Id::Owner => Spec::owner(&self.options),
            Id::Gateway => Spec::gateway(&self.options),
            Id::Mail => Spec::mail(&self.options),
            id @ Id::Guest(_) => Spec::guest(&self.options, &self.record(id).await?),
        })
    }

    async fn record(&self, id: Id) -> Result<Record, String> {
        let path = self.options.paths.registry();
        let registry = tokio::task::spawn_blocking(move || Registry::load(&path))
            .await
            .map_err(|error| error.to_string())?
            .map_err(|error| error.to_string())?;
        let wanted = |record: &&Record| {
            matches!(&id, Id::Guest(name) if record.name == *name)
                && record.state != registry::State::Deleting
        };
        let record = registry.guests.iter().find(wanted).cloned();
        record.ok_or_else(|| format!("there is no guest {id}"))
    }
}

fn id(name: &str) -> Result<Id, String> {
    Id::parse(name).ok_or_else(|| format!("{name:?} is not a name"))
}
