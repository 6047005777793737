//! Writing letters into a folder: for a machine without a way out, and for tests.

use std::path::Path;

use remotelab_config::atomic;

use super::Dispatch;
use crate::settings::Outbound;
use crate::state::{Attempt, Failure};

/// The same letter is the same file.
pub(super) async fn send(outbound: &Outbound, dispatch: &Dispatch<'_>) -> Attempt {
    let bytes = match dispatch.letter.to_bytes(dispatch.unix_seconds, dispatch.files) {
        Ok(bytes) => bytes,
        Err(error) => return Attempt::Permanent(Failure { code: 0, text: error.to_string() }),
    };
    let path = Path::new(&outbound.path).join(format!("{}.eml", dispatch.id));
    let shown = path.display().to_string();
    let written = tokio::task::spawn_blocking(move || {
        if let Some(folder) = path.parent() {
            atomic::create_private_dir(folder)?;
        }
        atomic::write_private(&path, &bytes)
    });
    match written.await {
        Ok(Ok(())) => Attempt::Accepted(format!("0 {shown}")),
        Ok(Err(error)) => Attempt::Transient(Failure { code: 0, text: error.to_string() }),
        Err(_) => Attempt::Transient(Failure { code: 0, text: "the writing was cut off".to_owned() }),
    }
}
