//! What every part of the server shares.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};

use remotelab_config::Env;
use remotelab_config::chat::Settings;
use remotelab_config::secret::Secret;
use remotelab_executor::{Catalogue, Launcher, LoginShell};
use remotelab_store::{Draft, SessionCell, Store, journal};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::api_log::ApiLog;
use crate::assets::Assets;
use crate::auth::Auth;
use crate::body_memory::BodyMemory;
use crate::hub::Hub;
use crate::rendered::Rendered;
use crate::results::Publishing;
use crate::runs::Runs;
use crate::sleep::Activity;
use crate::templates::Templates;
use crate::triggers::Triggers;
use crate::webhooks::Webhooks;

/// The server's parts, behind one pointer.
pub(crate) type Shared = Arc<App>;

/// What every part of the server shares.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) settings: Settings,
    /// The server's own environment, the ground of what executors get.
    pub(crate) env: Env,
    /// This program, which is also the runner.
    pub(crate) program: PathBuf,
    /// Where runs find it; none when its folder could not be made.
    pub(crate) launcher: Option<Launcher>,
    pub(crate) store: Arc<Store>,
    pub(crate) catalogue: Catalogue,
    /// Whose environment executors get as well, if the owner wants it.
    pub(crate) shell: Option<LoginShell>,
    pub(crate) auth: Auth,
    pub(crate) hub: Hub,
    pub(crate) runs: Runs,
    /// Runs whose files are still being published.
    pub(crate) publishing: Publishing,
    pub(crate) rendered: Rendered,
    pub(crate) triggers: Triggers,
    pub(crate) templates: Templates,
    /// Held while it is decided whether a run may start one more session.
    pub(crate) delegating: Mutex<()>,
    /// Turns for calls that ask an executor about a session.
    pub(crate) helper_turns: Semaphore,
    /// Where the server listens, once it does.
    pub(crate) address: OnceLock<SocketAddr>,
    pub(crate) api_log: ApiLog,
    pub(crate) webhooks: Webhooks,
    /// Who uses the server.
    pub(crate) activity: Arc<Activity>,
    /// The server is asked to stop: what waits or streams ends.
    pub(crate) stopping: CancellationToken,
    pub(crate) assets: Assets,
    /// Room for bodies that are read into memory.
    pub(crate) body_memory: BodyMemory,
    /// What this instance shares with its gateway.
    pub(crate) gateway_key: Option<Secret>,
}

/// Runs file work off the async threads.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => std::future::pending().await,
    }
}

/// Changes a session and waits until the change is durable. Off the async threads: it may have to read a file
/// or to wait for room in the journal.
pub(crate) async fn change<T: Send + 'static>(
    cell: &Arc<SessionCell>,
    change: impl FnOnce(&mut Draft<'_>) -> T + Send + 'static,
) -> Result<T, StorageRefused> {
    let cell = Arc::clone(cell);
    let (outcome, commit) = blocking(move || cell.change(change)).await;
    commit.durable().await?;
    Ok(outcome)
}

/// Runs work to its end even when nobody waits for it any longer: a client that goes away must not leave
/// a change half made.
pub(crate) async fn detached<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    match tokio::spawn(work).await {
        Ok(outcome) => outcome,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => std::future::pending().await,
    }
}

/// Storage said no: nothing was accepted.
#[derive(Debug, thiserror::Error)]
#[error("the instance cannot store anything at the moment")]
pub(crate) struct StorageRefused(#[from] pub(crate) journal::Error);
