//! Whether anything more comes of a run, and whose words stand then: its own, or those of the run that went on
//! with what a review found missing.

use remotelab_protocol::{Run, RunState};
use remotelab_store::{SessionCell, requests};

use crate::after;
use crate::app::App;
use crate::reply::{self, Reply};

/// What stands once nothing more comes of a run.
pub(crate) struct Settled {
    /// The run whose words stand.
    pub(crate) run: Run,
    pub(crate) reply: Reply,
}

impl App {
    /// Returns what stands of a run; `None` while it is under way, under review or being continued. Blocks.
    pub(crate) fn settled(&self, cell: &SessionCell, run: &Run) -> Option<Settled> {
        if !run.state.is_terminal() || is_reviewed(cell, run) {
            return None;
        }
        let latest = || cell.with(|state| state.meta.latest_seq);
        let repair = self.repair_of(cell, run, latest());
        if repair.as_ref().is_some_and(|repair| !repair.state.is_terminal()) {
            return None;
        }
        let (history, latest) = (cell.history(), latest());
        let mut own = reply::of(run, &history, latest);
        let Some(repair) = repair.filter(|repair| repair.state == RunState::Completed) else {
            return Some(Settled { run: run.clone(), reply: own });
        };
        let repaired = reply::of(&repair, &history, latest);
        for file in repaired.attachments {
            if !own.attachments.iter().any(|known| known.identity() == file.identity()) {
                own.attachments.push(file);
            }
        }
        // One that failed or said nothing changes nothing about the reply.
        Some(match repaired.chosen {
            Some(chosen) => Settled { run: repair, reply: Reply { chosen: Some(chosen), ..own } },
            None => Settled { run: run.clone(), reply: own },
        })
    }

    /// Returns the run that went on with what a review of another one found missing. Nothing else can have come
    /// between but questions about the turn: messages wait for the review.
    fn repair_of(&self, cell: &SessionCell, run: &Run, latest: u64) -> Option<Run> {
        let runs = requests::runs(self.store.files(), cell.id(), latest);
        let place = runs.iter().rposition(|id| *id == run.id)?;
        let later = runs[place + 1..].iter().filter_map(|id| self.store.run(id).ok().flatten());
        let next = later.into_iter().find(|run| !after::is_question(run))?;
        (next.internal_operation.as_deref() == Some(after::REPAIR)).then_some(next)
    }
}

fn is_reviewed(cell: &SessionCell, run: &Run) -> bool {
    cell.with(|state| {
        state.session.after_turn.as_ref().is_some_and(|after| after.run_id == run.id && after.wants.review)
    })
}
