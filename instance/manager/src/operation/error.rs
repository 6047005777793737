//! Why a step, or the writing down of one, failed.

use remotelab_config::{InstanceName, atomic, auth, registry};

use crate::{control, tunnel};

/// The reason.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The registry.
    #[error("the list of guests cannot be used")]
    Registry(#[from] registry::Error),
    /// A file or folder.
    #[error(transparent)]
    File(#[from] atomic::Error),
    /// The guest's token.
    #[error(transparent)]
    Auth(#[from] auth::Error),
    /// What keeps guests running.
    #[error(transparent)]
    Service(#[from] control::Error),
    /// The tunnel.
    #[error(transparent)]
    Tunnel(Box<tunnel::Error>),
    /// The names that lead to it.
    #[error(transparent)]
    Dns(Box<tunnel::DnsError>),
    /// The record is gone.
    #[error("{0} was removed by another command meanwhile")]
    Vanished(InstanceName),
    /// Another guest has the name.
    #[error("there is a guest {0} already")]
    Taken(InstanceName),
    /// Something works on the guest's files.
    #[error("{0} is in use: {1}")]
    InUse(InstanceName, &'static str),
    /// It runs, but not as it should.
    #[error("{0} does not answer: {1}")]
    Unhealthy(InstanceName, String),
    /// Another command is changing the guest.
    #[error("another command is at work on {0}")]
    Busy(InstanceName),
    /// An operation that was cut off stands in the way.
    #[error("what another command has begun with {0} is not finished")]
    Unfinished(InstanceName),
}

impl From<tunnel::Error> for Error {
    fn from(error: tunnel::Error) -> Self {
        Self::Tunnel(Box::new(error))
    }
}

impl From<tunnel::DnsError> for Error {
    fn from(error: tunnel::DnsError) -> Self {
        Self::Dns(Box::new(error))
    }
}
