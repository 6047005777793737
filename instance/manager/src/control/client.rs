//! The asking side. It blocks: its callers are short-lived commands.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Answer, Asked, Child, KEY, Request};

/// Longer than the supervisor takes for its slowest answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// The longest answer, in bytes: a few thousand guests.
const MAX_ANSWER: u64 = 4 * 1024 * 1024;

/// Talks to the supervisor of one set of folders.
#[derive(Clone, Debug)]
pub struct Client {
    socket: PathBuf,
}

/// Why a request was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody listens: `remotelab up` does not run here.
    #[error("RemoteLab is not running")]
    NotRunning,
    /// The supervisor said no.
    #[error("{0}")]
    Refused(String),
    /// The conversation broke off.
    #[error("cannot talk to the supervisor at {}", path.display())]
    Broken {
        /// The socket.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

impl Client {
    /// Makes a client for [`OwnerPaths::supervisor_socket`](remotelab_config::OwnerPaths::supervisor_socket).
    #[must_use]
    pub fn new(socket: &Path) -> Self {
        Self { socket: socket.to_owned() }
    }

    /// Lists the children.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn status(&self) -> Result<Vec<Child>, Error> {
        self.ask(&Request::Status)
    }

    /// Starts a child and returns when it listens.
    ///
    /// # Errors
    /// [`Error::Refused`] with the reason when it does not come up.
    pub fn start(&self, name: &str) -> Result<(), Error> {
        self.ask(&Request::Start { name: name.to_owned() }).map(drop)
    }

    /// Stops a child and returns when it has ended.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn stop(&self, name: &str) -> Result<(), Error> {
        self.ask(&Request::Stop { name: name.to_owned() }).map(drop)
    }

    /// Stops a child, starts it again, and returns when it listens.
    ///
    /// # Errors
    /// [`Error::Refused`] with the reason when it does not come up.
    pub fn restart(&self, name: &str) -> Result<(), Error> {
        self.ask(&Request::Restart { name: name.to_owned() }).map(drop)
    }

    /// Starts the program anew in the place of the gateway, and returns when that has taken over.
    ///
    /// # Errors
    /// [`Error::Refused`] with the reason when it does not come up; the old one goes on then.
    pub fn replace(&self, name: &str) -> Result<(), Error> {
        self.ask(&Request::Replace { name: name.to_owned() }).map(drop)
    }

    /// The same, with another program.
    ///
    /// # Errors
    /// As [`Client::restart`].
    pub fn renew(&self, name: &str, program: &Path) -> Result<(), Error> {
        let request = Request::Renew { name: name.to_owned(), program: program.to_owned() };
        self.ask(&request).map(drop)
    }

    /// Puts a guest to sleep and returns when it has ended.
    ///
    /// # Errors
    /// [`Error::Refused`] with the reason when it has something to do.
    pub fn sleep(&self, name: &str) -> Result<(), Error> {
        self.ask(&Request::Sleep { name: name.to_owned() }).map(drop)
    }

    /// Wakes a guest that sleeps and returns when it listens.
    ///
    /// # Errors
    /// [`Error::Refused`] with the reason when it does not come up, or was stopped.
    pub fn wake(&self, name: &str) -> Result<(), Error> {
        self.ask(&Request::Wake { name: name.to_owned() }).map(drop)
    }

    fn ask(&self, request: &Request) -> Result<Vec<Child>, Error> {
        let stream = UnixStream::connect(&self.socket).map_err(|source| match source.kind() {
            // A socket without a listener is what a killed supervisor leaves behind.
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => Error::NotRunning,
            _ => self.broken(source),
        })?;
        // One that cannot be read is refused by the supervisor, in its own words.
        let key = fs::read_to_string(self.socket.with_file_name(KEY)).unwrap_or_default();
        let asked = Asked { key: key.trim().to_owned(), request: request.clone() };
        let answer = converse(&stream, &asked).map_err(|source| self.broken(source))?;
        match answer {
            Answer { ok: true, children, .. } => Ok(children),
            Answer { error, .. } => Err(Error::Refused(error.unwrap_or_default())),
        }
    }

    fn broken(&self, source: io::Error) -> Error {
        Error::Broken { path: self.socket.clone(), source }
    }
}

fn converse(mut stream: &UnixStream, request: &Asked) -> io::Result<Answer> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut answer = Vec::new();
    BufReader::new(stream.take(MAX_ANSWER)).read_until(b'\n', &mut answer)?;
    Ok(serde_json::from_slice(&answer)?)
}
