//! `remotelab up`: keeps the owner, the gateway, the mailbox and the guests running as children.

mod backoff;
mod children;
mod control_server;
mod keeper;
mod log;
mod machine;
mod preflight;
mod process;
mod sleepers;
mod spec;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use remotelab_config::chat::OWNER_PORT;
use remotelab_config::lock::FileLock;
use remotelab_config::registry::Registry;
use remotelab_config::secret::Secret;
use remotelab_config::{Env, OwnerPaths, auth};
use tokio::task::{AbortHandle, spawn_blocking};

use children::Children;
use control_server::Desk;
use sleepers::Sleepers;
use spec::Spec;

use crate::control::Child;
use crate::operation::{Tools, recover};
use crate::outside::NOTHING;

pub use children::Error as ChildError;
pub use preflight::Error;
pub use spec::{Id, SUPERVISED};
pub(crate) use spec::{guest_log, is_inherited};

/// What a supervisor is to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The program that every child is, under another subcommand.
    pub program: PathBuf,
    /// The operator's folders.
    pub paths: OwnerPaths,
    /// The operator's environment.
    pub env: Env,
    /// Where the services listen, checked before anything is started.
    pub listens: Vec<Listen>,
}

/// An address that a service needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen {
    /// The address.
    pub address: SocketAddr,
    /// Which service.
    pub user: &'static str,
    /// Where the operator can change it.
    pub setting: &'static str,
}

impl Options {
    /// Reads the addresses of the three services from the environment.
    #[must_use]
    pub fn from_env(env: &Env, home: &Path, program: PathBuf) -> Self {
        let listen = |user, host_key, port_key, port| Listen {
            address: SocketAddr::new(
                env.get(host_key)
                    .and_then(|host| host.parse().ok())
                    .unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)),
                env.port(port_key).unwrap_or(port),
            ),
            user,
            setting: port_key,
        };
        Self {
            program,
            paths: OwnerPaths::from_env(env, home),
            env: env.clone(),
            listens: vec![
                listen("owner", "CHAT_BIND_HOST", "CHAT_PORT", OWNER_PORT),
                listen("gateway", "NATAPP_PROXY_LISTEN_HOST", "NATAPP_PROXY_LISTEN_PORT", 7699),
                listen("mailbox", "AGENT_MAILBOX_HOST", "AGENT_MAILBOX_PORT", 7694),
            ],
        }
    }
}

/// A running supervisor.
pub struct Service {
    children: Arc<Children>,
    control: [AbortHandle; 2],
    socket: PathBuf,
    auth: Result<Secret, auth::Error>,
    _lock: FileLock,
}

impl Service {
    /// Checks that everything can be started, then starts it. Children come up in the background, see
    /// [`Handle::ready`].
    ///
    /// # Errors
    /// [`Error`] when something stands in the way; nothing has been started then.
    pub async fn start(options: Options) -> Result<Self, Error> {
        let for_check = options.clone();
        let ready = spawn_blocking(move || preflight::check(&for_check))
            .await
            .expect("the check does not panic and is not cancelled")?;
        let logs = log::Writer::start().map_err(Error::LogThread)?;
        let socket = options.paths.supervisor_socket();
        let (listener, key) = control_server::bind(&socket)?;
        let children = Arc::new(Children::new(Arc::new(process::Processes { logs })));
        for spec in [Spec::owner(&options), Spec::gateway(&options), Spec::mail(&options)] {
            children.launch(spec).await;
        }
        // After the socket is bound: a create that finds nobody there is then seen here, or asks again.
        let paths = options.paths.clone();
        let loaded = spawn_blocking(move || Sleepers::new(&paths)).await;
        let sleepers = loaded.expect("reading does not panic and is not cancelled");
        for spec in guests(&options).await {
            match &spec.id {
                Id::Guest(name) if sleepers.has(name) => children.rest(spec),
                _ => children.launch(spec).await,
            }
        }
        let desk = Arc::new(Desk { key, options, children: Arc::clone(&children), sleepers });
        let control = [
            tokio::spawn(control_server::serve(listener, Arc::clone(&desk))).abort_handle(),
            tokio::spawn(sleepers::watch(desk)).abort_handle(),
        ];
        Ok(Self { children, control, socket, auth: ready.auth.map(|auth| auth.token), _lock: ready.lock })
    }

    /// Returns a handle that outlives nothing but tells everything.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle { children: Arc::clone(&self.children) }
    }

    /// The owner's token, or why there is none.
    ///
    /// # Errors
    /// The trouble with the owner's `auth.json`, which keeps nobody else from working.
    pub fn owner_token(&self) -> Result<&Secret, &auth::Error> {
        self.auth.as_ref()
    }

    /// Runs until `shutdown` is done, then drains all children within five seconds.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        shutdown.await;
        self.control.iter().for_each(AbortHandle::abort);
        // The lock is still held: the socket cannot be a successor's.
        let _ = tokio::fs::remove_file(&self.socket).await;
        self.children.drain().await;
    }
}

/// Looks at the children of a [`Service`].
#[derive(Clone)]
pub struct Handle {
    children: Arc<Children>,
}

impl Handle {
    /// Waits until a child listens.
    ///
    /// # Errors
    /// [`ChildError`] when it has died or `patience` is over; it is tried again all the same.
    pub async fn ready(&self, id: &Id, patience: Duration) -> Result<(), ChildError> {
        self.children.ready(id, patience).await
    }

    /// Describes every child.
    #[must_use]
    pub fn children(&self) -> Vec<Child> {
        self.children.report()
    }
}

/// The guests to start. A registry that cannot be read starts none and takes nobody else down.
async fn guests(options: &Options) -> Vec<Spec> {
    let (paths, env) = (options.paths.clone(), options.env.clone());
    let loaded = spawn_blocking(move || {
        // Nothing of the guests runs yet.
        recover(&Tools { paths: &paths, env: &env, outside: NOTHING }, &mut |_| {})?;
        Registry::load(&paths.registry())
    })
    .await;
    match loaded.expect("reading does not panic and is not cancelled") {
        Ok(registry) => registry
            .guests
            .iter()
            .filter(|record| record.state.is_ready() && !record.stopped)
            .map(|record| Spec::guest(options, record))
            .collect(),
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "no guests were started");
            Vec::new()
        }
    }
}
