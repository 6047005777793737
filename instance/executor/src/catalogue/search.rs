//! Where programs are looked for.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use remotelab_config::{Env, paths};

/// Folders in which user installs of executors end up, below the home folder.
const BELOW_HOME: &[&str] = &[
    ".local/bin",
    ".npm-global/bin",
    ".claude/local",
    ".volta/bin",
    ".bun/bin",
    ".local/share/pnpm",
    ".cargo/bin",
];

const OF_THE_SYSTEM: &[&str] = &["/usr/local/bin", "/opt/homebrew/bin", "/usr/bin", "/bin"];

/// Folders in order of preference, without doubles.
#[derive(Clone, Debug)]
pub(super) struct SearchPath {
    folders: Vec<PathBuf>,
    home: PathBuf,
}

impl SearchPath {
    /// Takes the `PATH` of the environment, then the usual places that a service's `PATH` lacks.
    pub(super) fn new(env: &Env, home: &Path) -> Self {
        let given = std::env::split_paths(env.get("PATH").unwrap_or_default());
        let npm = ["npm_config_prefix", "NPM_CONFIG_PREFIX"]
            .into_iter()
            .filter_map(|key| Some(Path::new(env.get(key)?).join("bin")));
        let folders = given
            .chain(npm)
            .chain(env.get("PNPM_HOME").map(PathBuf::from))
            .chain(BELOW_HOME.iter().map(|folder| home.join(folder)))
            .chain(node_versions(home))
            .chain(OF_THE_SYSTEM.iter().map(PathBuf::from))
            .filter(|folder| folder.is_absolute());
        Self::of(folders.collect(), home)
    }

    /// Takes exactly these folders.
    pub(super) fn of(all: Vec<PathBuf>, home: &Path) -> Self {
        let mut folders = Vec::new();
        for folder in all {
            if !folders.contains(&folder) {
                folders.push(folder);
            }
        }
        Self { folders, home: home.to_owned() }
    }

    /// Puts the folders of another `PATH` first.
    pub(super) fn with_first(&self, path: &str) -> Self {
        let first = std::env::split_paths(path).filter(|folder| folder.is_absolute());
        Self::of(first.chain(self.folders.iter().cloned()).collect(), &self.home)
    }

    /// Finds an executable file.
    pub(super) fn find(&self, command: &str) -> Option<PathBuf> {
        let command = command.trim();
        if command.starts_with('/') || command.starts_with("~/") {
            return Some(paths::expand(command, &self.home)).filter(|path| is_executable(path));
        }
        // A relative path would depend on where the server was started.
        if command.is_empty() || command.contains('/') {
            return None;
        }
        let mut candidates = self.folders.iter().map(|folder| folder.join(command));
        candidates.find(|path| is_executable(path))
    }

    /// Joins the folders as a `PATH`.
    pub(super) fn joined(&self) -> String {
        std::env::join_paths(&self.folders)
            .ok()
            .and_then(|joined| joined.into_string().ok())
            .unwrap_or_default()
    }
}

/// Returns the folders of node versions that nvm keeps, newest names first.
fn node_versions(home: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(home.join(".nvm/versions/node")) else {
        return Vec::new();
    };
    let mut folders: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path().join("bin"))).collect();
    folders.sort_unstable_by(|a, b| b.cmp(a));
    folders
}

fn is_executable(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}
