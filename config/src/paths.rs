//! Every documented path as a method.

use std::path::{Path, PathBuf};

use crate::{Env, InstanceName};

/// The folders of one instance, owner or guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstancePaths {
    config: PathBuf,
    memory: PathBuf,
}

impl InstancePaths {
    /// Applies the overrides `REMOTELAB_CONFIG_DIR`, `REMOTELAB_MEMORY_DIR` and
    /// `REMOTELAB_INSTANCE_ROOT`; without them the owner's folders below the home folder.
    #[must_use]
    pub fn from_env(env: &Env, home: &Path) -> Self {
        let given = |key| env.get(key).map(|text| expand(text, home));
        let root = given("REMOTELAB_INSTANCE_ROOT");
        let below_root = |name: &str| root.as_ref().map(|root| root.join(name));
        Self {
            config: given("REMOTELAB_CONFIG_DIR")
                .or_else(|| below_root("config"))
                .unwrap_or_else(|| home.join(".config/remotelab")),
            memory: given("REMOTELAB_MEMORY_DIR")
                .or_else(|| below_root("memory"))
                .unwrap_or_else(|| home.join(".remotelab/memory")),
        }
    }

    /// Returns the folders of an instance whose root is known.
    #[must_use]
    pub fn below(root: &Path) -> Self {
        Self { config: root.join("config"), memory: root.join("memory") }
    }

    /// Takes the two folders as they are.
    #[must_use]
    pub fn new(config: PathBuf, memory: PathBuf) -> Self {
        Self { config, memory }
    }

    /// The configuration and data folder.
    #[must_use]
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// The memory folder, written by executors.
    #[must_use]
    pub fn memory(&self) -> &Path {
        &self.memory
    }

    /// Owner token, optional login.
    #[must_use]
    pub fn auth(&self) -> PathBuf {
        self.config.join("auth.json")
    }

    /// Login sessions.
    #[must_use]
    pub fn auth_sessions(&self) -> PathBuf {
        self.config.join("auth-sessions.json")
    }

    /// Logins on their way into an installed app.
    #[must_use]
    pub fn install_handoffs(&self) -> PathBuf {
        self.config.join("install-handoffs.json")
    }

    /// Names the instance, so that nobody sends its token to another one.
    #[must_use]
    pub fn instance_id(&self) -> PathBuf {
        self.config.join("instance-id")
    }

    /// What the tokens of runs are made with, and what they allow.
    #[must_use]
    pub fn run_tokens(&self) -> PathBuf {
        self.config.join("run-tokens.json")
    }

    /// The key with which the gateway vouches for its headers towards this instance.
    #[must_use]
    pub fn gateway_secret(&self) -> PathBuf {
        self.config.join("gateway-secret")
    }

    /// Where the chat server listens beside its port, for the gateway alone.
    #[must_use]
    pub fn chat_socket(&self) -> PathBuf {
        self.config.join("run/chat.sock")
    }

    /// Held by the one server that may write here.
    #[must_use]
    pub fn server_lock(&self) -> PathBuf {
        self.config.join("run/chat.lock")
    }

    /// All sessions in one file: read at start, kept as an export.
    #[must_use]
    pub fn chat_sessions(&self) -> PathBuf {
        self.config.join("chat-sessions.json")
    }

    /// One folder per session.
    #[must_use]
    pub fn chat_history(&self) -> PathBuf {
        self.config.join("chat-history")
    }

    /// One folder per run.
    #[must_use]
    pub fn chat_runs(&self) -> PathBuf {
        self.config.join("chat-runs")
    }

    /// Uploaded media.
    #[must_use]
    pub fn images(&self) -> PathBuf {
        self.config.join("images")
    }

    /// Records of file assets.
    #[must_use]
    pub fn file_assets(&self) -> PathBuf {
        self.config.join("file-assets")
    }

    /// The bytes of file assets that are kept here.
    #[must_use]
    pub fn file_asset_objects(&self) -> PathBuf {
        self.config.join("file-assets/objects")
    }

    /// Copies of file assets that are kept in an object storage.
    #[must_use]
    pub fn file_assets_cache(&self) -> PathBuf {
        self.config.join("file-assets-cache")
    }

    /// Custom tools.
    #[must_use]
    pub fn tools(&self) -> PathBuf {
        self.config.join("tools.json")
    }

    /// Apps and templates.
    #[must_use]
    pub fn apps(&self) -> PathBuf {
        self.config.join("apps.json")
    }

    /// The executor that the owner picked last.
    #[must_use]
    pub fn runtime_selection(&self) -> PathBuf {
        self.config.join("ui-runtime-selection.json")
    }

    /// The Codex home that runs of this instance use.
    #[must_use]
    pub fn managed_codex_home(&self) -> PathBuf {
        self.config.join("provider-runtime-homes/codex")
    }

    /// How runs find this program.
    #[must_use]
    pub fn program(&self) -> PathBuf {
        self.config.join("program")
    }

    /// The request log, one file a day.
    #[must_use]
    pub fn api_logs(&self) -> PathBuf {
        self.config.join("api-logs")
    }

    /// The mailbox of this instance.
    #[must_use]
    pub fn mailbox(&self) -> PathBuf {
        self.config.join("agent-mailbox")
    }
}

/// The operator's folders: the owner instance, the registry and the guests' homes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnerPaths {
    home: PathBuf,
    instance: InstancePaths,
}

impl OwnerPaths {
    /// Resolves the owner's folders from the environment and the home folder.
    #[must_use]
    pub fn from_env(env: &Env, home: &Path) -> Self {
        Self { home: home.to_owned(), instance: InstancePaths::from_env(env, home) }
    }

    /// The operator's home folder.
    #[must_use]
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// The owner instance's folders.
    #[must_use]
    pub fn instance(&self) -> &InstancePaths {
        &self.instance
    }

    /// The list of guests.
    #[must_use]
    pub fn registry(&self) -> PathBuf {
        self.instance.config().join("guest-instances.json")
    }

    /// Base addresses for new guests.
    #[must_use]
    pub fn guest_defaults(&self) -> PathBuf {
        self.instance.config().join("guest-instance-defaults.json")
    }

    /// Settings of the front door.
    #[must_use]
    pub fn gateway_settings(&self) -> PathBuf {
        self.instance.config().join("gateway.toml")
    }

    /// Sockets, locks and state of running processes.
    #[must_use]
    pub fn runtime(&self) -> PathBuf {
        self.instance.config().join("run")
    }

    /// The supervisor's control socket.
    #[must_use]
    pub fn supervisor_socket(&self) -> PathBuf {
        self.runtime().join("supervisor.sock")
    }

    /// The gateway's control socket.
    #[must_use]
    pub fn gateway_socket(&self) -> PathBuf {
        self.runtime().join("gateway.sock")
    }

    /// Log files of the processes that the supervisor starts.
    #[must_use]
    pub fn logs(&self) -> PathBuf {
        self.instance.config().join("logs")
    }

    /// What is left of deleted guests, until it is restored or emptied.
    #[must_use]
    pub fn trash(&self) -> PathBuf {
        self.home.join(".remotelab/trash")
    }

    /// The default root of a guest: `~/.remotelab/instances/<name>`.
    #[must_use]
    pub fn guest_root(&self, name: &InstanceName) -> PathBuf {
        self.home.join(".remotelab/instances").join(name.as_str())
    }
}

/// Expands `~` and `~/…` and makes the rest absolute against the home folder.
#[must_use]
pub fn expand(text: &str, home: &Path) -> PathBuf {
    match text.strip_prefix('~') {
        Some("") => home.to_owned(),
        Some(rest) if rest.starts_with('/') => home.join(rest.trim_start_matches('/')),
        _ => std::path::absolute(text).unwrap_or_else(|_| home.join(text)),
    }
}

/// Writes a path for people: the home folder as `~`, the reverse of [`expand`].
#[must_use]
pub fn shorten(path: &Path, home: &Path) -> String {
    match path.strip_prefix(home) {
        Ok(rest) if rest.as_os_str().is_empty() => "~".to_owned(),
        Ok(rest) => format!("~/{}", rest.display()),
        Err(_) => path.display().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(pairs: &[(&str, &str)]) -> (PathBuf, PathBuf) {
        let env = pairs.iter().copied().collect();
        let paths = InstancePaths::from_env(&env, Path::new("/home/op"));
        (paths.config, paths.memory)
    }

    #[test]
    fn the_home_folder_is_shortened_and_expanded() {
        let home = Path::new("/home/op");
        for (path, short) in [("/home/op", "~"), ("/home/op/a/b", "~/a/b"), ("/home/other", "/home/other")] {
            assert_eq!(shorten(Path::new(path), home), short);
            assert_eq!(expand(short, home), Path::new(path));
        }
    }

    #[test]
    fn overrides_follow_the_documented_order() {
        let expect = |config: &str, memory: &str| (PathBuf::from(config), PathBuf::from(memory));
        assert_eq!(paths(&[]), expect("/home/op/.config/remotelab", "/home/op/.remotelab/memory"));
        assert_eq!(
            paths(&[("REMOTELAB_INSTANCE_ROOT", "~/x")]),
            expect("/home/op/x/config", "/home/op/x/memory")
        );
        assert_eq!(
            paths(&[("REMOTELAB_INSTANCE_ROOT", "/r"), ("REMOTELAB_CONFIG_DIR", "/c")]),
            expect("/c", "/r/memory")
        );
        assert_eq!(paths(&[("REMOTELAB_MEMORY_DIR", "~")]), expect("/home/op/.config/remotelab", "/home/op"));
    }
}
