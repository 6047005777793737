//! Summarising a session's context, so that what comes next fits into an executor's window.
//!
//! A hidden session beside it makes the summary, as an ordinary run without tools. What is under way is
//! stored with the session: messages wait until the summary is taken over, also across a restart.

mod prompt;
mod summary;
mod tool_index;

use std::sync::Arc;
use std::time::Duration;

use remotelab_protocol::event::{Known, Message};
use remotelab_protocol::pending::Compaction;
use remotelab_protocol::{Context, Event, Role, Run, RunId, RunState, Session, SessionId, context};
use remotelab_store::history::Bodies;
use remotelab_store::{Commit, Draft, Inserted, SessionCell, runs as records};
use serde_json::{Map, Value, json};

use crate::app::{App, Shared, StorageRefused, blocking};
use crate::clock::{now_iso, now_ms};
use crate::context::Conversation;
use crate::submit::{Beginning, Internal, is_busy};
use crate::{runs, sessions};
use summary::Summary;

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
    let (begun, commit) = cell.change(|draft| {
        let messages = message_count(draft);
        let before = draft.session().context_mark.as_ref().map_or(0, |mark| mark.messages_before);
        if !may_start(draft.session(), draft.active()) || messages <= before {
            return false;
        }
        let through_seq = draft.meta().latest_seq;
        draft.append(Event::new(status("Summarising the conversation so far"), now_ms()));
        draft.append(operation("queued", automatic, "Context summary queued", ""));
        let session = draft.session_mut();
        session.rest.insert(COMPACTOR.to_owned(), compactor.id().as_str().into());
        session.compaction = Some(Compaction {
            session_id: compactor.id().clone(),
            request_id: format!("compaction:{}:{through_seq}", session.id),
            through_seq,
            messages,
            automatic,
            started_at: now_iso(),
        });
        true
    });
    commit.durable().await.map_err(StorageRefused)?;
    if !begun {
        return Err(Error::Unable);
    }
    app.hub.session_changed(cell);
    work(app, cell).await?;
    Ok(())
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
    let (cell, inserted) = app.store.find_or_insert(made);
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

enum Step {
    Nothing,
    Following(Arc<SessionCell>, RunId),
    TakenOver,
}

impl App {
    fn step(&self, source: &SessionCell) -> (Step, Option<Commit>) {
        let Some(pending) = source.with(|state| state.session.compaction.clone()) else {
            return (Step::Nothing, None);
        };
        let Some(compactor) = self.store.session(&pending.session_id) else {
            let commit =
                take(source, &pending, None, Err("the session that was to make it is gone".to_owned()));
            return (Step::TakenOver, Some(commit));
        };
        let (run, commit) = self.worker_run(source, &compactor, &pending);
        let Some(run) = run else {
            let commit = take(source, &pending, None, Err("its session is busy".to_owned()));
            return (Step::TakenOver, Some(commit));
        };
        if compactor.with(|state| state.session.active_run_id.as_ref() == Some(&run)) {
            return (Step::Following(compactor, run), commit);
        }
        let said = self.said(&compactor, &run);
        (Step::TakenOver, Some(take(source, &pending, Some(&run), said)))
    }

    /// Finds the run that makes the summary, or begins it; `None` when something else runs there.
    fn worker_run(
        &self,
        source: &SessionCell,
        compactor: &SessionCell,
        pending: &Compaction,
    ) -> (Option<RunId>, Option<Commit>) {
        if let Some(known) = compactor.change(|draft| draft.run_of(&pending.request_id)).0 {
            return (Some(known), None);
        }
        let (session, context) = (source.with(|state| state.session.clone()), source.history().context());
        let events = source
            .history()
            .read(prompt::first_event(&context, pending.through_seq)..=pending.through_seq, Bodies::Whole);
        let text = prompt::text(session.system_prompt.as_deref(), &context, &events);
        let conversation = Conversation::unread(compactor);
        let (run, commit) = compactor.change(|draft| {
            if is_busy(draft.session(), draft.active()) {
                return None;
            }
            let beginning = Beginning {
                request_id: pending.request_id.clone(),
                prompt_text: String::new(),
                transcript_text: String::new(),
                tool: session.tool.clone(),
                model: None,
                effort: None,
                thinking: false,
                attachments: Vec::new(),
                source_context: None,
                queued_request_ids: None,
                internal: Some(Internal { operation: OPERATION, prompt: Some(text) }),
            };
            Some(self.begin(draft, &conversation, beginning).id)
        });
        (run, Some(commit))
    }

    /// Returns what a finished run said, or why it said nothing.
    fn said(&self, compactor: &SessionCell, run: &RunId) -> Result<String, String> {
        let record = records::load(self.store.files(), run).ok().flatten();
        let record = record.ok_or_else(|| "its record is damaged".to_owned())?;
        if record.state != RunState::Completed {
            return Err(record.failure_reason.unwrap_or_else(|| "it was stopped".to_owned()));
        }
        let latest = compactor.with(|state| state.meta.latest_seq);
        let events = compactor.history().read(latest.saturating_sub(200).max(1)..=latest, Bodies::Whole);
        let said = events.iter().filter(|event| event.run_id.as_deref() == Some(run.as_str()));
        let texts: Vec<&str> = said.filter_map(|event| Some(event.as_message()?.content.as_str())).collect();
        Ok(texts.join("\n"))
    }
}

/// Ends the run that makes a summary when it takes too long: messages wait for it.
async fn end_in_time(app: Shared, compactor: Arc<SessionCell>, run: RunId) {
    tokio::time::sleep(LIMIT).await;
    if let Err(error) = runs::cancel(&app, &compactor, Some(&run)).await {
        tracing::warn!(run.id = %run, %error, "cannot end a summary that takes too long");
    }
}

/// Takes the outcome over, once.
fn take(
    source: &SessionCell,
    pending: &Compaction,
    run: Option<&RunId>,
    said: Result<String, String>,
) -> Commit {
    let outcome = said.and_then(|text| Summary::parse(&text).ok_or_else(|| "it held no summary".to_owned()));
    let previous = source.history().context();
    let events = source
        .history()
        .read(prompt::first_event(&previous, pending.through_seq)..=pending.through_seq, Bodies::Preview);
    let tools = tool_index::text(&events);
    let ((), commit) = source.change(|draft| {
        if draft.session().compaction.as_ref() != Some(pending) {
            return;
        }
        draft.session_mut().compaction = None;
        match outcome {
            Ok(summary) => apply(draft, pending, run, summary, tools),
            Err(reason) => {
                let text = format!("error: the conversation was not summarised: {reason}");
                draft.append(Event::new(Known::Status { content: text }, now_ms()));
                draft.append(operation("failed", pending.automatic, "Context summary failed", &reason));
                // Not again after each turn: only new figures may ask for it.
                draft.session_mut().context_tokens = None;
            }
        }
    });
    commit
}

fn apply(
    draft: &mut Draft<'_>,
    pending: &Compaction,
    run: Option<&RunId>,
    summary: Summary,
    tool_index: String,
) {
    let barrier_seq = draft.append(Event::new(
        Known::ContextBarrier {
            content: "What is above is told to the executor as a summary from here on.".to_owned(),
            automatic: pending.automatic,
            compaction_session_id: Some(pending.session_id.to_string()),
        },
        now_ms(),
    ));
    let handoff = Message {
        content: summary.handoff,
        source: Some("context_compaction_handoff".to_owned()),
        compaction_run_id: run.map(ToString::to_string),
        ..Message::default()
    };
    let handoff_seq = draft.append(Event::message(Role::Assistant, handoff, now_ms()));
    let mut applied = operation("applied", pending.automatic, "Context summarised", "");
    if let remotelab_protocol::Kind::Known(Known::ContextOperation(fields)) = &mut applied.kind {
        fields.insert("compactedThroughSeq".into(), pending.through_seq.into());
        fields.insert("summaryChars".into(), summary.summary.chars().count().into());
    }
    draft.append(applied);
    let active_from_seq = draft.append(Event::new(status("The conversation was summarised"), now_ms()));
    let context = Context {
        mode: context::Mode::Summary,
        summary: summary.summary,
        active_from_seq,
        compacted_through_seq: pending.through_seq,
        input_tokens: draft.session().context_tokens,
        updated_at: Some(now_iso()),
        source: Some("context_compaction".to_owned()),
        tool_index,
        barrier_seq: Some(barrier_seq),
        handoff_seq: Some(handoff_seq),
        compaction_session_id: Some(pending.session_id.to_string()),
        rest: Map::new(),
    };
    let messages = message_count(draft);
    draft.put_context(&context, messages);
    let session = draft.session_mut();
    session.forget_resume_ids();
    session.context_tokens = None;
    session.updated_at = now_iso();
}

fn status(content: &str) -> Known {
    Known::Status { content: content.to_owned() }
}

fn operation(phase: &str, automatic: bool, title: &str, reason: &str) -> Event {
    let trigger = if automatic { "automatic" } else { "manual" };
    let mut fields = Map::new();
    for (key, value) in [
        ("operation", "compact_context"),
        ("phase", phase),
        ("trigger", trigger),
        ("title", title),
        ("content", title),
        ("reason", reason),
    ] {
        if !value.is_empty() {
            fields.insert(key.to_owned(), json!(value));
        }
    }
    Event::new(Known::ContextOperation(fields), now_ms())
}
