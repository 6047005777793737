//! What steps do to the tunnel and to the names that lead to it.

use super::apply::{Outcome, Why};
use super::step::Step;
use super::{Error, Tools};
use crate::tunnel::{self, Dns, Settings};

pub(super) fn apply(step: &Step, tools: &Tools) -> Result<Outcome, Error> {
    // Without a tunnel there is nothing to do any more.
    let (Some(settings), Some(dns)) =
        (Settings::find(tools.paths, tools.env), Dns::find(tools.paths, tools.env))
    else {
        return Ok(Outcome::Done);
    };
    let failed = |why: String| Ok(Outcome::Skipped(Why::Failed(why)));
    match step {
        Step::Lead { hostname, service } => {
            settings.set(hostname, service)?;
        }
        // A guest that is gone must not come back because its host name does not go.
        Step::Unlead { hostname } => {
            if let Err(error) = settings.remove(hostname) {
                return failed(format!("the tunnel still leads {hostname} here: {error}"));
            }
        }
        Step::Point { hostname, overwrite } => {
            if dns.point(hostname, *overwrite)? == tunnel::Outcome::Nobody {
                return failed(format!("have the name {hostname} lead to the tunnel: nothing here can"));
            }
        }
        Step::Unpoint { hostname } => match dns.remove(hostname) {
            Ok(tunnel::Outcome::Nobody) => {
                return failed(format!("remove the name {hostname}: nothing here can"));
            }
            Ok(_) => {}
            Err(error) => return failed(format!("the name {hostname} was not removed: {error}")),
        },
        _ => {
            if let Err(error) = settings.reconnect() {
                return failed(tunnel::told(&error));
            }
        }
    }
    Ok(Outcome::Done)
}

pub(super) fn undo(step: &Step, tools: &Tools) -> Result<(), Error> {
    let (Some(settings), Some(dns)) =
        (Settings::find(tools.paths, tools.env), Dns::find(tools.paths, tools.env))
    else {
        return Ok(());
    };
    match step {
        Step::Lead { hostname, .. } => {
            settings.remove(hostname)?;
        }
        Step::Point { hostname, .. } => {
            dns.remove(hostname)?;
        }
        _ => {}
    }
    Ok(())
}
