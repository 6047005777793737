//! What a runner is to start; `launch.json` in the run's folder.

use std::path::{Path, PathBuf};

use crate::contain::Policy;
use remotelab_config::atomic;
use remotelab_config::limits::Limits;
use serde::{Deserialize, Serialize};

/// A program call. The environment is not part of it: the runner's own is the tool's, so that keys of
/// model providers are never written down.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Launch {
    /// The tool's name, for people.
    pub tool_name: String,
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
    /// Its working folder.
    pub folder: PathBuf,
    /// What it reads; nothing when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stdin: Option<String>,
    /// The Codex home whose session log tells the context's size; only for tools of Codex' family.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub codex_home: Option<PathBuf>,
    /// What it may see and do; everything that the user may when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contain: Option<Policy>,
    /// What the instance's runs may take at a time.
    #[serde(skip_serializing_if = "Limits::is_unset")]
    pub limits: Limits,
    /// The control group where the kernel sees to that, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cgroup: Option<PathBuf>,
    /// Files that the prompt speaks of and that are to be fetched before the program starts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub downloads: Vec<Download>,
}

/// A file that is elsewhere.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Download {
    /// Its name, for people.
    pub name: String,
    /// Where it is; good for a while.
    pub url: String,
    /// Where it is to be.
    pub path: PathBuf,
    /// Its size, when it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
}

impl Launch {
    /// Writes the call into a run's folder, readable by the owner only. Not durable: a run that is not started
    /// yet when the machine crashes gets a new call.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, run_dir: &Path) -> Result<(), atomic::Error> {
        atomic::replace_json(&path(run_dir), self)
    }

    /// Reads the call of a run; `None` when it was never written.
    ///
    /// # Errors
    /// When the file cannot be read or is damaged.
    pub fn read(run_dir: &Path) -> Result<Option<Self>, atomic::Error> {
        atomic::read_json(&path(run_dir))
    }
}

fn path(run_dir: &Path) -> PathBuf {
    run_dir.join("launch.json")
}
