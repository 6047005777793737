//! What runs on this machine beside the files: the service that keeps guests running, and the front door.

mod door;
mod launchd;
mod service;
mod services;
mod tool;

use remotelab_config::{Env, OwnerPaths};

use services::Services;

pub use door::{Door, Gateway};
pub use service::{Service, Supervisor};
pub use tool::{Said, Tool};

/// What commands ask of the running system: real ones of [`Local`], stand-ins in tests.
#[derive(Clone, Copy)]
pub struct Outside<'a> {
    /// Starts and stops guests.
    pub service: &'a dyn Service,
    /// Leads people to them.
    pub door: &'a dyn Door,
}

/// What runs for one set of folders.
#[derive(Clone, Debug)]
pub struct Local {
    services: Services,
    gateway: Gateway,
}

impl Local {
    /// Finds the supervisor and the gateway by their sockets.
    #[must_use]
    pub fn new(paths: &OwnerPaths) -> Self {
        let services = Services { supervisor: Supervisor::new(paths), launchd: None };
        Self { services, gateway: Gateway::new(paths) }
    }

    /// Finds the system's own service managers, too.
    #[must_use]
    pub fn with_system(mut self, paths: &OwnerPaths, env: &Env) -> Self {
        self.services.launchd = launchd::Launchd::find(paths.home(), env);
        self
    }

    /// Hands both on.
    #[must_use]
    pub fn outside(&self) -> Outside<'_> {
        Outside { service: &self.services, door: &self.gateway }
    }
}

/// A system of which nothing runs.
pub(crate) const NOTHING: Outside<'static> = Outside { service: &service::Nobody, door: &door::NoDoor };
