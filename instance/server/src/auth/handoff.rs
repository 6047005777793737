//! Moving a login into an installed app, whose cookies are not the browser's.

use remotelab_config::atomic;

use super::Auth;
use crate::clock::now_ms;

/// What became of a presented hand-off.
#[derive(Debug)]
pub(crate) enum Redeemed {
    /// The value of a `Set-Cookie` header for the app's login.
    Granted(String),
    /// Unknown, used or too old.
    Refused,
    /// The login could not be stored.
    Failed,
}

impl Auth {
    /// Makes a hand-off of a login. Blocks.
    pub(crate) fn hand_off(&self, preferred_language: &str) -> Result<String, atomic::Error> {
        self.handoffs.create(preferred_language, now_ms())
    }

    /// Exchanges a hand-off for a login of its own, once. Blocks.
    pub(crate) fn redeem(&self, token: &str) -> Redeemed {
        let opened = self.handoffs.take(token, now_ms()).and_then(|handoff| {
            let Some(handoff) = handoff else { return Ok(None) };
            self.logins.create_speaking(now_ms() + self.expiry_ms(), &handoff.preferred_language).map(Some)
        });
        match opened {
            Ok(Some(cookie)) => Redeemed::Granted(self.login_cookie(&cookie.reveal())),
            Ok(None) => Redeemed::Refused,
            Err(error) => {
                tracing::error!(%error, "a login could not be handed off");
                Redeemed::Failed
            }
        }
    }
}
