//! The routes in force: the table with what the engine keeps for each route.

use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use http::HeaderValue;
use remotelab_config::secret::Secret;
use remotelab_config::vouch::Signer;

use super::origin::Origin;
use super::pool::Pool;
use super::standing::Standing;
use crate::route::build::Problem;
use crate::route::{Route, Table};

/// One generation of routes.
#[derive(Debug, Default)]
pub(crate) struct Live {
    pub(crate) generation: u64,
    pub(crate) table: Table,
    pub(crate) problems: Vec<Problem>,
    /// In the table's order.
    pub(crate) upstreams: Vec<Arc<Upstream>>,
}

/// A route with its connections and what its requests need again and again.
#[derive(Debug)]
pub(crate) struct Upstream {
    pub(crate) route: Arc<Route>,
    secret: Option<Secret>,
    pub(crate) signer: Option<Signer>,
    pub(crate) prefix: HeaderValue,
    /// `127.0.0.1:<port>`.
    pub(crate) authority: String,
    pub(crate) pool: Arc<Pool>,
    pub(crate) standing: Arc<Standing>,
}

/// What a new generation is made of.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) table: Table,
    pub(crate) problems: Vec<Problem>,
    /// In the table's order.
    pub(crate) secrets: Vec<Option<Secret>>,
}

/// The generation in force. Readers take what they need and let go; requests in flight keep theirs.
#[derive(Debug, Default)]
pub(crate) struct Snapshot(ArcSwap<Live>);

impl Snapshot {
    pub(crate) fn load(&self) -> Guard<Arc<Live>> {
        self.0.load()
    }

    pub(crate) fn load_full(&self) -> Arc<Live> {
        self.0.load_full()
    }

    /// Puts a draft in force, unless it says what is in force already. Returns the generation that is.
    pub(crate) fn publish(&self, draft: Draft, pooled: usize) -> u64 {
        let now = self.0.load_full();
        if now.generation > 0 && now.says(&draft) {
            return now.generation;
        }
        let generation = now.generation + 1;
        let upstreams: Vec<Arc<Upstream>> = draft
            .table
            .routes()
            .iter()
            .zip(draft.secrets)
            .map(|(route, secret)| Arc::new(now.upstream(route, secret, pooled)))
            .collect();
        let Draft { table, problems, .. } = draft;
        for old in &now.upstreams {
            let stays = table
                .by_prefix(&old.route.name)
                .is_some_and(|index| Arc::ptr_eq(&upstreams[index].standing, &old.standing));
            if !stays {
                old.standing.gone.cancel();
            }
        }
        self.0.store(Arc::new(Live { generation, table, problems, upstreams }));
        generation
    }
}

impl Live {
    fn says(&self, draft: &Draft) -> bool {
        self.table.routes() == draft.table.routes()
            && self.table.gone() == draft.table.gone()
            && self.problems == draft.problems
            && self.upstreams.iter().map(|upstream| &upstream.secret).eq(&draft.secrets)
    }

    /// Keeps what is known of an instance, and its connections if it stays where it is.
    fn upstream(&self, route: &Arc<Route>, secret: Option<Secret>, pooled: usize) -> Upstream {
        let old = self
            .table
            .by_prefix(&route.name)
            .map(|index| &self.upstreams[index])
            .filter(|old| old.route.id == route.id);
        let standing = old.map(|old| Arc::clone(&old.standing)).unwrap_or_default();
        let stays =
            |old: &&Arc<Upstream>| old.route.upstream == route.upstream && old.route.socket == route.socket;
        let pool = old.filter(stays).map(|old| Arc::clone(&old.pool)).unwrap_or_else(|| {
            let has_socket = Arc::clone(&standing.has_socket);
            Arc::new(Pool::new(Origin::new(route.upstream, route.socket.clone(), has_socket), pooled))
        });
        Upstream {
            signer: secret.as_ref().map(Signer::new),
            secret,
            prefix: HeaderValue::try_from(&route.prefix)
                .expect("a prefix is made of letters, digits and a few marks"),
            authority: route.upstream.to_string(),
            pool,
            standing,
            route: Arc::clone(route),
        }
    }
}
