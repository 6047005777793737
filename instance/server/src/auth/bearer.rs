//! Connectors, who send a scoped token with every request instead of signing in.

use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use jiff::Timestamp;
use remotelab_config::InstancePaths;
use remotelab_config::api_tokens::{ApiToken, ApiTokens, TokenFile};

/// The scoped tokens, read anew when their file changes: a revoked one is refused at once.
#[derive(Debug)]
pub(crate) struct Bearers {
    file: TokenFile,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    stamp: Option<Stamp>,
    tokens: Arc<ApiTokens>,
}

/// What tells one version of the file from the next. It is replaced, never written in place.
#[derive(Debug, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    length: u64,
    modified: Option<SystemTime>,
}

impl Bearers {
    pub(super) fn open(paths: &InstancePaths) -> Self {
        Self { file: TokenFile::in_folder(paths.config()), seen: Mutex::default() }
    }

    /// The file, to list and to change.
    pub(crate) fn file(&self) -> &TokenFile {
        &self.file
    }

    /// Returns the token that somebody presents. Blocks.
    pub(super) fn find(&self, presented: &str) -> Option<ApiToken> {
        let now = Timestamp::now();
        let token = self.current().find(presented, now)?.clone();
        if let Err(error) = self.file.note_use(&token, now) {
            tracing::warn!(%error, "cannot note that a token was used");
        }
        Some(token)
    }

    /// Tells whether a token is still good. Blocks.
    pub(super) fn has(&self, id: &str) -> bool {
        self.current().has(id, Timestamp::now())
    }

    fn current(&self) -> Arc<ApiTokens> {
        let stamp = self.file.path().metadata().ok().map(|file| Stamp {
            inode: file.ino(),
            length: file.len(),
            modified: file.modified().ok(),
        });
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if stamp.is_none() || seen.stamp != stamp {
            // Read after it was stamped: a version that came in between is read again next time.
            let tokens = self.file.load().unwrap_or_else(|error| {
                tracing::error!(%error, "no token is accepted");
                ApiTokens::default()
            });
            *seen = Seen { stamp, tokens: Arc::new(tokens) };
        }
        Arc::clone(&seen.tokens)
    }
}

/// Returns what a request presents as `Authorization: Bearer …` (RFC 6750 §2.1), even when it is no token.
pub(crate) fn presented(headers: &HeaderMap) -> Option<String> {
    headers.get_all(AUTHORIZATION).iter().find_map(|value| {
        let value = String::from_utf8_lossy(value.as_bytes());
        // The space behind an empty token does not survive the way here.
        let (scheme, token) = value.trim().split_once(' ').unwrap_or((value.trim(), ""));
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_bearer_scheme_counts() {
        for (value, expected) in [
            ("Bearer rlt_1", Some("rlt_1")),
            ("bearer  rlt_1 ", Some("rlt_1")),
            ("Bearer", Some("")),
            ("Basic rlt_1", None),
            ("", None),
        ] {
            let headers = [(AUTHORIZATION, value.parse().unwrap())].into_iter().collect();
            assert_eq!(presented(&headers).as_deref(), expected, "{value}");
        }
        assert_eq!(presented(&HeaderMap::new()), None);
    }
}
