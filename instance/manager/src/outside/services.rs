//! Whatever keeps guests running on this machine, as one: each guest belongs to what has a definition of it, and
//! to the supervisor otherwise.

use std::path::Path;

use remotelab_config::InstanceName;

use super::launchd::Launchd;
use super::service::{Service, Supervisor};
use crate::control::{Child, Error};

/// All of them.
#[derive(Clone, Debug)]
pub(super) struct Services {
    pub(super) supervisor: Supervisor,
    pub(super) launchd: Option<Launchd>,
}

impl Services {
    fn of(&self, name: &InstanceName) -> &dyn Service {
        match &self.launchd {
            Some(launchd) if launchd.has(name) => launchd,
            _ => &self.supervisor,
        }
    }
}

impl Service for Services {
    fn start(&self, name: &InstanceName) -> Result<(), Error> {
        self.of(name).start(name)
    }

    fn stop(&self, name: &InstanceName) -> Result<(), Error> {
        self.of(name).stop(name)
    }

    fn restart(&self, name: &InstanceName) -> Result<(), Error> {
        self.of(name).restart(name)
    }

    fn renew(&self, name: &InstanceName, program: &Path) -> Result<(), Error> {
        self.of(name).renew(name, program)
    }

    fn sleep(&self, name: &InstanceName) -> Result<(), Error> {
        self.of(name).sleep(name)
    }

    fn wake(&self, name: &InstanceName) -> Result<(), Error> {
        self.of(name).wake(name)
    }

    fn report(&self) -> Result<Vec<Child>, Error> {
        let Some(launchd) = &self.launchd else {
            return self.supervisor.report();
        };
        let mut children = launchd.report()?;
        match self.supervisor.report() {
            Ok(others) => children.extend(others),
            Err(Error::NotRunning) if !children.is_empty() => {}
            Err(error) => return Err(error),
        }
        Ok(children)
    }
}
