//! launchd, which runs guests on a Mac.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use remotelab_config::{Env, InstanceName};
use rustix::process::getuid;

use super::service::Service;
use super::tool::Tool;
use crate::control::{Child, Error, State};
use crate::definition::{self, Definition};
use crate::guests::reach;

/// How long a guest may take until it answers.
const PATIENCE: Duration = Duration::from_secs(30);

/// The launch agents of one operator.
#[derive(Clone, Debug)]
pub(super) struct Launchd {
    launchctl: Tool,
    home: PathBuf,
}

impl Launchd {
    /// Finds it by its tool; `None` where there is none.
    pub(super) fn find(home: &Path, env: &Env) -> Option<Self> {
        Some(Self { launchctl: Tool::find("launchctl", env)?, home: home.to_owned() })
    }

    /// Whether it runs this guest.
    pub(super) fn has(&self, name: &InstanceName) -> bool {
        self.agent(name).is_some()
    }

    fn agent(&self, name: &InstanceName) -> Option<Definition> {
        definition::agents(&self.home).into_iter().find(|agent| agent.name == *name)
    }

    fn known(&self, name: &InstanceName) -> Result<Definition, Error> {
        self.agent(name).ok_or_else(|| Error::Refused(format!("there is no launch agent of {name}")))
    }

    fn load(&self, agent: &Definition) -> Result<(), Error> {
        let (domain, path) = (format!("gui/{}", getuid().as_raw()), agent.path.to_string_lossy());
        // The older words work where there is no login at the screen.
        let outcome = self
            .launchctl
            .done(&["bootstrap", &domain, &path])
            .or_else(|_| self.launchctl.done(&["load", &path]));
        outcome.map(drop).map_err(refused)
    }

    fn unload(&self, agent: &Definition) -> Result<(), Error> {
        let (target, path) =
            (format!("gui/{}/{}", getuid().as_raw(), agent.label), agent.path.to_string_lossy());
        let outcome =
            self.launchctl.done(&["bootout", &target]).or_else(|_| self.launchctl.done(&["unload", &path]));
        outcome.map(drop).map_err(refused)
    }
}

impl Service for Launchd {
    fn start(&self, name: &InstanceName) -> Result<(), Error> {
        let agent = self.known(name)?;
        if self.pid(&agent.label)?.is_none() {
            self.load(&agent)?;
        }
        answers(&agent)
    }

    fn stop(&self, name: &InstanceName) -> Result<(), Error> {
        let agent = self.known(name)?;
        if self.listed()?.iter().any(|(label, _)| *label == agent.label) {
            self.unload(&agent)?;
        }
        Ok(())
    }

    fn restart(&self, name: &InstanceName) -> Result<(), Error> {
        self.stop(name)?;
        let agent = self.known(name)?;
        self.load(&agent)?;
        answers(&agent)
    }

    fn report(&self) -> Result<Vec<Child>, Error> {
        let listed = self.listed()?;
        let children = definition::agents(&self.home).into_iter().map(|agent| {
            let pid = listed.iter().find(|(label, _)| *label == agent.label).and_then(|(_, pid)| *pid);
            Child {
                name: agent.name.to_string(),
                state: if pid.is_some() { State::Ready } else { State::Stopped },
                pid,
                listening: None,
                program: agent.program().to_owned(),
                started_at: None,
                failures: 0,
                last_error: None,
            }
        });
        Ok(children.collect())
    }
}

impl Launchd {
    fn pid(&self, label: &str) -> Result<Option<u32>, Error> {
        Ok(self.listed()?.into_iter().find(|(listed, _)| listed == label).and_then(|(_, pid)| pid))
    }

    /// What is loaded: labels and, of those that run, their processes.
    fn listed(&self) -> Result<Vec<(String, Option<u32>)>, Error> {
        Ok(parse(&self.launchctl.done(&["list"]).map_err(refused)?))
    }
}

/// Reads `launchctl list`: process or `-`, last status, label.
fn parse(text: &str) -> Vec<(String, Option<u32>)> {
    let rows = text.lines().skip(1).filter_map(|line| {
        let mut words = line.split_whitespace();
        let (pid, label) = (words.next()?, words.nth(1)?);
        Some((label.to_owned(), pid.parse().ok()))
    });
    rows.collect()
}

fn answers(agent: &Definition) -> Result<(), Error> {
    reach::answers_as(agent.port, "", PATIENCE)
        .map_err(|reason| Error::Refused(format!("{} does not answer: {reason}", agent.name)))
}

fn refused(error: io::Error) -> Error {
    Error::Refused(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_read() {
        let text = "PID\tStatus\tLabel\n412\t0\tcom.chatserver.trial1\n-\t78\tcom.chatserver.trial2\nodd\n";
        let rows =
            [("com.chatserver.trial1".to_owned(), Some(412)), ("com.chatserver.trial2".to_owned(), None)];
        assert_eq!(parse(text), rows);
    }
}
