//! Summarising a session's context, so that what comes next fits into an executor's window.
//!
//! A hidden session beside it makes the summary, as an ordinary run without tools. What is under way is
//! stored with the session: messages wait until the summary is taken over, also across a restart.

mod outcome;
mod prompt;
mod step;
mod summary;
mod tool_index;

use std::sync::Arc;
use std::time::Duration;

use remotelab_protocol::pending::Compaction;
use remotelab_protocol::{Event, Run, RunId, Session, SessionId};
use remotelab_store::{Draft, Inserted, SessionCell};
use serde_json::{Map, Value};

use crate::app::{Shared, StorageRefused, blocking};
use crate::clock::{now_iso, now_ms};
use crate::submit::is_busy;
use crate::{runs, sessions};
use outcome::{operation, status};
use step::Step;

/// The role of sessions that make summaries.
const ROLE: &str = "context_compactor";
/// The run that makes one.
const OPERATION: &str = "context_compaction_worker";
/// How long it may take.
const LIMIT: Duration = Duration::from_secs(300);
/// Fields that link the two sessions.
const COMPACTOR: &str = "compactionSessionId";
const SOURCE: &str = "compactsSessionId";

/// Why a context is not summarised.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// It is busy, messages wait, or there is nothing to summarise.
    #[error("Unable to compact session")]
    Unable,
    #[error(transparent)]
    Storage(#[from] StorageRefused),
}

/// Begins to summarise a session's context.
pub(crate) async fn start(app: &Shared, cell: &Arc<SessionCell>, automatic: bool) -> Result<(), Error> {
    if !cell.with(|state| may_start(&state.session, state.active.as_ref())) {
        return Err(Error::Unable);
    }
    let compactor = compactor(app, cell).await?;
    let target = Arc::clone(cell);
    let (begun, commit) =
        blocking(move || target.change(|draft| begin(draft, compactor.id(), automatic))).await;
    commit.durable().await.map_err(StorageRefused)?;
    if !begun {
        return Err(Error::Unable);
    }
    app.hub.session_changed(cell);
    work(app, cell).await?;
    Ok(())
}

/// Notes that a summary is under way, if there is something to summarise.
fn begin(draft: &mut Draft<'_>, compactor: &SessionId, automatic: bool) -> bool {
    let messages = message_count(draft);
    let before = draft.session().context_mark.as_ref().map_or(0, |mark| mark.messages_before);
    if !may_start(draft.session(), draft.active()) || messages <= before {
        return false;
    }
    let through_seq = draft.meta().latest_seq;
    draft.append(Event::new(status("Summarising the conversation so far"), now_ms()));
    draft.append(operation("queued", automatic, "Context summary queued", ""));
    let session = draft.session_mut();
    session.rest.insert(COMPACTOR.to_owned(), compactor.as_str().into());
    session.compaction = Some(Compaction {
        session_id: compactor.clone(),
        request_id: format!("compaction:{}:{through_seq}", session.id),
        through_seq,
        messages,
        automatic,
        started_at: now_iso(),
    });
    true
}

/// Begins a summary when the last turn filled the model's window.
pub(crate) async fn start_when_full(app: &Shared, cell: &Arc<SessionCell>) {
    let limit = app.settings.after_turn.compact;
    let full = cell.with(|state| {
        let session = &state.session;
        !session.is_hidden() && limit.is_full(session.context_tokens, session.context_window_tokens)
    });
    if full && let Err(error) = start(app, cell, true).await {
        tracing::info!(session.id = %cell.id(), %error, "the context is full and was not summarised");
    }
}

/// Goes on with what was under way when a run ended or the server started: takes a finished summary over,
/// or makes sure that it is being made.
pub(crate) async fn take_over(app: &Shared, cell: &Arc<SessionCell>) {
    let source = cell.with(|state| {
        let session = &state.session;
        let linked = session.rest.get(SOURCE).and_then(Value::as_str);
        linked.filter(|_| session.internal_role.as_deref() == Some(ROLE)).map(str::to_owned)
    });
    let source = match source {
        Some(id) => SessionId::parse(&id).ok().and_then(|id| sessions::find(app, &id)),
        None => Some(Arc::clone(cell)),
    };
    let Some(source) = source.filter(|cell| cell.with(|state| state.session.compaction.is_some())) else {
        return;
    };
    if let Err(error) = work(app, &source).await {
        tracing::warn!(session.id = %source.id(), %error, "a summary is not made yet");
    }
}

fn may_start(session: &Session, active: Option<&Run>) -> bool {
    !is_busy(session, active)
        && session.follow_up_queue.is_empty()
        && !session.is_hidden()
        && !session.archived
}

fn message_count(draft: &Draft<'_>) -> u64 {
    draft.meta().counts.get("message").copied().unwrap_or_default()
}

/// Finds the session that makes summaries of this one, or makes it.
async fn compactor(app: &Shared, cell: &SessionCell) -> Result<Arc<SessionCell>, StorageRefused> {
    let source = cell.with(|state| state.session.clone());
    let linked = source.rest.get(COMPACTOR).and_then(Value::as_str).and_then(|id| SessionId::parse(id).ok());
    if let Some(known) = linked.and_then(|id| sessions::find(app, &id)) {
        return Ok(known);
    }
    let mut rest = Map::new();
    rest.insert(SOURCE.to_owned(), source.id.as_str().into());
    let made = Session {
        name: format!("Summary of {}", source.name),
        auto_rename_pending: false,
        internal_role: Some(ROLE.to_owned()),
        rest,
        ..Session::new(source.folder, source.tool, &now_iso())
    };
    let worker = Arc::clone(app);
    let (cell, inserted) = blocking(move || worker.store.find_or_insert(made)).await;
    if let Inserted::New(commit) = inserted {
        commit.durable().await?;
    }
    Ok(cell)
}

/// Brings a summary that is under way one step further: starts its run, waits for it, or takes it over. Safe
/// to repeat.
async fn work(app: &Shared, source: &Arc<SessionCell>) -> Result<(), StorageRefused> {
    let (worker, target) = (Arc::clone(app), Arc::clone(source));
    let (step, commit) = blocking(move || worker.step(&target)).await;
    if let Some(commit) = commit {
        commit.durable().await?;
    }
    match step {
        Step::Nothing => {}
        Step::Following(compactor, run) => {
            // Somebody else may have begun it a moment ago.
            app.store.settled().await?;
            app.runs.watch(app, &compactor, &run);
            tokio::spawn(end_in_time(Arc::clone(app), compactor, run));
        }
        Step::TakenOver => {
            app.hub.session_changed(source);
            app.hub.list_changed();
            crate::submit::schedule_flush(app, source);
        }
    }
    Ok(())
}

/// Ends the run that makes a summary when it takes too long: messages wait for it.
async fn end_in_time(app: Shared, compactor: Arc<SessionCell>, run: RunId) {
    tokio::time::sleep(LIMIT).await;
    if let Err(error) = runs::cancel(&app, &compactor, Some(&run)).await {
        tracing::warn!(run.id = %run, %error, "cannot end a summary that takes too long");
    }
}
