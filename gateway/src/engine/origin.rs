//! Where an instance listens: at a socket of its own where it has one, else at its port.

use std::fs;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::net::{TcpStream, UnixStream};

use super::pool::Error;
use super::wire::wire;

/// A socket on this machine answers soon or not at all.
const SOCKET_PATIENCE: Duration = Duration::from_millis(500);
/// Rest while nobody takes connections from a socket's full queue.
const QUEUE_PAUSE: Duration = Duration::from_millis(5);

/// One instance's address.
#[derive(Debug)]
pub(crate) struct Origin {
    port: SocketAddr,
    socket: Option<PathBuf>,
    /// It has had a socket. From then on it is never looked for at its port: while it is away, any program
    /// of this machine may have that.
    has_socket: Arc<AtomicBool>,
}

wire! {
    /// A bare connection to an instance.
    Socket {
        Tcp(TcpStream),
        Unix(UnixStream),
    }
}

impl Origin {
    /// `has_socket` is what is known of the instance so far.
    pub(crate) fn new(port: SocketAddr, socket: Option<PathBuf>, has_socket: Arc<AtomicBool>) -> Self {
        Self { port, socket, has_socket }
    }

    /// Tells whether only the instance itself can be at the other end.
    pub(crate) fn is_private(&self) -> bool {
        self.has_socket.load(Ordering::Relaxed)
    }

    /// Opens a connection.
    pub(crate) async fn connect(&self, patience: Duration) -> Result<Socket, Error> {
        if let Some(path) = self.private_path()? {
            let socket = within(patience.min(SOCKET_PATIENCE), connect_socket(path)).await?;
            return Ok(Socket::Unix(socket));
        }
        let tcp = within(patience, TcpStream::connect(self.port)).await?;
        tcp.set_nodelay(true).map_err(Error::Connect)?;
        Ok(Socket::Tcp(tcp))
    }

    /// The socket's path, if it is to be used. A link is not followed: it could lead to somebody else. The
    /// look takes no longer than opening the socket does.
    fn private_path(&self) -> Result<Option<&Path>, Error> {
        let Some(path) = self.socket.as_deref() else { return Ok(None) };
        let is_there = fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
        if is_there {
            self.has_socket.store(true, Ordering::Relaxed);
            return Ok(Some(path));
        }
        if self.is_private() { Err(Error::Connect(io::ErrorKind::NotFound.into())) } else { Ok(None) }
    }
}

async fn within<T>(patience: Duration, connecting: impl Future<Output = io::Result<T>>) -> Result<T, Error> {
    tokio::time::timeout(patience, connecting).await.map_err(|_| Error::TimedOut)?.map_err(Error::Connect)
}

/// The system does not let a caller wait for room in a socket's queue.
async fn connect_socket(path: &Path) -> io::Result<UnixStream> {
    loop {
        match UnixStream::connect(path).await {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => tokio::time::sleep(QUEUE_PAUSE).await,
            outcome => return outcome,
        }
    }
}
