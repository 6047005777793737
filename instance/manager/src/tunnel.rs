//! The owner's Cloudflare tunnel: which host names lead to this machine, and where to on it.
//!
//! The settings of `cloudflared` belong to the operator, who may edit them by hand. They are changed line by line,
//! so that everything else in them stays as it is, comments included, and what is not understood is not changed.

mod client;
mod cloudflare;
mod dns;
mod doctor;
mod document;
mod file;
mod scalar;

use std::io;
use std::path::{Path, PathBuf};

use remotelab_config::atomic;

pub use client::restart as restart_client;
pub use cloudflare::Error as CloudflareError;
pub use dns::{Dns, Error as DnsError, Outcome};
pub use doctor::{Finding, examine};
pub use document::{Document, Rule};
pub use file::Settings;

/// Why the settings of a tunnel were not used or changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file.
    #[error(transparent)]
    File(#[from] atomic::Error),
    /// It is written in a way that cannot be changed without harm.
    #[error("{} is written in a way that is not understood: {reason}", path.display())]
    Odd {
        /// The file.
        path: PathBuf,
        /// What is not understood.
        reason: String,
    },
    /// `cloudflared` would not take it.
    #[error("cloudflared would not take the settings of the tunnel: {0}")]
    Invalid(String),
    /// Somebody is editing it.
    #[error("{} was changed by somebody else at the same time", .0.display())]
    Changed(PathBuf),
    /// Another command changes it.
    #[error("another command changes the tunnel")]
    Busy,
    /// The client could not be called.
    #[error("the tunnel's client cannot be started anew")]
    Client(#[source] io::Error),
}

/// An error with its cause on one line.
pub(crate) fn told(error: &dyn std::error::Error) -> String {
    let cause = error.source().map(|cause| format!(": {cause}"));
    format!("{error}{}", cause.unwrap_or_default())
}

/// Where the settings are, if there are any.
#[must_use]
pub fn find(home: &Path) -> Option<PathBuf> {
    let own = home.join(".cloudflared/config.yml");
    own.exists().then_some(own)
}
