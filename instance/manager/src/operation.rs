//! Changes of guests that are made whole or not at all, also when the command that makes them is killed.
//!
//! A command first makes a [`Plan`]: steps, and the one from which on there is no way back. The plan is
//! written into a journal before anything is done, and so is each step that is done. Whoever comes next
//! ends what was cut off: before that step by undoing it, from it on by going on. So a step before it needs
//! an undo, and one from it on an apply, that works from any point in it.

mod access;
mod apply;
pub(crate) mod audit;
mod define;
mod describe;
mod error;
mod folders;
mod furnish;
mod journal;
mod plan;
mod recover;
mod registry;
mod runs;
mod step;
pub(crate) mod trash;
mod tunnel;

use remotelab_config::registry::Registry;
use remotelab_config::{Env, OwnerPaths};

use crate::outside::Outside;

use journal::Journal;

pub(crate) use apply::run;
pub use apply::{Failed, Outcome, Progress, Why};
pub use error::Error;
pub use folders::Move;
pub(crate) use furnish::{Refreshed, refreshment};
pub use plan::{Plan, Verb};
pub use recover::recover;
pub use step::Step;

/// What steps work with.
#[derive(Clone, Copy)]
pub struct Tools<'a> {
    /// The operator's folders.
    pub paths: &'a OwnerPaths,
    /// The operator's environment.
    pub env: &'a Env,
    /// What runs.
    pub outside: Outside<'a>,
}

/// Makes a plan under the registry's lock and writes it down. Its first step, which takes the guest for this
/// operation, is done under the same lock.
pub(crate) fn begin<E>(
    paths: &OwnerPaths,
    plan: impl FnOnce(&Registry) -> Result<Plan, E>,
) -> Result<Journal, E>
where
    E: From<Error> + From<remotelab_config::registry::Error>,
{
    // A journal whose registry could not be written is found by the next command, which undoes nothing.
    let mut journal = Registry::update(&paths.registry(), |registry| {
        let journal = Journal::create(paths, plan(registry)?)?;
        let plan = journal.plan();
        plan.steps.first().map_or(Ok(()), |step| step.change(plan, registry))?;
        Ok::<_, E>(journal)
    })?;
    journal.advance()?;
    Ok(journal)
}
