//! Whom a request was let in for, remembered by connections that stay open.

use remotelab_config::api_tokens::ApiToken;
use remotelab_config::run_tokens::RunScope;
use remotelab_config::secret::Secret;
use remotelab_protocol::{RunId, SessionId};

use super::Auth;
use crate::app::App;
use crate::clock::now_ms;
use crate::outside::Outside;

/// Whom a request was let in for.
#[derive(Clone, Debug)]
pub(crate) enum Caller {
    /// A login, by the request's cookies.
    Login { cookies: String },
    /// The owner, by the token itself.
    Owner { token: Secret },
    /// A scoped token, by its id.
    Token { id: String },
    /// A run that is under way.
    Run(OfRun),
}

/// A run that calls the server it was started by.
#[derive(Clone, Debug)]
pub(crate) struct OfRun {
    pub(crate) run: RunId,
    pub(crate) session: SessionId,
    pub(crate) scope: RunScope,
}

/// What became of a presented token.
#[derive(Debug)]
pub(crate) enum Presented {
    Known(ApiToken),
    Owner(Secret),
    /// The token of a run, which may be over.
    Run(RunId),
    Unknown,
    /// Unknown, and not the first one.
    LockedOut,
}

impl Auth {
    /// Checks a token that came with a request. A wrong one is a failed sign-in of its client; a right scoped one
    /// passes even while the client is locked out, as a login does, and no right one is proof that the failures
    /// were somebody else's. Blocks.
    pub(crate) fn bearer(&self, presented: &str, outside: &Outside) -> Presented {
        if let Some(token) = self.bearers.find(presented) {
            return Presented::Known(token);
        }
        if let Some(run) = self.run_tokens.run_of(presented).and_then(|run| RunId::parse(run).ok()) {
            return Presented::Run(run);
        }
        let is_locked = self.lockout().is_locked(&outside.client, now_ms());
        if (!is_locked || outside.is_local)
            && let Ok(token) = Secret::parse(presented)
            && self.is_owners(presented)
        {
            return Presented::Owner(token);
        }
        if is_locked {
            return Presented::LockedOut;
        }
        self.lockout().failed(&outside.client, now_ms());
        Presented::Unknown
    }
}

impl App {
    /// Tells whether a caller would still be let in. Blocks.
    pub(crate) fn admits(&self, caller: &Caller) -> bool {
        match caller {
            Caller::Login { cookies } => self.auth.owner(cookies).is_some(),
            Caller::Owner { token } => self.auth.is_owners(&token.reveal()),
            Caller::Token { id } => self.auth.bearers.has(id),
            Caller::Run(of) => self.under_way(&of.run).is_some(),
        }
    }
}
