//! The instance's socket: the gateway's way in.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use remotelab_config::atomic;
use tokio::net::UnixListener;

/// Listens at the socket, for this user only. It takes the place of a dead server's at one stroke, and stays
/// there when this server ends: a gateway that sees it knows not to look for the instance at its port.
///
/// Without it, mostly because a path can be too long for one, the gateway comes by the port.
pub(super) fn bind(path: &Path) -> Option<UnixListener> {
    try_bind(path)
        .inspect_err(|error| {
            tracing::warn!(path = %path.display(), %error, "no socket for the gateway, which uses the port");
        })
        .ok()
}

fn try_bind(path: &Path) -> io::Result<UnixListener> {
    if let Some(folder) = path.parent() {
        atomic::create_private_dir(folder).map_err(|error| error.source)?;
    }
    let fresh = path.with_extension("new");
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&fresh)?;
    fs::set_permissions(&fresh, fs::Permissions::from_mode(0o600))?;
    fs::rename(&fresh, path)?;
    Ok(listener)
}
