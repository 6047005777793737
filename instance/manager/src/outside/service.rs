//! What keeps guests running.

use std::path::Path;

use remotelab_config::{InstanceName, OwnerPaths};

use crate::control::{Child, Client, Error};

/// One way to keep guests running. Each call returns when it is done.
pub trait Service: Sync {
    /// Starts a guest as its record says and returns when it listens. One that runs is left alone.
    ///
    /// # Errors
    /// [`Error::NotRunning`] when nothing runs here, [`Error::Refused`] when the guest does not come up.
    fn start(&self, name: &InstanceName) -> Result<(), Error>;

    /// Stops a guest and returns when it has ended. A guest that does not run is stopped already.
    ///
    /// # Errors
    /// See [`Error`].
    fn stop(&self, name: &InstanceName) -> Result<(), Error>;

    /// Starts a guest anew, as its record says now, and returns when it listens.
    ///
    /// # Errors
    /// As [`Service::start`].
    fn restart(&self, name: &InstanceName) -> Result<(), Error>;

    /// The same, with this program, where what keeps it running knows no program of its own.
    ///
    /// # Errors
    /// As [`Service::start`].
    fn renew(&self, name: &InstanceName, _program: &Path) -> Result<(), Error> {
        self.restart(name)
    }

    /// Stops a guest until it is needed, and returns when it has ended.
    ///
    /// # Errors
    /// [`Error::Refused`] when it has something to do, or when nothing here could wake it.
    fn sleep(&self, _name: &InstanceName) -> Result<(), Error> {
        Err(Error::NotRunning)
    }

    /// Starts a guest that sleeps, and returns when it listens.
    ///
    /// # Errors
    /// As [`Service::start`], and when it was stopped.
    fn wake(&self, _name: &InstanceName) -> Result<(), Error> {
        Err(Error::NotRunning)
    }

    /// Tells what really runs.
    ///
    /// # Errors
    /// [`Error::NotRunning`] when nothing runs here.
    fn report(&self) -> Result<Vec<Child>, Error>;
}

/// The supervisor of `remotelab up`.
#[derive(Clone, Debug)]
pub struct Supervisor(Client);

impl Supervisor {
    /// Finds it by its socket.
    #[must_use]
    pub fn new(paths: &OwnerPaths) -> Self {
        Self(Client::new(&paths.supervisor_socket()))
    }
}

impl Service for Supervisor {
    fn start(&self, name: &InstanceName) -> Result<(), Error> {
        self.0.start(name.as_str())
    }

    fn stop(&self, name: &InstanceName) -> Result<(), Error> {
        match self.0.stop(name.as_str()) {
            Err(Error::NotRunning) => Ok(()),
            outcome => outcome,
        }
    }

    fn restart(&self, name: &InstanceName) -> Result<(), Error> {
        self.0.restart(name.as_str())
    }

    fn renew(&self, name: &InstanceName, program: &Path) -> Result<(), Error> {
        self.0.renew(name.as_str(), program)
    }

    fn sleep(&self, name: &InstanceName) -> Result<(), Error> {
        self.0.sleep(name.as_str())
    }

    fn wake(&self, name: &InstanceName) -> Result<(), Error> {
        self.0.wake(name.as_str())
    }

    fn report(&self) -> Result<Vec<Child>, Error> {
        self.0.status()
    }
}

/// Nobody who could start anything.
pub(super) struct Nobody;

impl Service for Nobody {
    fn start(&self, _: &InstanceName) -> Result<(), Error> {
        Err(Error::NotRunning)
    }

    fn stop(&self, _: &InstanceName) -> Result<(), Error> {
        Ok(())
    }

    fn restart(&self, _: &InstanceName) -> Result<(), Error> {
        Err(Error::NotRunning)
    }

    fn report(&self) -> Result<Vec<Child>, Error> {
        Err(Error::NotRunning)
    }
}
