//! How far the runs of an instance are kept to its own files.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::{Env, InstancePaths};

const LEVEL: &str = "REMOTELAB_CONTAIN";
const ISOLATION: &str = "REMOTELAB_CONTAIN_ISOLATION";
const FOLDERS: &str = "REMOTELAB_CONTAIN_FOLDERS";
const PROGRAMS: &str = "REMOTELAB_CONTAIN_PROGRAMS";
const PORTS: &str = "REMOTELAB_CONTAIN_PORTS";

/// Whether runs are contained.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// They see whatever their system user sees.
    #[default]
    Off,
    /// As far as this machine can; what it cannot is told.
    On,
    /// Wholly: a run that cannot be is not begun.
    Require,
}

impl Level {
    /// Reads a word; one that is not known contains, too.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        match text {
            "off" => Self::Off,
            "require" => Self::Require,
            _ => Self::On,
        }
    }

    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::On => "on",
            Self::Require => "require",
        }
    }
}

/// Whether runs get namespaces of their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Isolation {
    /// Where there are any.
    #[default]
    Auto,
    /// Or they are not begun.
    Require,
    /// No.
    Never,
}

impl Isolation {
    /// Reads a word.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        match text {
            "require" => Self::Require,
            "never" => Self::Never,
            _ => Self::Auto,
        }
    }

    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Require => "require",
            Self::Never => "never",
        }
    }

    fn is_auto(&self) -> bool {
        *self == Self::Auto
    }
}

/// What the operator has decided about a guest's runs; part of its record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Containment {
    /// Whether they are contained.
    pub level: Level,
    /// Whether they are in namespaces of their own.
    #[serde(skip_serializing_if = "Isolation::is_auto")]
    pub isolation: Isolation,
    /// Folders outside of its own that they may work in.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub folders: Vec<PathBuf>,
    /// Folders outside of the system's whose programs they may run and whose files they may read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub programs: Vec<PathBuf>,
    /// TCP ports beside the usual ones that they may connect to and listen on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<u16>,
}

impl Containment {
    /// Tells whether nothing was decided, as in records of older versions.
    #[must_use]
    pub fn is_unset(&self) -> bool {
        *self == Self::default()
    }

    /// Reads it from a record. What cannot be read contains.
    ///
    /// # Errors
    /// When it is not even a value.
    pub fn lenient<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Ok(serde_json::from_value(value).unwrap_or(Self { level: Level::On, ..Self::default() }))
    }

    /// Reads it from a server's environment.
    #[must_use]
    pub fn from_env(env: &Env) -> Self {
        let paths = |key| {
            let list = env.get(key).unwrap_or_default().split(':').map(PathBuf::from);
            list.filter(|path| path.is_absolute()).collect()
        };
        let ports = env.get(PORTS).unwrap_or_default().split(',');
        Self {
            level: env.get(LEVEL).map(Level::parse).unwrap_or_default(),
            isolation: env.get(ISOLATION).map(Isolation::parse).unwrap_or_default(),
            folders: paths(FOLDERS),
            programs: paths(PROGRAMS),
            ports: ports.filter_map(|port| port.trim().parse().ok()).filter(|&port| port != 0).collect(),
        }
    }

    /// Says it in a server's environment.
    #[must_use]
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        if self.level == Level::Off {
            return Vec::new();
        }
        let paths = |paths: &[PathBuf]| {
            let paths: Vec<_> = paths.iter().map(|path| path.to_string_lossy()).collect();
            paths.join(":")
        };
        let ports: Vec<_> = self.ports.iter().map(u16::to_string).collect();
        let isolation = if self.isolation.is_auto() { "" } else { self.isolation.as_str() };
        let all = [
            (LEVEL, self.level.as_str().to_owned()),
            (ISOLATION, isolation.to_owned()),
            (FOLDERS, paths(&self.folders)),
            (PROGRAMS, paths(&self.programs)),
            (PORTS, ports.join(",")),
        ];
        all.into_iter().filter(|(_, value)| !value.is_empty()).collect()
    }
}

/// An instance whose runs are contained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contained {
    /// Its root.
    pub root: PathBuf,
    /// What was decided.
    pub containment: Containment,
}

impl Contained {
    /// Where sessions work: the home folder of executors, so that `~` means the same to everybody.
    #[must_use]
    pub fn workspace(&self) -> PathBuf {
        self.root.join("workspace")
    }

    /// Where executors put temporary files.
    #[must_use]
    pub fn temporary(&self) -> PathBuf {
        self.root.join("tmp")
    }

    /// The folders that runs may work in. None of them can be replaced from within another.
    #[must_use]
    pub fn grounds(&self, paths: &InstancePaths) -> Vec<PathBuf> {
        let own = [self.workspace(), self.temporary(), paths.memory().to_owned()];
        own.into_iter().chain(self.containment.folders.iter().cloned()).collect()
    }

    /// Tells whether a path, with all links followed, is in a folder that runs may work in. Blocks.
    #[must_use]
    pub fn covers(&self, paths: &InstancePaths, path: &Path) -> bool {
        let Ok(path) = path.canonicalize() else { return false };
        let grounds = self.grounds(paths);
        grounds.iter().filter_map(|ground| ground.canonicalize().ok()).any(|ground| path.starts_with(ground))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_a_record_says_arrives_at_the_server() {
        let decided = Containment {
            level: Level::Require,
            isolation: Isolation::Require,
            folders: vec!["/srv/shared".into(), "/data".into()],
            programs: vec!["/home/op/.nvm".into()],
            ports: vec![5432, 8080],
        };
        let env: Env = decided.variables().into_iter().collect();
        assert_eq!(Containment::from_env(&env), decided);
        assert_eq!(Containment::default().variables(), []);
        assert_eq!(Containment::from_env(&Env::default()), Containment::default());
    }

    #[test]
    fn what_cannot_be_read_contains() {
        let read = |value| Containment::lenient(value).unwrap();
        let on = Containment { level: Level::On, ..Containment::default() };
        assert_eq!(read(json!({"level": "on", "later": 1})), on);
        assert_eq!(read(json!({"level": "sideways"})), on);
        assert_eq!(read(json!(7)), on);
        assert_eq!(read(json!({})), Containment::default());
        let env: Env = [(LEVEL, "yes"), (FOLDERS, "relative:/a"), (PORTS, "0,x, 80")].into_iter().collect();
        let expected = Containment { folders: vec!["/a".into()], ports: vec![80], ..on };
        assert_eq!(Containment::from_env(&env), expected);
    }

    #[test]
    fn a_link_out_of_a_ground_does_not_count_as_inside() {
        let root = tempfile::tempdir().unwrap();
        let paths = InstancePaths::below(root.path());
        let contained = Contained { root: root.path().into(), containment: Containment::default() };
        std::fs::create_dir_all(contained.workspace().join("a")).unwrap();
        std::fs::create_dir_all(paths.config()).unwrap();
        std::os::unix::fs::symlink(paths.config(), contained.workspace().join("out")).unwrap();
        let covers = |path: &Path| contained.covers(&paths, path);
        assert!(covers(&contained.workspace()) && covers(&contained.workspace().join("a")));
        for outside in
            [contained.workspace().join("out"), contained.workspace().join("nothing"), root.path().into()]
        {
            assert!(!covers(&outside), "{outside:?}");
        }
    }
}
