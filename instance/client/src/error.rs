//! Why a call to an instance failed, and whether another one may succeed.

use remotelab_config::auth;
use reqwest::StatusCode;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The client itself cannot work like this.
    #[error("cannot prepare the call: {0}")]
    Setup(String),
    /// The owner token cannot be read.
    #[error("cannot read the owner token")]
    Token(#[from] auth::Error),
    /// The instance does not take the token in its own file.
    #[error("the instance refused its owner token")]
    TokenRefused,
    /// Somebody else answers at the address; nothing secret was sent there.
    #[error("another instance than that of the token answers at the address; nothing was sent to it")]
    OtherInstance,
    /// No connection, or it broke or took too long.
    #[error("cannot {step}: no answer from the instance")]
    Unreachable {
        /// What was being done.
        step: &'static str,
        /// The cause.
        #[source]
        source: reqwest::Error,
    },
    /// The instance said no.
    #[error("cannot {step}: {status}: {message}")]
    Refused {
        /// What was being done.
        step: &'static str,
        /// The status.
        status: StatusCode,
        /// The instance's own words.
        message: String,
    },
    /// The answer is larger than any answer should be.
    #[error("cannot {step}: the answer is larger than {limit} bytes")]
    TooLarge {
        /// What was being done.
        step: &'static str,
        /// The limit.
        limit: usize,
    },
    /// The answer is not what the protocol says.
    #[error("cannot {step}: the answer is not understood")]
    Malformed {
        /// What was being done.
        step: &'static str,
        /// The cause.
        #[source]
        source: serde_json::Error,
    },
}

impl Error {
    /// Tells whether the same call may succeed later without anybody doing anything but start or
    /// repair the instance.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Token(_) | Self::TokenRefused => true,
            // A gateway or another program in the instance's place, say while it starts.
            Self::Malformed { .. } => true,
            Self::Refused { status, .. } => {
                status.is_server_error()
                    || matches!(
                        *status,
                        StatusCode::REQUEST_TIMEOUT
                            | StatusCode::TOO_EARLY
                            | StatusCode::TOO_MANY_REQUESTS
                            | StatusCode::UNAUTHORIZED
                            | StatusCode::FORBIDDEN
                    )
            }
            Self::Setup(_) | Self::OtherInstance | Self::TooLarge { .. } => false,
        }
    }

    /// Returns the status that the instance answered, when it answered one.
    #[must_use]
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }
}
