//! Coming in by a link that is good for a while, so many times.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use remotelab_config::InstancePaths;
use remotelab_config::guest_links::{GuestLinks, LinkFile};
use remotelab_store::logins::Login;
use serde_json::Value;

use super::Auth;
use crate::clock::now_ms;
use crate::outside::Outside;

/// The field of a login that names the link it came by.
const LINK: &str = "link";
/// How long it is good enough to know which links there are.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What became of a presented link.
#[derive(Debug)]
pub(crate) enum Entry {
    /// The value of a `Set-Cookie` header for the new login.
    Granted(String),
    /// Unknown, used up, expired or revoked: nobody is told which.
    Ended,
    /// This client has presented too many that were none.
    LockedOut,
    /// The login could not be stored.
    Failed,
}

/// The links, read anew a moment after their file changes: a revoked one signs its people out.
#[derive(Debug)]
pub(crate) struct Links {
    file: LinkFile,
    seen: Mutex<Option<(Instant, Arc<GuestLinks>)>>,
}

impl Links {
    pub(super) fn open(paths: &InstancePaths) -> Self {
        Self { file: LinkFile::in_folder(paths.config()), seen: Mutex::default() }
    }

    /// Tells whether a login may go on: one that came by a link ends with it.
    pub(super) fn admit(&self, login: &Login) -> bool {
        let Some(id) = login.rest.get(LINK).and_then(Value::as_str) else { return true };
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let is_fresh = seen.as_ref().is_some_and(|(at, _)| at.elapsed() < LOOK_EVERY);
        if !is_fresh {
            // A file that cannot be read lets nobody in who came by it.
            let links = self.file.load().inspect_err(|error| tracing::error!(%error, "no links can be read"));
            *seen = Some((Instant::now(), Arc::new(links.unwrap_or_default())));
        }
        seen.as_ref().is_some_and(|(_, links)| links.has(id))
    }
}

impl Auth {
    /// Tells whether a link lets somebody in. It uses nothing up. Blocks.
    pub(crate) fn is_good_link(&self, presented: &str) -> bool {
        let links = self.links.file.load().unwrap_or_default();
        links.find(presented).is_some_and(|link| link.state(Timestamp::now()) == "good")
    }

    /// Lets somebody in by a link, and counts that. Blocks.
    pub(crate) fn enter(&self, presented: &str, outside: &Outside) -> Entry {
        let client = outside.client.as_str();
        if self.lockout().is_locked(client, now_ms()) {
            return Entry::LockedOut;
        }
        let entered = match self.links.file.enter(presented, Timestamp::now()) {
            Ok(entered) => entered,
            Err(error) => {
                tracing::error!(%error, "a link cannot be counted");
                return Entry::Failed;
            }
        };
        let Some(link) = entered else {
            self.lockout().failed(client, now_ms());
            return Entry::Ended;
        };
        match self.logins.create_with(now_ms() + self.expiry_ms(), LINK, link.id.into()) {
            Ok(cookie) => Entry::Granted(self.login_cookie(&cookie.reveal())),
            Err(error) => {
                tracing::error!(%error, "cannot store a login");
                Entry::Failed
            }
        }
    }
}
