//! Giving a guest another name. Its folder stays where it is: sessions and what executors remember of them go
//! by its path.

use remotelab_config::InstanceName;
use remotelab_config::registry::{Record, Registry};

use super::discovered::discover;
use super::hostname::{self, Choice, Wish};
use super::lifecycle::warnings;
use super::mailbox::Addresses;
use super::ways::Way;
use super::{Changed, Error, Guests, links};
use crate::operation::{self, Plan, Progress, Step, Verb};
use crate::outside::Outside;
use crate::supervisor::guest_log;

/// How a guest is to be called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewName {
    /// Its name as it was typed.
    pub name: String,
    /// Its host name; otherwise one that began with the old name begins with the new one.
    pub hostname: Option<String>,
    /// Whether its host name stays.
    pub keep_hostname: bool,
}

impl Guests {
    /// Renames a guest; it is started anew. `tell` hears how far it has come.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn rename(
        &self,
        name: &InstanceName,
        to: &NewName,
        outside: Outside<'_>,
        tell: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Changed, Error> {
        let tools = self.tools(outside);
        operation::recover(&tools, &mut |_| {})?;
        let journal = operation::begin(&self.paths, |registry| self.plan_rename_in(registry, name, to))?;
        let (was, new) = (journal.plan().record.clone(), journal.plan().guest_after().clone());
        let leads = journal.plan().steps.iter().any(|step| matches!(step, Step::Lead { .. }));
        let skipped = operation::run(journal, &tools, tell)?;
        let mut view = self.link(&new)?;
        view.local_reachable = Some(!was.stopped && !skipped.iter().any(|(step, _)| *step == Step::Resume));
        let mut warnings = warnings(&skipped);
        warnings.push("links that hold its old name lead nowhere".to_owned());
        let address = Addresses::load(self.paths.instance()).of(&was.name);
        if !address.is_empty() {
            warnings.push(format!("mail to {address} does not reach it any more"));
        }
        if view.record.hostname != was.hostname && !leads {
            warnings.push(format!("lead {} here, and {} no longer", view.record.hostname, was.hostname));
        }
        Ok(Changed { view, warnings })
    }

    /// Says what [`Guests::rename`] would do, and changes nothing.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn plan_rename(&self, name: &InstanceName, to: &NewName) -> Result<Plan, Error> {
        self.plan_rename_in(&Registry::load(&self.paths.registry())?, name, to)
    }

    fn plan_rename_in(&self, registry: &Registry, name: &InstanceName, to: &NewName) -> Result<Plan, Error> {
        let record = registry.find(name).ok_or_else(|| Error::Unknown(name.clone()))?;
        let new = InstanceName::for_new_guest(&to.name)?;
        if registry.find(&new).is_some() || discover(self.paths.home()).names.contains(&new) {
            return Err(operation::Error::Taken(new).into());
        }
        let hostname = hostname_of(record, &new, to)?;
        let same_host = |other: &Record| other.name != *name && other.hostname == hostname;
        if !hostname.is_empty() && registry.guests.iter().any(same_host) {
            return Err(Error::HostnameTaken(hostname));
        }
        let log = guest_log(&self.paths, &new);
        let renamed = Record {
            label: format!("remotelab-guest@{new}"),
            public_base_url: links::public_base(&hostname),
            hostname,
            log_path: log.clone(),
            error_log_path: log.clone(),
            name: new,
            ..record.clone()
        };
        let moves = renamed.hostname != record.hostname;
        let way = if moves { self.way(&renamed.hostname, renamed.port, false) } else { Way::default() };
        let mut steps = vec![Step::Rename { to: Box::new(renamed) }];
        steps.extend(way.before);
        let commit = steps.len();
        steps.extend([Step::Stop, Step::MoveLog { to: log }, Step::Route]);
        if moves {
            steps.extend(self.way_out(&record.hostname));
        }
        steps.extend(way.after.into_iter().filter(|step| !steps.contains(step)).collect::<Vec<_>>());
        if !record.stopped {
            steps.push(Step::Resume);
        }
        Ok(Plan { verb: Verb::Rename, record: record.clone(), steps, commit })
    }
}

fn hostname_of(record: &Record, new: &InstanceName, to: &NewName) -> Result<String, Error> {
    if to.hostname.is_some() {
        let wish = Wish { hostname: to.hostname.clone(), ..Wish::default() };
        return match hostname::choose(&wish, new, None, None)? {
            Choice::Public(hostname) => Ok(hostname),
            Choice::Local | Choice::Unsure(_) => Ok(String::new()),
        };
    }
    Ok(match record.hostname.split_once('.') {
        Some((label, domain)) if label == record.name.as_str() && !to.keep_hostname => {
            format!("{new}.{domain}")
        }
        _ => record.hostname.clone(),
    })
}
