//! Starting and stopping a chat server.

mod connections;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use remotelab_config::auth::{self, Auth as AuthFile};
use remotelab_config::chat::Settings;
use remotelab_config::run_tokens::RunTokens;
use remotelab_config::secret::Secret;
use remotelab_config::{Env, atomic, instance_id};
use remotelab_executor::catalogue::CatalogueOptions;
use remotelab_executor::{Catalogue, Launcher, LoginShell};
use remotelab_store::Store;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::api_log::ApiLog;
use crate::app::{App, Shared, blocking};
use crate::assets::Assets;
use crate::auth::Auth;
use crate::body_memory::BodyMemory;
use crate::hub::Hub;
use crate::recovery;
use crate::rendered::Rendered;
use crate::results::Publishing;
use crate::runs::Runs;
use crate::sleep::{Activity, Idle};
use crate::templates::Templates;
use crate::triggers::{self, Triggers};
use crate::webhooks::{self, Webhooks};

/// How long open requests may take after the server was asked to stop.
const DRAIN: Duration = Duration::from_secs(3);
/// How many executors are asked about sessions at once.
const HELPERS: usize = 2;
/// How often `chat-sessions.json` is brought up to date for older tools.
const EXPORT_EVERY: Duration = Duration::from_secs(30);

/// Why a chat server did not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The owner token cannot be used.
    #[error(transparent)]
    Auth(#[from] auth::Error),
    /// The data cannot be used.
    #[error(transparent)]
    Store(#[from] remotelab_store::Error),
    /// A file cannot be used.
    #[error(transparent)]
    File(#[from] atomic::Error),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: String,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

/// A running chat server.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    app: Shared,
    serving: JoinHandle<()>,
}

impl Server {
    /// Opens the instance, listens, and goes on with the work that the last server left. `program` is
    /// this binary, which is also the runner; `env` is the ground of what executors get. The server
    /// stops when `stop` is done.
    ///
    /// # Errors
    /// [`Error`]: nothing is left running then.
    pub async fn start(
        settings: Settings,
        env: Env,
        program: PathBuf,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> Result<Self, Error> {
        let address = format!("{}:{}", settings.bind_host, settings.port);
        let app = blocking(move || open(settings, env, program)).await?;
        let listening =
            TcpListener::bind(&address).await.and_then(|listener| Ok((listener.local_addr()?, listener)));
        let (address, listener) = listening.map_err(|source| Error::Listen { address, source })?;
        let _ = app.address.set(address);
        recovery::resume_work(&app);
        let router = crate::http::router(Arc::clone(&app));
        tokio::task::spawn_blocking({
            let app = Arc::clone(&app);
            move || ask_shell(&app)
        });
        let exporting = tokio::spawn(export_regularly(Arc::clone(&app)));
        let triggering = tokio::spawn(triggers::deliver_when_due(Arc::clone(&app)));
        let delivering = tokio::spawn(webhooks::deliver_for_ever(Arc::clone(&app)));
        let opening = Arc::clone(&app.store);
        drop(tokio::task::spawn_blocking(move || opening.open_records()));
        let stopping = app.stopping.clone();
        let stop = async move {
            stop.await;
            stopping.cancel();
        };
        let serving = tokio::spawn(async move {
            connections::serve(listener, router, stop, DRAIN).await;
            exporting.abort();
            triggering.abort();
            delivering.abort();
        });
        Ok(Self { address, app, serving })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns what tells whether it has anything to do.
    #[must_use]
    pub fn idle(&self) -> Idle {
        Idle::of(Arc::clone(&self.app))
    }

    /// Waits until the server has stopped; runs that are under way live on.
    ///
    /// # Errors
    /// When serving failed.
    pub async fn stopped(self) -> io::Result<()> {
        self.serving.await.map_err(io::Error::other)?;
        let app = self.app;
        let closed = blocking(move || {
            app.api_log.flush();
            app.store.close()
        })
        .await;
        if let Err(error) = closed {
            tracing::warn!(%error, "the store was not closed cleanly; the next start repairs it");
        }
        Ok(())
    }
}

fn open(mut settings: Settings, env: Env, program: PathBuf) -> Result<Shared, Error> {
    // Refuses to start where anybody could sign in.
    AuthFile::load(&settings.paths.auth())?;
    let (store, recovery) = Store::open(&settings.paths)?;
    for path in &recovery.damaged {
        tracing::warn!(path = %path.display(), "a file is damaged and was left alone");
    }
    if recovery.replayed > 0 {
        tracing::info!(transactions = recovery.replayed, "finished what the last server had begun to store");
    }
    settings.instance_id = instance_id::settle(settings.paths.config(), &settings.instance_id)?;
    let run_tokens = RunTokens::open(&settings.paths.run_tokens(), store.sessions().is_empty())?
        .with_scope(settings.run_token_scope);
    let launcher = Launcher::prepare(&settings.paths, &program)
        .inspect_err(|error| tracing::warn!(%error, "runs may not find the remotelab program"))
        .ok();
    let catalogue = Catalogue::new(CatalogueOptions {
        paths: settings.paths.clone(),
        home: settings.home.clone(),
        env: env.clone(),
        program: program.clone(),
    });
    Ok(Arc::new(App {
        auth: Auth::open(&settings, run_tokens),
        gateway_key: gateway_key(&settings)?,
        store: Arc::new(store),
        catalogue,
        shell: LoginShell::wanted(&env),
        launcher,
        hub: Hub::new(),
        runs: Runs::new(),
        publishing: Publishing::default(),
        rendered: Rendered::default(),
        templates: Templates::default(),
        triggers: Triggers::open(&settings.paths)?,
        delegating: Mutex::default(),
        helper_turns: Semaphore::new(HELPERS),
        address: OnceLock::new(),
        api_log: ApiLog::new(settings.paths.api_logs()),
        webhooks: Webhooks::open(&settings.paths)?,
        activity: Activity::begin(),
        stopping: CancellationToken::new(),
        assets: Assets::open(&settings.paths, settings.object_storage.clone()),
        body_memory: BodyMemory::new(),
        settings,
        env,
        program,
    }))
}

/// Reads the key shared with the gateway, or makes it. The gateway reads the same file.
fn gateway_key(settings: &Settings) -> Result<Option<Secret>, Error> {
    let path = settings.paths.gateway_secret();
    if let Some(bytes) = atomic::read(&path)? {
        let key = Secret::parse(String::from_utf8_lossy(&bytes).trim()).ok();
        if key.is_none() {
            tracing::warn!(path = %path.display(), "the gateway's key is damaged; its headers are ignored");
        }
        return Ok(key);
    }
    let key = Secret::random();
    atomic::write_private(&path, key.reveal().as_bytes())?;
    Ok(Some(key))
}

/// Finds executors where the owner's shell finds them.
fn ask_shell(app: &App) {
    let answer = app.shell.as_ref().and_then(LoginShell::env);
    if let Some(path) = answer.as_ref().and_then(|env| env.get("PATH")) {
        app.catalogue.prefer_path(path);
    }
}

async fn export_regularly(app: Shared) {
    let mut exported = None;
    loop {
        tokio::time::sleep(EXPORT_EVERY).await;
        let revisions: Vec<_> =
            app.store.sessions().iter().map(|cell| (cell.id().clone(), cell.revision())).collect();
        if exported.as_ref() == Some(&revisions) {
            continue;
        }
        let worker = Arc::clone(&app);
        match blocking(move || worker.store.export()).await {
            Ok(()) => exported = Some(revisions),
            Err(error) => tracing::warn!(%error, "cannot write chat-sessions.json"),
        }
    }
}
