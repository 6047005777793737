//! What steps do to the registry.

use remotelab_config::registry::{Record, Registry, State};

use super::Error;
use super::plan::Plan;
use super::step::Step;

pub(super) fn reserve(plan: &Plan, registry: &mut Registry) {
    if of_plan(plan, registry).is_err() {
        registry.guests.push(Record { state: State::Creating, ..plan.record.clone() });
    }
}

/// Takes out what a reservation has put in. A guest that is complete is not touched.
pub(super) fn give_back(plan: &Plan, registry: &mut Registry) {
    registry.guests.retain(|record| !is_of(plan, record) || record.state != State::Creating);
}

pub(super) fn publish(plan: &Plan, registry: &mut Registry) -> Result<(), Error> {
    of_plan(plan, registry)?.state = State::Ready;
    Ok(())
}

pub(super) fn retire(plan: &Plan, registry: &mut Registry) -> Result<(), Error> {
    of_plan(plan, registry)?.state = State::Deleting;
    Ok(())
}

pub(super) fn drop_record(plan: &Plan, registry: &mut Registry) {
    registry.guests.retain(|record| !is_of(plan, record));
}

pub(super) fn rename(plan: &Plan, to: &Record, registry: &mut Registry) -> Result<(), Error> {
    if to.name != *plan.guest() && registry.find(&to.name).is_some() {
        return Err(Error::Taken(to.name.clone()));
    }
    *of_plan(plan, registry)? = to.clone();
    Ok(())
}

/// Puts the record back as it was before the operation.
pub(super) fn put_back(plan: &Plan, registry: &mut Registry) {
    let renamed = plan.steps.iter().find_map(|step| match step {
        Step::Rename { to } => Some(&**to),
        _ => None,
    });
    let is_it = |record: &Record| is_of(plan, record) || renamed.is_some_and(|to| same(to, record));
    if let Some(record) = registry.guests.iter_mut().find(|record| is_it(record)) {
        *record = plan.record.clone();
    }
}

/// The record that the plan is about.
pub(super) fn of_plan<'a>(plan: &Plan, registry: &'a mut Registry) -> Result<&'a mut Record, Error> {
    let mut records = registry.guests.iter_mut();
    records.find(|record| is_of(plan, record)).ok_or_else(|| Error::Vanished(plan.guest().clone()))
}

fn is_of(plan: &Plan, record: &Record) -> bool {
    same(&plan.record, record)
}

/// A name may have gone to another guest meanwhile; ids are never used twice.
fn same(a: &Record, b: &Record) -> bool {
    a.name == b.name && a.id == b.id
}
