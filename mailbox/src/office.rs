//! What all steps of the pipeline share: where things are, what time it is, open stores and clients.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use remotelab_client::{Instance, KeptToken};
use remotelab_config::Env;
use tokio::sync::Semaphore;

use crate::clock::Clock;
use crate::places::{self, Place, Places};
use crate::store::{self, Store};
use crate::trust::Resolver;

/// Names the leases of a bridge, which is alone on its roots.
const BRIDGE: &str = "bridge:";

/// The token with which mail is handed over, in the mailbox of the instance that it is for.
const TOKEN: &str = "instance-token";

/// Mails read at a time.
const READERS: usize = 16;

/// Large mails in memory at a time.
const LARGE: usize = 4;

/// The pipeline's common ground. One per process.
pub(crate) struct Office {
    pub(crate) places: Places,
    pub(crate) clock: Clock,
    pub(crate) env: Env,
    /// Names this process in leases.
    pub(crate) holder: String,
    is_bridge: bool,
    stores: Mutex<BTreeMap<PathBuf, Arc<Store>>>,
    clients: Mutex<BTreeMap<(String, PathBuf), Arc<Instance>>>,
    resolver: OnceLock<Option<Arc<Resolver>>>,
    /// Mails read at a time, of all instances.
    pub(crate) readers: Semaphore,
    /// Large mails in memory at a time, of all instances.
    pub(crate) large: Semaphore,
}

/// Why a step could not be taken at all; what an instance or a relay says is part of the work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Settings.
    #[error(transparent)]
    Places(#[from] places::Error),
    /// The store.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// A blocking step died.
    #[error("a mailbox step was cut off")]
    CutOff,
}

impl Office {
    /// `is_bridge`: this process holds the lock that makes it the only bridge on these roots.
    pub(crate) fn new(places: Places, clock: Clock, env: Env, is_bridge: bool) -> Self {
        let kind = if is_bridge { BRIDGE } else { "command:" };
        Self {
            places,
            clock,
            env,
            holder: format!("{kind}{:016x}", rand::random::<u64>()),
            is_bridge,
            stores: Mutex::default(),
            clients: Mutex::default(),
            resolver: OnceLock::new(),
            readers: Semaphore::new(READERS),
            large: Semaphore::new(LARGE),
        }
    }

    /// Opens an instance's mailbox, once. Blocks.
    pub(crate) fn store(&self, place: &Place) -> Result<Arc<Store>, Error> {
        let mut stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        // A guest that was removed and made anew has another file in the same place.
        if let Some(store) = stores.get(&place.root).filter(|store| store.is_in_place()) {
            return Ok(Arc::clone(store));
        }
        let store = Arc::new(Store::open(&place.root)?);
        if self.is_bridge {
            store.sweep_temporary();
            // Another bridge's leases are those of a dead one: its lock is ours.
            let is_dead = |holder: &str| holder.starts_with(BRIDGE) && holder != self.holder;
            store.recover_letters(is_dead, self.clock.now())?;
        }
        stores.insert(place.root.clone(), Arc::clone(&store));
        Ok(store)
    }

    /// Whom to ask for keys and policies of domains; `None` when there are no name servers.
    pub(crate) fn resolver(&self) -> Option<Arc<Resolver>> {
        // Its connections live on the runtime that made them; a command's ends with the step.
        let make = || Resolver::from_env(&self.env).map(Arc::new);
        if self.is_bridge { self.resolver.get_or_init(make).clone() } else { make() }
    }

    /// Closes what belongs to no instance any more.
    pub(crate) fn forget_all_but(&self, places: &[Place]) {
        let has_root = |root: &PathBuf| places.iter().any(|place| place.root == *root);
        self.stores.lock().unwrap_or_else(PoisonError::into_inner).retain(|root, _| has_root(root));
        let is_theirs = |(base_url, auth_file): &(String, PathBuf)| {
            places.iter().any(|place| place.base_url == *base_url && place.auth_file == *auth_file)
        };
        self.clients.lock().unwrap_or_else(PoisonError::into_inner).retain(|key, _| is_theirs(key));
    }

    /// The instance's chat server, as its record says at this moment.
    pub(crate) fn client(&self, place: &Place) -> Result<Arc<Instance>, remotelab_client::Error> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (place.base_url.clone(), place.auth_file.clone());
        if let Some(client) = clients.get(&key) {
            return Ok(Arc::clone(client));
        }
        let config = place.auth_file.parent().unwrap_or(&place.config);
        let token = KeptToken::new(config, place.root.join(TOKEN), "mail");
        let client = Arc::new(Instance::new(&place.base_url, &place.auth_file)?.with_token(token));
        clients.insert(key, Arc::clone(&client));
        Ok(client)
    }
}

impl fmt::Debug for Office {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The environment holds secrets.
        f.debug_struct("Office").field("places", &self.places).finish_non_exhaustive()
    }
}

/// Runs a blocking step off the asynchronous threads.
pub(crate) async fn blocking<T: Send + 'static>(
    step: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    blocking_or(step).await
}

/// Runs a blocking step that has errors of its own.
pub(crate) async fn blocking_or<T: Send + 'static, E: From<Error> + Send + 'static>(
    step: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, E> {
    tokio::task::spawn_blocking(step).await.unwrap_or_else(|_| Err(Error::CutOff.into()))
}
