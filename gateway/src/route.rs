//! Routes and the table that finds them.

pub mod build;
pub mod definition;
pub mod gone;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use crate::limit;
use gone::Gone;

/// One way to one instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The instance's stable id.
    pub id: String,
    /// The first path segment that leads here.
    pub name: String,
    /// Whose it is.
    pub kind: Kind,
    /// `/<name>`.
    pub prefix: String,
    /// What outside cookie names start with: `<name>__`.
    pub cookie_prefix: String,
    /// Host names that lead here.
    pub hosts: Vec<String>,
    /// Where the instance listens.
    pub upstream: SocketAddr,
    /// The socket at which it listens beside its port, if it is one that does.
    pub socket: Option<PathBuf>,
    /// The file with the key that vouches for our headers; a program of others has none.
    pub secret_file: Option<PathBuf>,
    /// What it may use.
    pub policy: Policy,
}

/// What a tenant may use, and what is told of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Its upper bounds.
    pub limits: limit::Tenant,
    /// Whether its requests are logged.
    pub logged: bool,
    /// It does not know the prefix that leads to it, and nothing that it says of that is believed.
    pub foreign: bool,
}

/// What kind of instance a route leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The main service, the owner's instance.
    Main,
    /// Another service that the settings name.
    Service,
    /// A guest of the registry.
    Guest,
}

impl Kind {
    /// Returns `main`, `service` or `guest`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Main => "main",
            Self::Service => "service",
            Self::Guest => "guest",
        }
    }
}

/// An immutable set of routes; looking one up costs the same for one and for ten thousand.
#[derive(Clone, Debug, Default)]
pub struct Table {
    routes: Vec<Arc<Route>>,
    by_prefix: HashMap<String, usize>,
    by_host: HashMap<String, usize>,
    gone: Gone,
}

impl Table {
    /// Indexes routes whose names and hosts are known to be distinct.
    #[must_use]
    fn new(routes: Vec<Route>, gone: Gone) -> Self {
        let routes: Vec<Arc<Route>> = routes.into_iter().map(Arc::new).collect();
        let index = |(at, route): (usize, &Arc<Route>)| (route.name.clone(), at);
        let by_prefix = routes.iter().enumerate().map(index).collect();
        let hosts = |(at, route): (usize, &Arc<Route>)| {
            route.hosts.iter().map(move |host| (host.clone(), at)).collect::<Vec<_>>()
        };
        let by_host = routes.iter().enumerate().flat_map(hosts).collect();
        Self { routes, by_prefix, by_host, gone }
    }

    /// All routes; their position is their index.
    #[must_use]
    pub fn routes(&self) -> &[Arc<Route>] {
        &self.routes
    }

    /// What was here not long ago.
    #[must_use]
    pub fn gone(&self) -> &Gone {
        &self.gone
    }

    /// Finds a route by its first path segment, byte for byte.
    #[must_use]
    pub fn by_prefix(&self, segment: &str) -> Option<usize> {
        self.by_prefix.get(segment).copied()
    }

    /// Finds a route by a normalised host name.
    #[must_use]
    pub fn by_host(&self, name: &str) -> Option<usize> {
        self.by_host.get(name).copied()
    }
}
