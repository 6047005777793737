//! A message becomes a run, waits in the queue, or turns out to be known already.
//!
//! The decision is taken and the change made under the session's lock, in one transaction; the answer
//! goes out when it is durable, and only then is the executor started.

mod begin;
mod flush;

use std::sync::Arc;

use remotelab_protocol::queue::Queued;
use remotelab_protocol::{Attachment, Run, RunId, Session};
use remotelab_store::{Commit, Draft, SessionCell};
use serde_json::Value;

use crate::app::{App, Shared, StorageRefused, blocking};
use crate::clock::now_iso;
use crate::completions;
use crate::context::Conversation;

pub(crate) use begin::{Beginning, Internal, of_run};
pub(crate) use flush::schedule_flush;

/// How many messages may wait for a busy session, and how much text they may hold together, in bytes.
const QUEUE_ITEMS: usize = 100;
const QUEUE_BYTES: usize = 8 << 20;
/// The longest message text, in bytes. Larger things travel as files.
const TEXT_BYTES: usize = 32 << 20;

/// A message to be worked on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Submission {
    pub(crate) request_id: String,
    pub(crate) text: String,
    pub(crate) tool: Option<String>,
    pub(crate) model: Option<String>,
    pub(crate) effort: Option<String>,
    pub(crate) thinking: bool,
    pub(crate) attachments: Vec<Attachment>,
    pub(crate) source_context: Option<Value>,
    /// Where else its answer goes.
    pub(crate) targets: Vec<Value>,
}

/// What became of a message.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) duplicate: bool,
    pub(crate) queued: bool,
    pub(crate) run: Option<Run>,
}

/// Why a message was not accepted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("text is required")]
    NoText,
    #[error("Request body too large")]
    TooLong,
    #[error(
        "{QUEUE_ITEMS} messages or 8 MiB of text already wait in this session; send again when it has taken them up"
    )]
    QueueFull,
    #[error("Session is archived")]
    Archived,
    #[error("Unknown tool \"{tool}\". Known tools: {known}")]
    UnknownTool { tool: String, known: String },
    #[error(transparent)]
    Storage(#[from] StorageRefused),
}

/// Accepts a message. Safe to repeat and to call in parallel with the same request id.
pub(crate) async fn submit(
    app: &Shared,
    cell: &Arc<SessionCell>,
    mut submission: Submission,
) -> Result<Accepted, Error> {
    submission.text = submission.text.trim().to_owned();
    if submission.text.is_empty() {
        return Err(Error::NoText);
    }
    if submission.text.len() > TEXT_BYTES {
        return Err(Error::TooLong);
    }
    let (accepted, commit) = loop {
        let (worker, target, submission) = (Arc::clone(app), Arc::clone(cell), submission.clone());
        let (decision, commit) = blocking(move || worker.decide(&target, submission)).await;
        if let Some(accepted) = decision? {
            break (accepted, commit);
        }
    };
    commit.durable().await.map_err(StorageRefused)?;
    app.hub.session_changed(cell);
    if !accepted.duplicate {
        app.hub.list_changed();
    }
    match &accepted.run {
        // Also of a duplicate: following a run that is followed already changes nothing.
        Some(run) if !run.state.is_terminal() => app.runs.watch(app, cell, &run.id),
        _ if accepted.queued => schedule_flush(app, cell),
        _ => {}
    }
    Ok(accepted)
}

/// Tells whether a request was accepted before, without changing anything. May read a file.
pub(crate) fn is_known(cell: &SessionCell, request_id: &str) -> bool {
    cell.change(|draft| draft.run_of(request_id).is_some() || waits_or_waited(draft.session(), request_id)).0
}

impl App {
    /// Decides what becomes of a message; `None` when the history grew while it was read.
    fn decide(
        &self,
        cell: &SessionCell,
        mut submission: Submission,
    ) -> (Result<Option<Accepted>, Error>, Commit) {
        // Only a run that starts now needs the conversation, and nothing is read under the lock.
        let (idle, stored) =
            cell.with(|state| (!is_busy(&state.session, state.active.as_ref()), state.session.tool.clone()));
        let wanted = self.known_tool(submission.tool.as_deref(), &stored).ok();
        let conversation = match wanted.as_ref().filter(|_| idle) {
            Some(tool) => Conversation::read(cell, self.catalogue.find(tool).as_ref()),
            None => Conversation::unread(cell),
        };
        cell.change(|draft| {
            let accepted = |duplicate, queued, run| Ok(Some(Accepted { duplicate, queued, run }));
            if let Some(run) = draft.run_of(&submission.request_id) {
                // Of messages that were delivered together, none has the run for itself.
                let own = |run: &Run| run.request_id == submission.request_id;
                return accepted(true, false, self.known_run(draft, &run).filter(own));
            }
            let session = draft.session();
            // Whoever repeats what was accepted is told so, also when the session was put away meanwhile.
            if waits_or_waited(session, &submission.request_id) {
                return accepted(true, is_waiting(session, &submission.request_id), None);
            }
            if session.archived {
                return Err(Error::Archived);
            }
            let tool = self.known_tool(submission.tool.as_deref(), &session.tool)?;
            let targets = std::mem::take(&mut submission.targets);
            if is_busy(session, draft.active()) || !session.follow_up_queue.is_empty() {
                enqueue(draft, submission)?;
                completions::add(self, draft, targets);
                return accepted(false, true, None);
            }
            let outdated = conversation.latest_seq() != draft.meta().latest_seq;
            if !conversation.is_read() || outdated || wanted.as_ref() != Some(&tool) {
                return Ok(None);
            }
            completions::add(self, draft, targets);
            let beginning = Beginning::of(submission, tool);
            accepted(false, false, Some(self.begin(draft, &conversation, beginning)))
        })
    }

    /// Returns the tool to use: the one asked for, else another.
    pub(crate) fn known_tool(&self, asked: Option<&str>, otherwise: &str) -> Result<String, Error> {
        let tool = asked.map(str::trim).filter(|tool| !tool.is_empty()).unwrap_or(otherwise);
        if self.catalogue.find(tool).is_some() {
            return Ok(tool.to_owned());
        }
        let known: Vec<String> = self.catalogue.list().into_iter().map(|tool| tool.id).collect();
        Err(Error::UnknownTool { tool: tool.to_owned(), known: known.join(", ") })
    }

    fn known_run(&self, draft: &Draft<'_>, id: &RunId) -> Option<Run> {
        match draft.active().filter(|active| active.id == *id) {
            Some(active) => Some(active.clone()),
            None => remotelab_store::runs::load(self.store.files(), id).ok().flatten(),
        }
    }
}

/// Tells whether a session is not free for a message: it has a run that is not over, or its last reply is
/// under review, or its context is being summarised. A run whose record is damaged counts until it is known
/// to have ended.
pub(crate) fn is_busy(session: &Session, active: Option<&Run>) -> bool {
    let works = match active {
        Some(run) => run.finalized_at.is_none(),
        None => session.active_run_id.is_some(),
    };
    works
        || session.compaction.is_some()
        || session.after_turn.as_ref().is_some_and(|after| after.wants.review)
}

fn is_waiting(session: &Session, request_id: &str) -> bool {
    session.follow_up_queue.iter().any(|item| item.request_id == request_id)
}

fn waits_or_waited(session: &Session, request_id: &str) -> bool {
    is_waiting(session, request_id) || session.recent_follow_up_request_ids.iter().any(|id| id == request_id)
}

fn enqueue(draft: &mut Draft<'_>, submission: Submission) -> Result<(), Error> {
    let queue = &draft.session().follow_up_queue;
    let bytes: usize = queue.iter().map(|item| item.text.len()).sum();
    if queue.len() >= QUEUE_ITEMS || bytes + submission.text.len() > QUEUE_BYTES {
        return Err(Error::QueueFull);
    }
    let session = draft.session_mut();
    session.follow_up_queue.push(queued(submission));
    session.updated_at = now_iso();
    Ok(())
}

fn queued(submission: Submission) -> Queued {
    Queued {
        request_id: submission.request_id,
        text: submission.text,
        queued_at: now_iso(),
        images: submission.attachments,
        tool: submission.tool,
        model: submission.model,
        effort: submission.effort,
        thinking: submission.thinking,
        source_context: submission.source_context,
    }
}
