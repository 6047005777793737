//! What must hold before the first child is started.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{fs, io, thread};

use remotelab_config::auth::Auth;
use remotelab_config::lock::{self, FileLock};
use remotelab_config::secret::Secret;
use remotelab_config::{InstancePaths, OwnerPaths, atomic, auth};

use super::{Listen, Options};

/// How long the children of a supervisor that was just killed may take to let go of a port.
const PATIENCE: Duration = Duration::from_secs(3);

const PAUSE: Duration = Duration::from_millis(20);

/// Why nothing was started.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another supervisor holds these folders.
    #[error("RemoteLab is already up for {}", .0.display())]
    AlreadyUp(PathBuf),
    /// A folder or a file cannot be written.
    #[error(transparent)]
    File(#[from] atomic::Error),
    /// The owner's token cannot be made.
    #[error(transparent)]
    Auth(#[from] auth::Error),
    /// Somebody else listens where a child should.
    #[error(
        "port {} for the {user} is in use by another program; free it, or choose another one with {setting}",
        address.port()
    )]
    PortTaken {
        /// The address.
        address: SocketAddr,
        /// Which child needs it.
        user: &'static str,
        /// Where it can be changed.
        setting: &'static str,
    },
    /// The address cannot be listened on at all.
    #[error("the {user} cannot listen on {address}; choose another address with {setting}")]
    BadAddress {
        /// The address.
        address: SocketAddr,
        /// Which child needs it.
        user: &'static str,
        /// Where it can be changed.
        setting: &'static str,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// A chat server that nobody supervises works on the owner's files.
    #[error("another chat server is using {}; stop it first", .0.display())]
    InstanceInUse(PathBuf),
    /// The control socket cannot be made.
    #[error("cannot listen on {}", path.display())]
    ControlSocket {
        /// The socket.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// No thread can be started for the logs.
    #[error("cannot start the thread that writes the logs")]
    LogThread(#[source] io::Error),
}

/// What the check leaves behind.
pub(super) struct Ready {
    /// Held as long as the supervisor lives.
    pub(super) lock: FileLock,
    /// The owner's token, or why there is none.
    pub(super) auth: Result<Auth, auth::Error>,
}

/// Makes what a first start needs and checks the rest. Blocks for up to three seconds.
pub(super) fn check(options: &Options) -> Result<Ready, Error> {
    let paths = &options.paths;
    for folder in [
        paths.instance().config().to_owned(),
        paths.instance().memory().to_owned(),
        paths.runtime(),
        paths.logs(),
    ] {
        atomic::create_private_dir(&folder)?;
        make_private(&folder)?;
        prove_writable(&folder)?;
    }
    let lock = lock(paths)?;
    make_secrets(paths.instance())?;
    let deadline = Instant::now() + PATIENCE;
    for listen in &options.listens {
        wait_for_port(listen, deadline)?;
    }
    wait_for_instance(paths, deadline)?;
    Ok(Ready { lock, auth: Auth::load(&paths.instance().auth()) })
}

fn lock(paths: &OwnerPaths) -> Result<FileLock, Error> {
    FileLock::try_acquire(&paths.runtime().join("up.lock")).map_err(|error| match error {
        lock::Error::Held(_) => Error::AlreadyUp(paths.instance().config().to_owned()),
        lock::Error::File(error) => Error::File(error),
    })
}

/// Closes a folder that an older version left open to other users.
fn make_private(folder: &Path) -> Result<(), Error> {
    let cannot = |source| atomic::Error::new("protect", folder, source);
    let mode = fs::metadata(folder).map_err(cannot)?.permissions().mode();
    if mode & 0o077 != 0 {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).map_err(cannot)?;
    }
    Ok(())
}

fn prove_writable(folder: &Path) -> Result<(), Error> {
    let proof = folder.join(".writable");
    atomic::write_private(&proof, b"")?;
    fs::remove_file(&proof).map_err(|source| atomic::Error::new("remove", &proof, source))?;
    Ok(())
}

/// Makes the owner's token and the key with which the gateway vouches for its headers, where missing.
/// A damaged file is left alone: it is the owner instance's trouble and nobody else's.
fn make_secrets(owner: &InstancePaths) -> Result<(), Error> {
    if !owner.auth().exists() {
        Auth::generate().save(&owner.auth())?;
    }
    if !owner.gateway_secret().exists() {
        let secret = Secret::random().reveal();
        atomic::write_private(&owner.gateway_secret(), secret.as_bytes())?;
    }
    Ok(())
}

fn wait_for_port(listen: &Listen, deadline: Instant) -> Result<(), Error> {
    let Listen { address, user, setting } = *listen;
    loop {
        match TcpListener::bind(address) {
            Ok(_) => return Ok(()),
            // Some come after the start; whoever listens waits for them.
            Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => return Ok(()),
            Err(error) if error.kind() != io::ErrorKind::AddrInUse => {
                return Err(Error::BadAddress { address, user, setting, source: error });
            }
            Err(_) if Instant::now() >= deadline => {
                return Err(Error::PortTaken { address, user, setting });
            }
            Err(_) => thread::sleep(PAUSE),
        }
    }
}

fn wait_for_instance(paths: &OwnerPaths, deadline: Instant) -> Result<(), Error> {
    let lock = paths.instance().server_lock();
    while FileLock::is_held(&lock).map_err(|source| atomic::Error::new("read", &lock, source))? {
        if Instant::now() >= deadline {
            return Err(Error::InstanceInUse(paths.instance().config().to_owned()));
        }
        thread::sleep(PAUSE);
    }
    Ok(())
}
