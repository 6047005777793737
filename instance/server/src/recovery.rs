//! What a server does first: find the work that the last one left.

use std::sync::Arc;

use remotelab_protocol::Event;
use remotelab_protocol::event::Known;
use remotelab_store::SessionCell;

use crate::app::Shared;
use crate::clock::now_ms;
use crate::submit::schedule_flush;

/// Follows every run that was under way and delivers every queue that was waiting.
pub(crate) fn resume_work(app: &Shared) {
    for cell in app.store.sessions() {
        let (noted, active, queued) = cell.with(|state| {
            let session = &state.session;
            (session.active_run_id.clone(), state.active.clone(), !session.follow_up_queue.is_empty())
        });
        match (noted, active) {
            (Some(_), Some(run)) if run.finalized_at.is_none() => {
                app.runs.watch(app, &cell, &run.id);
            }
            (Some(_), Some(_)) => {
                // An older server released the session in a second step and did not come to it.
                let _ = cell.change(|draft| draft.release_run()).1;
                schedule_flush(app, &cell);
            }
            (Some(_), None) => give_up(app, &cell),
            (None, _) if queued => schedule_flush(app, &cell),
            (None, _) => {}
        }
    }
}

/// Frees a session whose run has no readable record, and says so in its history.
fn give_up(app: &Shared, cell: &Arc<SessionCell>) {
    let ((), _commit) = cell.change(|draft| {
        let content = "error: the record of the last run is damaged, so its result is lost; please send the message again";
        draft.append(Event::new(Known::Status { content: content.to_owned() }, now_ms()));
        draft.release_run();
    });
    schedule_flush(app, cell);
}
