//! Who may come in.

use remotelab_config::atomic;
use remotelab_config::auth::{self, Auth};
use remotelab_config::lock::FileLock;
use remotelab_config::registry::Record;
use remotelab_config::secret::Secret;

use super::Error;

/// Replaces the token and keeps everything else in the file. A damaged file is replaced whole: what can be
/// wrong in it is the token.
pub(super) fn new_token(record: &Record) -> Result<(), Error> {
    let file = record.auth_path();
    let mut auth = match Auth::load(&file) {
        Err(auth::Error::Missing(_) | auth::Error::BadToken(_)) => Auth::generate(),
        outcome => outcome?,
    };
    auth.token = Secret::random();
    Ok(auth.save(&file)?)
}

/// Forgets all logins.
pub(super) fn sign_out(record: &Record) -> Result<(), Error> {
    let paths = record.paths();
    // A server that somebody else runs would write them again.
    let _stopped = FileLock::try_acquire(&paths.server_lock())
        .map_err(|_| Error::InUse(record.name.clone(), "its chat server still runs"))?;
    for file in [paths.auth_sessions(), paths.install_handoffs()] {
        if file.exists() {
            atomic::write_private(&file, b"{}\n")?;
        }
    }
    Ok(())
}
