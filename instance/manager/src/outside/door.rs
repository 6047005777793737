//! The front door, as far as commands about guests need it.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use remotelab_config::OwnerPaths;

/// What leads people to guests.
pub trait Door: Sync {
    /// Has it look at the registry and returns when its routes are in force. Without a front door there is
    /// nothing to do.
    ///
    /// # Errors
    /// When a front door runs and does not answer.
    fn reload(&self) -> io::Result<()>;
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
}

impl Door for Gateway {
    fn reload(&self) -> io::Result<()> {
        match UnixStream::connect(&self.socket) {
            Ok(stream) => post(stream, "/reload"),
            Err(error) if is_absent(&error) => Ok(()),
            Err(error) => Err(error),
        }
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
