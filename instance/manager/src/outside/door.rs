//! The front door, as far as commands about guests need it.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use remotelab_config::{InstanceName, OwnerPaths};

/// What leads people to guests.
pub trait Door: Sync {
    /// Has it look at the registry and returns when its routes are in force. Without a front door there is
    /// nothing to do.
    ///
    /// # Errors
    /// When a front door runs and does not answer.
    fn reload(&self) -> io::Result<()>;

    /// Has it hold requests for a guest back that is to sleep; tells whether it does, which it does not while
    /// somebody uses the guest. Without a front door nobody does.
    ///
    /// # Errors
    /// When a front door runs and does not answer.
    fn park(&self, _name: &InstanceName) -> io::Result<bool> {
        Ok(true)
    }

    /// Tells it that a guest is awake.
    ///
    /// # Errors
    /// When a front door runs and does not answer.
    fn unpark(&self, _name: &InstanceName) -> io::Result<()> {
        Ok(())
    }
}

/// The gateway of one set of folders.
#[derive(Clone, Debug)]
pub struct Gateway {
    socket: PathBuf,
}

impl Gateway {
    /// Finds it by its socket.
    #[must_use]
    pub fn new(paths: &OwnerPaths) -> Self {
        Self { socket: paths.gateway_socket() }
    }

    /// Tells whether it listens.
    pub(crate) fn runs(&self) -> bool {
        UnixStream::connect(&self.socket).is_ok()
    }

    /// Posts to a path; without a gateway there is no answer.
    fn post(&self, path: &str) -> io::Result<Option<u16>> {
        match UnixStream::connect(&self.socket) {
            Ok(stream) => post(stream, path).map(Some),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Door for Gateway {
    fn reload(&self) -> io::Result<()> {
        fine(self.post("/reload")?)
    }

    fn park(&self, name: &InstanceName) -> io::Result<bool> {
        match self.post(&format!("/park?name={name}"))? {
            // It has no route, so nobody comes that way.
            Some(404) => Ok(true),
            Some(409) => Ok(false),
            status => fine(status).map(|()| true),
        }
    }

    fn unpark(&self, name: &InstanceName) -> io::Result<()> {
        match self.post(&format!("/unpark?name={name}"))? {
            Some(404) => Ok(()),
            status => fine(status),
        }
    }
}

fn fine(status: Option<u16>) -> io::Result<()> {
    match status {
        None | Some(200..300) => Ok(()),
        Some(status) => Err(io::Error::other(format!("the gateway answered {status}"))),
    }
}

/// No door at all.
pub(super) struct NoDoor;

impl Door for NoDoor {
    fn reload(&self) -> io::Result<()> {
        Ok(())
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}

/// The longest answer that is read, in bytes.
const MAX_ANSWER: u64 = 16 * 1024;

const PATIENCE: Duration = Duration::from_secs(5);

/// Posts nothing to a path and returns the status of the answer.
fn post(mut stream: UnixStream, path: &str) -> io::Result<u16> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let request =
        format!("POST {path} HTTP/1.1\r\nHost: gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER).read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer);
    let line = answer.lines().next().unwrap_or_default();
    let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
    status.ok_or_else(|| io::Error::other(format!("the gateway answered {line:?}")))
}
