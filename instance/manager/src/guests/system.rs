//! What a command asks of the running system.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use remotelab_config::{InstanceName, OwnerPaths};

use crate::control::{Client, Error};

/// The running system: real in [`Local`], a stand-in in tests.
pub trait System {
    /// Starts a guest and returns when it listens.
    ///
    /// # Errors
    /// [`Error::NotRunning`] when nothing runs here, [`Error::Refused`] when the guest does not come up.
    fn start(&self, name: &InstanceName) -> Result<(), Error>;

    /// Stops a guest and returns when it has ended. A guest that does not run is stopped already.
    ///
    /// # Errors
    /// See [`Error`].
    fn stop(&self, name: &InstanceName) -> Result<(), Error>;

    /// Has the front door look at the registry and returns when its routes are in force. Without a
    /// front door there is nothing to do.
    ///
    /// # Errors
    /// When a front door runs and does not answer.
    fn reload_routes(&self) -> io::Result<()>;
}

/// The supervisor and the gateway of one set of folders.
#[derive(Clone, Debug)]
pub struct Local {
    supervisor: Client,
    gateway: PathBuf,
}

impl Local {
    /// Finds both by their sockets.
    #[must_use]
    pub fn new(paths: &OwnerPaths) -> Self {
        Self { supervisor: Client::new(&paths.supervisor_socket()), gateway: paths.gateway_socket() }
    }
}

impl System for Local {
    fn start(&self, name: &InstanceName) -> Result<(), Error> {
        self.supervisor.start(name.as_str())
    }

    fn stop(&self, name: &InstanceName) -> Result<(), Error> {
        match self.supervisor.stop(name.as_str()) {
            Err(Error::NotRunning) => Ok(()),
            outcome => outcome,
        }
    }

    fn reload_routes(&self) -> io::Result<()> {
        match UnixStream::connect(&self.gateway) {
            Ok(stream) => post(stream, "/reload"),
            Err(error) if is_absent(&error) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// A system of which nothing runs.
pub(crate) struct Idle;

impl System for Idle {
    fn start(&self, _: &InstanceName) -> Result<(), Error> {
        Err(Error::NotRunning)
    }

    fn stop(&self, _: &InstanceName) -> Result<(), Error> {
        Ok(())
    }

    fn reload_routes(&self) -> io::Result<()> {
        Ok(())
    }
}

/// Tells whether a front door listens on its control socket.
pub(super) fn gateway_runs(paths: &OwnerPaths) -> bool {
    UnixStream::connect(paths.gateway_socket()).is_ok()
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}

/// The longest answer that is read, in bytes.
const MAX_ANSWER: u64 = 16 * 1024;

const PATIENCE: Duration = Duration::from_secs(5);

/// Posts nothing to a path and wants a 2xx.
fn post(mut stream: UnixStream, path: &str) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let request =
        format!("POST {path} HTTP/1.1\r\nHost: gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER).read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer);
    let line = answer.lines().next().unwrap_or_default();
    match line.split(' ').nth(1) {
        Some(status) if status.starts_with('2') => Ok(()),
        _ => Err(io::Error::other(format!("the gateway answered {line:?}"))),
    }
}
