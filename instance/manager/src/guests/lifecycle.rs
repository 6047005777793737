//! Stopping and starting guests, and giving them another token.

use remotelab_config::InstanceName;
use remotelab_config::registry::{Record, Registry};
use serde_json::{Value, json};

use super::{Error, Guests, View};
use crate::operation::{self, Plan, Progress, Step, Verb, Why};
use crate::outside::Outside;

/// What a change came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Changed {
    /// The guest as it is now, without its token unless that is new.
    pub view: View,
    /// What the operator should know.
    pub warnings: Vec<String>,
}

impl Changed {
    /// All about the guest, for people.
    #[must_use]
    pub fn text(&self) -> String {
        self.view.show_text() + &self.said()
    }

    /// Its links, for people.
    #[must_use]
    pub fn links_text(&self) -> String {
        self.view.links_text() + &self.said()
    }

    /// Its name and whether it runs, for people.
    #[must_use]
    pub fn status_text(&self) -> String {
        format!("name: {}\nstatus: {}\n{}", self.view.record.name, self.view.status(), self.said())
    }

    /// All about the guest, for programs.
    #[must_use]
    pub fn json(&self) -> Value {
        let mut json = self.view.json();
        json["warnings"] = json!(self.warnings);
        json
    }

    fn said(&self) -> String {
        self.warnings.iter().map(|warning| format!("warning: {warning}\n")).collect()
    }
}

impl Guests {
    /// Starts a guest and has it run from now on.
    ///
    /// # Errors
    /// [`Error`], also when it does not come up; it is tried again then.
    pub fn start(
        &self,
        name: &InstanceName,
        outside: Outside<'_>,
        tell: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Changed, Error> {
        let steps = || vec![Step::Want { stopped: false }, Step::Resume];
        let skipped = self.change(name, outside, tell, |record| plan(Verb::Start, record, steps(), 1))?;
        self.changed(name, true, skipped)
    }

    /// Stops a guest for good: only a start brings it back.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn stop(
        &self,
        name: &InstanceName,
        outside: Outside<'_>,
        tell: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Changed, Error> {
        let steps = || vec![Step::Want { stopped: true }, Step::Stop];
        self.change(name, outside, tell, |record| plan(Verb::Stop, record, steps(), 1))?;
        self.changed(name, false, Vec::new())
    }

    /// Starts a guest anew, as its record says now.
    ///
    /// # Errors
    /// [`Error::Stopped`] when it is to stay stopped, and others.
    pub fn restart(&self, name: &InstanceName, outside: Outside<'_>) -> Result<Changed, Error> {
        if self.record(name)?.stopped {
            return Err(Error::Stopped(name.clone()));
        }
        outside.service.restart(name)?;
        self.changed(name, true, Vec::new())
    }

    /// Puts a guest to sleep: it starts again when somebody needs it.
    ///
    /// # Errors
    /// When it has something to do, and others.
    pub fn sleep(&self, name: &InstanceName, outside: Outside<'_>) -> Result<Changed, Error> {
        if self.record(name)?.stopped {
            return Err(Error::Stopped(name.clone()));
        }
        outside.service.sleep(name)?;
        let mut changed = self.changed(name, false, Vec::new())?;
        changed.view.asleep = true;
        Ok(changed)
    }

    /// Wakes a guest and returns when it listens.
    ///
    /// # Errors
    /// [`Error::Stopped`] when it is to stay stopped, and others.
    pub fn wake(&self, name: &InstanceName, outside: Outside<'_>) -> Result<Changed, Error> {
        if self.record(name)?.stopped {
            return Err(Error::Stopped(name.clone()));
        }
        outside.service.wake(name)?;
        self.changed(name, true, Vec::new())
    }

    /// Replaces a guest's token: its old links lead nowhere then. With `sign_out` every browser has to come in
    /// anew, for which the guest is started anew.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn rotate_token(
        &self,
        name: &InstanceName,
        sign_out: bool,
        outside: Outside<'_>,
        tell: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Changed, Error> {
        let skipped = self.change(name, outside, tell, |record| {
            let (steps, commit) = match (sign_out, record.stopped) {
                (false, _) => (vec![Step::Hold, Step::NewToken], 1),
                (true, true) => (vec![Step::Hold, Step::SignOut, Step::NewToken], 1),
                (true, false) => {
                    (vec![Step::Hold, Step::Stop, Step::SignOut, Step::NewToken, Step::Resume], 2)
                }
            };
            plan(Verb::RotateToken, record, steps, commit)
        })?;
        let warnings = warnings(&skipped);
        Ok(Changed { view: self.link(name)?, warnings })
    }

    /// Makes a plan for a guest and carries it out.
    fn change(
        &self,
        name: &InstanceName,
        outside: Outside<'_>,
        tell: &mut dyn FnMut(Progress<'_>),
        plan: impl FnOnce(&Record) -> Plan,
    ) -> Result<Vec<(Step, Why)>, Error> {
        let tools = self.tools(outside);
        operation::recover(&tools, &mut |_| {})?;
        let journal = operation::begin(&self.paths, |registry: &Registry| {
            let record = registry.find(name).ok_or_else(|| Error::Unknown(name.clone()))?;
            Ok::<_, Error>(plan(record))
        })?;
        Ok(operation::run(journal, &tools, tell)?)
    }

    fn changed(&self, name: &InstanceName, runs: bool, skipped: Vec<(Step, Why)>) -> Result<Changed, Error> {
        for (step, why) in &skipped {
            if let (Step::Resume, Why::Failed(reason)) = (step, why) {
                return Err(Error::Down { name: name.clone(), reason: reason.clone() });
            }
        }
        let mut view = self.link(name)?;
        view.token = None;
        view.local_reachable = Some(runs && skipped.is_empty());
        Ok(Changed { view, warnings: warnings(&skipped) })
    }
}

fn plan(verb: Verb, record: &Record, steps: Vec<Step>, commit: usize) -> Plan {
    Plan { verb, record: record.clone(), steps, commit }
}

/// What the operator should know of steps that were left out.
pub(super) fn warnings(skipped: &[(Step, Why)]) -> Vec<String> {
    let said = skipped.iter().map(|(step, why)| match (step, why) {
        (_, Why::NothingRuns) => "it does not run yet: `remotelab up` starts it".to_owned(),
        (Step::Start | Step::Resume, Why::Failed(reason)) => format!("it does not run: {reason}"),
        (_, Why::Failed(reason)) => reason.clone(),
    });
    said.collect()
}
