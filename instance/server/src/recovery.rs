//! What a server does first: find the work that the last one left.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use remotelab_executor::runner::{self, Settled};
use remotelab_protocol::event::Known;
use remotelab_protocol::{Event, Run, RunId};
use remotelab_store::{Draft, SessionCell, runs};

use crate::after;
use crate::app::{App, Shared, blocking};
use crate::clock::now_ms;
use crate::completions;
use crate::results;
use crate::submit::schedule_flush;

const LOOK: Duration = Duration::from_millis(250);
const RETRY: Duration = Duration::from_secs(5);

/// Follows every run that was under way and delivers every queue that was waiting.
pub(crate) fn resume_work(app: &Shared) {
    for cell in app.store.unfinished() {
        results::resume(app, &cell);
        let (noted, active, queued, unfinished) = cell.with(|state| {
            let session = &state.session;
            let unfinished = session.after_turn.is_some() || session.compaction.is_some();
            (
                session.active_run_id.clone(),
                state.active.clone(),
                !session.follow_up_queue.is_empty(),
                unfinished,
            )
        });
        match (noted, active) {
            (Some(_), Some(run)) if run.finalized_at.is_none() => {
                app.runs.resume(app, &cell, &run.id);
            }
            (Some(_), Some(run)) => {
                // An older server released the session in a second step and did not come to it.
                let _ = cell.change(|draft| release_ended(app, draft, run)).1;
                schedule_flush(app, &cell);
            }
            (Some(run), None) => {
                tokio::spawn(give_up(Arc::clone(app), cell, run));
            }
            (None, _) if queued || unfinished => after::go_on(app, &cell, None),
            (None, _) => {}
        }
    }
}

/// Ends a run whose record is damaged, then frees its session and says so in its history.
async fn give_up(app: Shared, cell: Arc<SessionCell>, run: RunId) {
    let folder = runs::folder(&app.settings.paths, &run);
    loop {
        let asked = folder.clone();
        let settled = blocking(move || {
            runner::request_cancel(&asked)?;
            runner::settle(&asked, true)
        });
        match settled.await {
            Ok(Settled::Alive) => tokio::time::sleep(LOOK).await,
            Ok(Settled::Ended(_) | Settled::NotStarted) => break,
            // Without its folder there is no run.
            Err(error) if error.kind() == io::ErrorKind::NotFound => break,
            Err(error) => {
                tracing::warn!(run.id = %run, %error, "cannot end a run whose record is damaged");
                tokio::time::sleep(RETRY).await;
            }
        }
    }
    let (worker, target) = (Arc::clone(&app), Arc::clone(&cell));
    let ((), commit) = blocking(move || target.change(|draft| release(&worker, draft, &run))).await;
    if let Err(error) = commit.durable().await {
        tracing::warn!(session.id = %cell.id(), %error, "cannot free a session of a damaged run");
    }
    app.hub.session_changed(&cell);
    after::go_on(&app, &cell, None);
}

fn release_ended(app: &App, draft: &mut Draft<'_>, mut run: Run) {
    completions::note(app, draft, &mut run);
    draft.put_run(run);
    draft.release_run();
}

fn release(app: &App, draft: &mut Draft<'_>, run: &RunId) {
    let content =
        "error: the record of the last run is damaged, so its result is lost; please send the message again";
    draft.append(Event::new(Known::Status { content: content.to_owned() }, now_ms()));
    completions::note_lost(app, draft, run);
    draft.release_run();
}
