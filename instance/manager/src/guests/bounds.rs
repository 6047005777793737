//! What a guest may do and take: saying it, and changing it.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use remotelab_config::InstanceName;
use remotelab_config::containment::{Containment, Isolation, Level};
use remotelab_config::limits::{self, Limits, Quota};
use remotelab_config::registry::{Record, Registry};
use remotelab_executor::contain::{self, Walls};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Error, Guests};
use crate::operation::{Plan, Progress, Step, Verb};
use crate::outside::Outside;

/// All bounds of a guest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Bounds {
    /// How far its runs are kept to its own files.
    pub containment: Containment,
    /// What its runs may take at a time.
    pub limits: Limits,
    /// What it may use before it is told to wait.
    pub quota: Quota,
}

impl Bounds {
    /// Those of a record.
    #[must_use]
    pub fn of(record: &Record) -> Self {
        Self { containment: record.containment.clone(), limits: record.limits, quota: record.quota }
    }

    /// Enters them into a record.
    pub(crate) fn enter(&self, record: &mut Record) {
        record.containment = self.containment.clone();
        record.limits = self.limits;
        record.quota = self.quota;
    }

    /// The walls of this machine that its runs get.
    fn used(&self, walls: Walls) -> Walls {
        Walls { namespaces: walls.namespaces && self.containment.isolation != Isolation::Never, ..walls }
    }

    /// Says what runs may see and take, for people.
    #[must_use]
    pub fn limits_text(&self, walls: Walls) -> String {
        let Containment { level, isolation, folders, programs, ports } = &self.containment;
        let mut text = format!("contain: {}\n", level.as_str());
        if *level != Level::Off {
            let walls = self.used(walls);
            let gaps = walls.gaps();
            let open = if gaps.is_empty() { "nothing".to_owned() } else { contain::list(&gaps) };
            let _ = writeln!(text, "walls: {}\nopen: {open}", walls.words());
            let _ = writeln!(text, "isolation: {}", isolation.as_str());
        }
        for (key, paths) in [("folder", folders), ("programs", programs)] {
            for path in paths {
                let _ = writeln!(text, "{key}: {}", path.display());
            }
        }
        for port in ports {
            let _ = writeln!(text, "port: {port}");
        }
        let Limits { memory, tasks, cpu } = self.limits;
        let _ = writeln!(text, "memory: {}", memory.map_or_else(no_limit, limits::size));
        let _ = writeln!(text, "tasks: {}", tasks.map_or_else(no_limit, |tasks| tasks.to_string()));
        let _ = writeln!(text, "cpu: {}", cpu.map_or_else(no_limit, |cpu| format!("{cpu}%")));
        text
    }

    /// Says what the guest may use, for people.
    #[must_use]
    pub fn quota_text(&self) -> String {
        let Quota { disk, runs_per_day } = self.quota;
        format!(
            "disk: {}\nrunsPerDay: {}\n",
            disk.map_or_else(no_limit, limits::size),
            runs_per_day.map_or_else(no_limit, |runs| runs.to_string())
        )
    }

    /// Says all of it, for programs.
    #[must_use]
    pub fn json(&self, name: &InstanceName, walls: Walls) -> Value {
        let gaps: Vec<String> = match self.containment.level {
            Level::Off => vec!["everything".to_owned()],
            _ => self.used(walls).gaps().iter().map(ToString::to_string).collect(),
        };
        json!({
            "name": name,
            "containment": self.containment,
            "walls": walls,
            "open": gaps,
            "limits": self.limits,
            "quota": self.quota,
        })
    }
}

fn no_limit() -> String {
    "no limit".to_owned()
}

impl Guests {
    /// The bounds of a guest.
    ///
    /// # Errors
    /// [`Error::Unknown`] and others.
    pub fn bounds(&self, name: &InstanceName) -> Result<Bounds, Error> {
        Ok(Bounds::of(&self.record(name)?))
    }

    /// Gives a guest other bounds. They hold for whatever it begins from now on; it is started anew for that.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn bound(
        &self,
        name: &InstanceName,
        to: &Bounds,
        outside: Outside<'_>,
        tell: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Vec<String>, Error> {
        self.check_allowed(name, &to.containment)?;
        let skipped = self.change(name, outside, tell, |record| {
            let mut steps = vec![Step::Bound { to: Box::new(to.clone()) }];
            if !record.stopped {
                steps.extend([Step::Stop, Step::Resume]);
            }
            Plan { verb: Verb::Bound, record: record.clone(), steps, commit: 1 }
        })?;
        Ok(super::lifecycle::warnings(&skipped))
    }

    /// Nothing that is allowed may hold, or be in, what belongs to the operator's own instance or to other guests.
    fn check_allowed(&self, name: &InstanceName, containment: &Containment) -> Result<(), Error> {
        let guests = Registry::load(&self.paths.registry())?.guests;
        let others = guests.iter().filter(|record| record.name != *name);
        let instance = self.paths.instance();
        let closed: Vec<PathBuf> = [instance.config(), instance.memory(), &self.paths.trash()]
            .into_iter()
            .map(Path::to_owned)
            .chain([self.paths.home().join(".remotelab/instances"), self.paths.home().join(".ssh")])
            .chain(others.flat_map(|other| [other.instance_root.clone(), other.config_dir.clone()]))
            .filter(|path| !path.as_os_str().is_empty())
            .map(|path| path.canonicalize().unwrap_or(path))
            .collect();
        let allowed = containment.folders.iter().chain(&containment.programs);
        let is_too_much = |path: &&PathBuf| {
            closed.iter().any(|closed| closed.starts_with(path) || path.starts_with(closed))
        };
        match allowed.into_iter().find(is_too_much) {
            Some(path) => Err(Error::TooMuch(path.clone())),
            None => Ok(()),
        }
    }
}
