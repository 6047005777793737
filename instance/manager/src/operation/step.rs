//! The steps that operations are made of.

use std::path::PathBuf;
use std::time::Duration;

use remotelab_config::auth::Login;
use remotelab_config::registry::{Record, Registry};
use serde::{Deserialize, Serialize};

use super::apply::{Outcome, Why};
use super::folders::{self, Move};
use super::plan::Plan;
use super::{Error, Tools, access, define, furnish, registry, runs, trash, tunnel};
use crate::control;
use crate::guests::{Bounds, reach as probe};

/// How long a guest may take until it answers.
const HEALTHY_WITHIN: Duration = Duration::from_secs(30);

/// One step. It knows nothing but its plan: another process may have to do or undo it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
    /// Changes nothing, but keeps other commands from the guest.
    Hold,
    /// Notes whether it is to stay stopped.
    Want {
        /// Whether it is.
        stopped: bool,
    },
    /// Stops it.
    Stop,
    /// Starts it again, if that is possible.
    Resume,
    /// Ends all logins. Its server must be stopped.
    SignOut,
    /// Gives it another token.
    NewToken,
    /// Marks it as being deleted, so that nobody starts it or leads to it.
    Retire,
    /// Ends the runs that are under way, which do not end with the server.
    EndRuns,
    /// Moves its files into the trash.
    #[serde(rename_all = "camelCase")]
    Trash {
        /// What the trash calls them.
        entry: String,
        /// When: ISO-8601 UTC.
        deleted_at: String,
        /// Which folders go where.
        moves: Vec<Move>,
    },
    /// Removes its files for good.
    Purge {
        /// All of them.
        folders: Vec<PathBuf>,
    },
    /// Takes it out of the registry.
    Drop,
    /// Brings files back from the trash.
    Bring {
        /// What the trash calls them.
        entry: String,
        /// Which folders go where.
        moves: Vec<Move>,
    },
    /// Forgets what was brought back.
    ClearTrash {
        /// What the trash called it.
        entry: String,
    },
    /// Gives it another name.
    Rename {
        /// How it is to be.
        to: Box<Record>,
    },
    /// Gives it other bounds.
    Bound {
        /// What it may do and take.
        to: Box<Bounds>,
    },
    /// Has its log follow its name.
    MoveLog {
        /// Where it goes.
        to: PathBuf,
    },
    /// Does nothing, but leads back: undone last, it starts the guest with the program that it had.
    Keep {
        /// The program.
        program: PathBuf,
    },
    /// Writes another service definition.
    Define {
        /// Where.
        path: PathBuf,
        /// Where the one before is kept.
        backup: PathBuf,
        /// What.
        text: String,
    },
    /// Takes the owner's public tools over, and a tool to begin with.
    Refresh,
    /// Has the tunnel lead a host name here.
    Lead {
        /// The host name.
        hostname: String,
        /// Where to on this machine.
        service: String,
    },
    /// Has the tunnel lead a host name nowhere.
    Unlead {
        /// The host name.
        hostname: String,
    },
    /// Has a host name lead to the tunnel.
    Point {
        /// The host name.
        hostname: String,
        /// Whether it may lead elsewhere now.
        overwrite: bool,
    },
    /// Has a host name lead nowhere.
    Unpoint {
        /// The host name.
        hostname: String,
    },
    /// Has the tunnel's client read its settings, if they were changed.
    Reconnect,
    /// Starts it anew with a program and waits until it answers.
    Renew {
        /// The program.
        program: PathBuf,
    },
}

impl Step {
    /// Does it.
    pub(super) fn apply(&self, plan: &Plan, tools: &Tools) -> Result<Outcome, Error> {
        let service = tools.outside.service;
        match self {
            Self::Hold | Self::Keep { .. } => {}
            Self::Reserve
            | Self::Publish
            | Self::Want { .. }
            | Self::Retire
            | Self::Drop
            | Self::Bound { .. }
            | Self::Rename { .. } => {
                Registry::update(&tools.paths.registry(), |registry| self.change(plan, registry))?;
            }
            Self::Furnish { login } => furnish::make(&plan.record, login.clone(), tools)?,
            Self::Start => match service.start(plan.guest()) {
                Err(control::Error::NotRunning) => return Ok(Outcome::Skipped(Why::NothingRuns)),
                outcome => outcome?,
            },
            Self::Resume => match service.start(plan.guest_after()) {
                Err(control::Error::NotRunning) => return Ok(Outcome::Skipped(Why::NothingRuns)),
                Err(error) => return Ok(Outcome::Skipped(Why::Failed(error.to_string()))),
                Ok(()) => {}
            },
            Self::Stop => service.stop(plan.guest())?,
            Self::Route => {
                if let Err(error) = tools.outside.door.reload() {
                    let why = format!("the gateway may not know of it yet: {error}");
                    return Ok(Outcome::Skipped(Why::Failed(why)));
                }
            }
            Self::SignOut => access::sign_out(&plan.record)?,
            Self::NewToken => access::new_token(&plan.record)?,
            Self::EndRuns => runs::end(&plan.record)?,
            Self::Trash { entry, deleted_at, moves } => {
                trash::put(tools.paths, &plan.record, entry, deleted_at, moves)?;
            }
            Self::Purge { folders } => {
                folders.iter().try_for_each(|folder| folders::purge(folder))?;
                trash::purge_logs(&plan.record)?;
            }
            Self::Bring { moves, .. } => trash::bring(moves)?,
            Self::MoveLog { to } => trash::rename_if_there(&plan.record.log_path, to)?,
            Self::ClearTrash { entry } => trash::forget(tools.paths, &plan.record, entry)?,
            Self::Define { path, backup, text } => define::write(path, backup, text)?,
            Self::Refresh => {
                furnish::refresh(&plan.record, tools)?;
            }
            Self::Lead { .. }
            | Self::Unlead { .. }
            | Self::Point { .. }
            | Self::Unpoint { .. }
            | Self::Reconnect => return tunnel::apply(self, tools),
            Self::Renew { program } => {
                match service.renew(plan.guest(), program) {
                    Err(control::Error::NotRunning) => return Ok(Outcome::Skipped(Why::NothingRuns)),
                    outcome => outcome?,
                }
                let answers = probe::answers_as(plan.record.port, &plan.record.id, HEALTHY_WITHIN);
                answers.map_err(|reason| Error::Unhealthy(plan.guest().clone(), reason))?;
            }
        }
        Ok(Outcome::Done)
    }

    /// Undoes it, however much of it was done.
    pub(super) fn undo(&self, plan: &Plan, tools: &Tools) -> Result<(), Error> {
        let restore = |change: fn(&Plan, &mut Registry)| {
            Registry::update(&tools.paths.registry(), |registry| {
                change(plan, registry);
                Ok::<_, Error>(())
            })
        };
        match self {
            Self::Reserve => restore(registry::give_back),
            Self::Want { .. } | Self::Retire | Self::Bound { .. } | Self::Rename { .. } => {
                restore(registry::put_back)
            }
            Self::Furnish { .. } => furnish::remove(&plan.record),
            Self::Start => Ok(tools.outside.service.stop(plan.guest())?),
            Self::Stop if plan.record.stopped => Ok(()),
            Self::Stop => match tools.outside.service.start(plan.guest()) {
                Err(control::Error::NotRunning) => Ok(()),
                outcome => Ok(outcome?),
            },
            Self::Bring { moves, .. } => trash::bring_back(moves),
            Self::Lead { .. } | Self::Point { .. } => tunnel::undo(self, tools),
            Self::Define { path, backup, .. } => define::put_back(path, backup),
            Self::Keep { program } => Ok(tools.outside.service.renew(plan.guest(), program)?),
            // Nothing can be or need be done about the rest; most of it comes after every commit.
            _ => Ok(()),
        }
    }

    /// What it does to the registry; nothing for most.
    pub(super) fn change(&self, plan: &Plan, registry: &mut Registry) -> Result<(), Error> {
        match self {
            Self::Reserve => registry::reserve(plan, registry),
            Self::Publish => registry::publish(plan, registry)?,
            Self::Want { stopped } => registry::of_plan(plan, registry)?.stopped = *stopped,
            Self::Bound { to } => to.enter(registry::of_plan(plan, registry)?),
            Self::Retire => registry::retire(plan, registry)?,
            Self::Drop => registry::drop_record(plan, registry),
            Self::Rename { to } => registry::rename(plan, to, registry)?,
            _ => {}
        }
        Ok(())
    }
}
