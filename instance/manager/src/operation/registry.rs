//! What steps do to the registry.

use remotelab_config::registry::{Record, Registry, State};

use super::Error;
use super::plan::Plan;

pub(super) fn reserve(plan: &Plan, registry: &mut Registry) {
    if of_plan(plan, registry).is_none() {
        registry.guests.push(Record { state: State::Creating, ..plan.record.clone() });
    }
}

/// Takes out what a reservation has put in. A guest that is complete is not touched.
pub(super) fn give_back(plan: &Plan, registry: &mut Registry) {
    registry.guests.retain(|record| !is_of(plan, record) || record.state != State::Creating);
}

pub(super) fn publish(plan: &Plan, registry: &mut Registry) -> Result<(), Error> {
    let record = of_plan(plan, registry).ok_or_else(|| Error::Vanished(plan.guest().clone()))?;
    record.state = State::Ready;
    Ok(())
}

fn of_plan<'a>(plan: &Plan, registry: &'a mut Registry) -> Option<&'a mut Record> {
    registry.guests.iter_mut().find(|record| is_of(plan, record))
}

/// A name may have gone to another guest meanwhile; ids are never used twice.
fn is_of(plan: &Plan, record: &Record) -> bool {
    record.name == plan.record.name && record.id == plan.record.id
}
