//! What runs on this machine beside the files: the service that keeps guests running, and the front door.

mod door;
mod service;

use remotelab_config::OwnerPaths;

pub use door::{Door, Gateway};
pub use service::{Service, Supervisor};

/// What commands ask of the running system: real ones of [`Local`], stand-ins in tests.
#[derive(Clone, Copy)]
pub struct Outside<'a> {
    /// Starts and stops guests.
    pub service: &'a dyn Service,
    /// Leads people to them.
    pub door: &'a dyn Door,
}

/// The supervisor and the gateway of one set of folders.
#[derive(Clone, Debug)]
pub struct Local {
    supervisor: Supervisor,
    gateway: Gateway,
}

impl Local {
    /// Finds both by their sockets.
    #[must_use]
    pub fn new(paths: &OwnerPaths) -> Self {
        Self { supervisor: Supervisor::new(paths), gateway: Gateway::new(paths) }
    }

    /// Hands both on.
    #[must_use]
    pub fn outside(&self) -> Outside<'_> {
        Outside { service: &self.supervisor, door: &self.gateway }
    }
}

/// A system of which nothing runs.
pub(crate) const NOTHING: Outside<'static> = Outside { service: &service::Nobody, door: &door::NoDoor };
