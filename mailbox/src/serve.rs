//! The mail service: the bridge's listener and a worker for each instance that has mail.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use remotelab_config::Env;
use remotelab_config::lock::{self, FileLock};
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::bridge;
use crate::clock::Clock;
use crate::lmtp;
use crate::office::{Office, blocking};
use crate::places::{Place, Places};
use crate::store::{self, Store};
use crate::worker;

/// The bridge's port unless the environment says otherwise.
pub const PORT: u16 = 7694;

/// How often to look for mailboxes that a command made.
const DISCOVERY: Duration = Duration::from_secs(1);

/// How long connections may finish after shutdown was asked for.
const DRAIN: Duration = Duration::from_secs(3);

/// What the service is set to.
#[derive(Clone)]
pub struct Options {
    /// Address of the bridge.
    pub bind: SocketAddr,
    /// Where mailboxes, registry and chat servers are.
    pub places: Places,
    /// The environment: token override and names of secrets.
    pub env: Env,
    /// The time of day.
    pub clock: Clock,
}

/// A running service.
#[derive(Debug)]
pub struct Running {
    /// The bridge's real address.
    pub addr: SocketAddr,
    task: JoinHandle<()>,
}

/// Why the service did not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The port is taken or the address is not ours.
    #[error("cannot listen on {addr}")]
    Listen {
        /// The address.
        addr: SocketAddr,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// Another bridge serves these mailboxes.
    #[error("another mail bridge serves {}", .0.display())]
    Taken(PathBuf),
    /// The mailbox folder cannot be used.
    #[error(transparent)]
    Lock(lock::Error),
    /// The mailbox folder cannot be made.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// A starting step was cut off.
    #[error("the mail bridge was stopped while starting")]
    CutOff,
}

impl Options {
    /// Reads `AGENT_MAILBOX_HOST`, `_PORT` and `_ROOT`; the rest as the owner's places say.
    #[must_use]
    pub fn from_env(env: Env, mut places: Places) -> Self {
        if let Some(root) = env.get("AGENT_MAILBOX_ROOT") {
            places.owner_root = PathBuf::from(root);
        }
        if let Some(registry) = env.get("REMOTELAB_GUEST_REGISTRY_FILE") {
            places.registry = PathBuf::from(registry);
        }
        // Where the owner's chat server listens, for a service started in its environment.
        if let (None, Some(port)) = (&places.owner_base_url, env.port("CHAT_PORT")) {
            places.owner_base_url = Some(format!("http://127.0.0.1:{port}"));
        }
        let host = env.get("AGENT_MAILBOX_HOST").and_then(|host| host.parse().ok());
        let host = host.unwrap_or(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST));
        let port = env.port("AGENT_MAILBOX_PORT").unwrap_or(PORT);
        Self { bind: SocketAddr::new(host, port), places, env, clock: Clock::system() }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The environment holds secrets.
        f.debug_struct("Options").field("bind", &self.bind).finish_non_exhaustive()
    }
}

impl Running {
    /// Waits until the service has drained after its token was cancelled.
    pub async fn wait(self) {
        let _ = self.task.await;
    }
}

/// Starts the service. It needs no mailbox yet: one that is made later is picked up. It ends when
/// `shutdown` is cancelled.
///
/// # Errors
/// [`Error`] when the port or the mailboxes are taken or unusable.
pub async fn serve(options: Options, shutdown: CancellationToken) -> Result<Running, Error> {
    let lock_path = options.places.owner_root.join("bridge.lock");
    let root = options.places.owner_root.clone();
    let lock = tokio::task::spawn_blocking(move || {
        remotelab_config::atomic::create_private_dir(&root)
            .map_err(|error| Error::Store(store::Error::File(error)))?;
        FileLock::try_acquire(&lock_path).map_err(|error| match error {
            lock::Error::Held(_) => Error::Taken(root),
            error => Error::Lock(error),
        })
    })
    .await
    .map_err(|_| Error::CutOff)??;
    let addr = options.bind;
    let failed = |source| Error::Listen { addr, source };
    let listener = TcpListener::bind(addr).await.map_err(failed)?;
    let addr = listener.local_addr().map_err(failed)?;
    let office = Arc::new(Office::new(options.places, options.clock, options.env, true));
    let wake = Arc::new(Notify::new());
    let task = tokio::spawn(run(listener, addr, office, wake, shutdown, lock));
    Ok(Running { addr, task })
}

async fn run(
    listener: TcpListener,
    addr: SocketAddr,
    office: Arc<Office>,
    wake: Arc<Notify>,
    shutdown: CancellationToken,
    _lock: FileLock,
) {
    let app = bridge::router(Arc::clone(&office), Arc::clone(&wake), addr);
    let serving = axum::serve(listener, app).with_graceful_shutdown(shutdown.clone().cancelled_owned());
    let doors = tokio::spawn(lmtp::keep(Arc::clone(&office), Arc::clone(&wake), shutdown.clone()));
    let workers = tokio::spawn(supervise(office, wake, shutdown.clone()));
    let drained = async {
        shutdown.cancelled().await;
        tokio::time::sleep(DRAIN).await;
    };
    tokio::select! {
        outcome = serving => {
            if let Err(error) = outcome {
                tracing::error!("mail bridge stopped: {error}");
            }
        }
        () = drained => {}
    }
    let _ = workers.await;
    let _ = tokio::time::timeout(DRAIN, doors).await;
}

/// A worker's strings: where its instance is, and a bell.
struct Worker {
    place: watch::Sender<Place>,
    bell: watch::Sender<()>,
}

/// Keeps one worker for each instance that has a mailbox, or answers to send.
async fn supervise(office: Arc<Office>, wake: Arc<Notify>, shutdown: CancellationToken) {
    let mut tasks = JoinSet::new();
    let mut workers: BTreeMap<PathBuf, Worker> = BTreeMap::new();
    while !shutdown.is_cancelled() {
        let lookup = Arc::clone(&office);
        let places = blocking(move || {
            let mut all = lookup.places.all()?;
            let is_set_up = lookup.places.identity()?.is_some();
            all.retain(|place| Store::exists(&place.root) || (is_set_up && !place.waiting().is_empty()));
            Ok(all)
        });
        match places.await {
            Ok(places) => appoint(&office, &mut workers, &mut tasks, places, &shutdown),
            Err(error) => tracing::error!("mailboxes not found: {error}"),
        }
        tokio::select! {
            () = shutdown.cancelled() => break,
            () = wake.notified() => workers.values().for_each(|worker| { worker.bell.send_replace(()); }),
            () = tokio::time::sleep(DISCOVERY) => {}
        }
        while tasks.try_join_next().is_some() {}
    }
    // What is cut off after that is found again by its rows.
    let _ = tokio::time::timeout(DRAIN, tasks.join_all()).await;
}

/// Starts workers for new places, tells the others what changed, dismisses those of gone places.
fn appoint(
    office: &Arc<Office>,
    workers: &mut BTreeMap<PathBuf, Worker>,
    tasks: &mut JoinSet<()>,
    places: Vec<Place>,
    shutdown: &CancellationToken,
) {
    workers.retain(|root, _| places.iter().any(|place| place.root == *root));
    office.forget_all_but(&places);
    for place in places {
        match workers.get(&place.root) {
            Some(worker) => {
                worker.place.send_if_modified(|known| {
                    let changed = *known != place;
                    *known = place;
                    changed
                });
            }
            None => {
                let root = place.root.clone();
                let (sender, receiver) = watch::channel(place);
                let bell = watch::Sender::new(());
                tasks.spawn(worker::work(Arc::clone(office), receiver, bell.clone(), shutdown.clone()));
                workers.insert(root, Worker { place: sender, bell });
            }
        }
    }
}
