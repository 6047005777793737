//! The scoped token of a connector on the instance's own machine, which it makes for itself and keeps.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use remotelab_config::api_tokens::{self, Scope, TokenFile};
use remotelab_config::atomic;

/// Where a connector keeps its token, and where the instance knows it from. Everything blocks.
#[derive(Clone, Debug)]
pub struct KeptToken {
    known: TokenFile,
    kept: PathBuf,
    name: String,
}

impl KeptToken {
    /// Names the two places; nothing is read or made before the token is needed. `config` is the instance's
    /// folder with `auth.json`, `kept` a file of the connector's own, `name` what the owner sees in the list.
    #[must_use]
    pub fn new(config: &Path, kept: PathBuf, name: &str) -> Self {
        Self { known: TokenFile::in_folder(config), kept, name: name.to_owned() }
    }

    /// Returns the kept token while the instance knows it, and otherwise makes and keeps a new one.
    pub(crate) fn current(&self) -> Result<String, api_tokens::Error> {
        let now = Timestamp::now();
        if let Some(bytes) = atomic::read(&self.kept)? {
            let kept = String::from_utf8_lossy(&bytes).trim().to_owned();
            if self.known.load()?.find(&kept, now).is_some() {
                return Ok(kept);
            }
        }
        if let Some(folder) = self.kept.parent() {
            atomic::create_private_dir(folder)?;
        }
        let (token, text) = self.known.create(&self.name, Scope::Connector, None, now)?;
        if let Err(error) = atomic::write_private(&self.kept, text.as_bytes()) {
            // Nobody has its text.
            self.known.revoke(&token.id)?;
            return Err(error.into());
        }
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn one_token_is_kept_until_it_is_revoked() {
        let root = tempfile::tempdir().unwrap();
        let kept = root.path().join("own/token");
        let token = KeptToken::new(root.path(), kept.clone(), "mail");
        let first = token.current().unwrap();
        assert_eq!(token.current().unwrap(), first);
        assert_eq!(std::fs::read_to_string(&kept).unwrap(), first);
        assert_eq!(std::fs::metadata(&kept).unwrap().permissions().mode() & 0o777, 0o600);
        let file = TokenFile::in_folder(root.path());
        let listed: Vec<_> =
            file.load().unwrap().list().map(|token| (token.name.clone(), token.id.clone())).collect();
        assert_eq!(listed.len(), 1);
        assert_eq!(listed[0].0, "mail");
        file.revoke(&listed[0].1).unwrap();
        let second = token.current().unwrap();
        assert_ne!(second, first);
        assert_eq!(file.load().unwrap().list().count(), 1);
    }

    #[test]
    fn a_token_that_cannot_be_kept_is_not_left_behind() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("kept")).unwrap();
        let token = KeptToken::new(root.path(), root.path().join("kept"), "mail");
        assert!(token.current().is_err());
        assert_eq!(TokenFile::in_folder(root.path()).load().unwrap().list().count(), 0);
    }
}
