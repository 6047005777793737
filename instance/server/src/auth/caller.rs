//! Whom a request was let in for, remembered by connections that stay open.

use remotelab_config::api_tokens::ApiToken;

use super::Auth;
use crate::clock::now_ms;

/// Whom a request was let in for.
#[derive(Clone, Debug)]
pub(crate) enum Caller {
    /// A login, by the request's cookies.
    Login { cookies: String },
    /// A scoped token, by its id.
    Token { id: String },
}

/// What became of a presented token.
#[derive(Debug)]
pub(crate) enum Presented {
    Known(ApiToken),
    Unknown,
    /// Unknown, and not the first one.
    LockedOut,
}

impl Auth {
    /// Checks a scoped token. A wrong one is a failed sign-in of its client; a right one passes even while
    /// the client is locked out, as a login does, and is no proof that the failures were somebody else's.
    /// Blocks.
    pub(crate) fn bearer(&self, presented: &str, client: &str) -> Presented {
        if let Some(token) = self.bearers.find(presented) {
            return Presented::Known(token);
        }
        let mut lockout = self.lockout();
        if lockout.is_locked(client, now_ms()) {
            return Presented::LockedOut;
        }
        lockout.failed(client, now_ms());
        Presented::Unknown
    }

    /// Tells whether a caller would still be let in. Blocks.
    pub(crate) fn admits(&self, caller: &Caller) -> bool {
        match caller {
            Caller::Login { cookies } => self.owner(cookies).is_some(),
            Caller::Token { id } => self.bearers.has(id),
        }
    }
}
