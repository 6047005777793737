//! The steps that operations are made of.

use remotelab_config::auth::Login;
use remotelab_config::registry::Registry;
use serde::{Deserialize, Serialize};

use super::apply::Outcome;
use super::plan::Plan;
use super::{Error, Tools, furnish, registry};
use crate::control;

/// One step. It knows nothing but its plan: another process may have to do or undo it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "camelCase")]
pub enum Step {
    /// Puts the guest into the registry as being made, and so takes its name and port.
    Reserve,
    /// Makes its folders and files.
    Furnish {
        /// A name and a password hash beside the token.
        login: Option<Login>,
    },
    /// Starts it, where anything runs.
    Start,
    /// Makes it a guest like all others in the registry.
    Publish,
    /// Has the front door read the registry.
    Route,
}

impl Step {
    /// Its name for programs.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Reserve => "reserve",
            Self::Furnish { .. } => "furnish",
            Self::Start => "start",
            Self::Publish => "publish",
            Self::Route => "route",
        }
    }

    /// What it does, for people.
    pub(super) fn describe(&self, plan: &Plan) -> String {
        let record = &plan.record;
        match self {
            Self::Reserve if record.hostname.is_empty() => {
                format!("take the name {} and port {}", record.name, record.port)
            }
            Self::Reserve => {
                format!(
                    "take the name {}, port {} and host name {}",
                    record.name, record.port, record.hostname
                )
            }
            Self::Furnish { .. } => format!("make its files in {}", record.instance_root.display()),
            Self::Start => "start its chat server".to_owned(),
            Self::Publish => "put it into the list of guests".to_owned(),
            Self::Route => "tell the front door".to_owned(),
        }
    }

    /// How it is undone, for people. Only steps before the commit are.
    pub(super) fn describe_undo(&self) -> &'static str {
        match self {
            Self::Reserve => "give them back",
            Self::Furnish { .. } => "remove them",
            Self::Start => "stop it",
            Self::Publish | Self::Route => "nothing",
        }
    }

    /// Does it.
    pub(super) fn apply(&self, plan: &Plan, tools: &Tools) -> Result<Outcome, Error> {
        match self {
            Self::Reserve | Self::Publish => {
                Registry::update(&tools.paths.registry(), |registry| self.change(plan, registry))?;
            }
            Self::Furnish { login } => furnish::make(&plan.record, login.clone(), tools)?,
            Self::Start => match tools.outside.service.start(plan.guest()) {
                Err(error @ control::Error::NotRunning) => return Ok(Outcome::Skipped(error.to_string())),
                outcome => outcome?,
            },
            Self::Route => {
                if let Err(error) = tools.outside.door.reload() {
                    return Ok(Outcome::Skipped(format!("the gateway may not know its route yet: {error}")));
                }
            }
        }
        Ok(Outcome::Done)
    }

    /// Undoes it, however much of it was done.
    pub(super) fn undo(&self, plan: &Plan, tools: &Tools) -> Result<(), Error> {
        match self {
            Self::Reserve => {
                Registry::update(&tools.paths.registry(), |registry| {
                    registry::give_back(plan, registry);
                    Ok::<_, Error>(())
                })?;
            }
            Self::Furnish { .. } => furnish::remove(&plan.record)?,
            Self::Start => tools.outside.service.stop(plan.guest())?,
            Self::Publish | Self::Route => {}
        }
        Ok(())
    }

    /// What it does to the registry; nothing for most.
    pub(super) fn change(&self, plan: &Plan, registry: &mut Registry) -> Result<(), Error> {
        match self {
            Self::Reserve => registry::reserve(plan, registry),
            Self::Publish => registry::publish(plan, registry)?,
            _ => {}
        }
        Ok(())
    }
}
