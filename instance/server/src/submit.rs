//! A message becomes a run, waits in the queue, or turns out to be known already.
//!
//! The decision is taken and the change made under the session's lock, in one transaction; the answer
//! goes out when it is durable, and only then is the executor started.

use std::sync::Arc;
use std::time::Duration;

use remotelab_protocol::event::{Known, Message};
use remotelab_protocol::queue::{self, Queued};
use remotelab_protocol::run::{Manifest, Options};
use remotelab_protocol::{Attachment, Event, Role, Run, RunId, Session, ids, title};
use remotelab_store::{Draft, SessionCell};
use serde_json::{Map, Value};

use crate::app::{App, Shared, StorageRefused, blocking};
use crate::attachments;
use crate::clock::{now_iso, now_ms};
use crate::context;
use crate::prompt::{self, Prompt};

/// How long a queue waits after the session became free, so that messages sent together stay together.
const FLUSH_DELAY: Duration = Duration::from_millis(1_500);
const FLUSH_RETRY: Duration = Duration::from_secs(3);

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
    let (worker, target) = (Arc::clone(app), Arc::clone(cell));
    let (decision, commit) = blocking(move || worker.decide(&target, submission)).await;
    let accepted = decision?;
    commit.durable().await.map_err(StorageRefused)?;
    app.hub.session_changed(cell.id());
    match &accepted.run {
        Some(run) if !accepted.duplicate => {
            app.hub.list_changed();
            app.runs.watch(app, cell, &run.id);
        }
        _ if accepted.queued => schedule_flush(app, cell),
        _ => {}
    }
    Ok(accepted)
}

/// Delivers a session's queue a little later, if it is free by then.
pub(crate) fn schedule_flush(app: &Shared, cell: &Arc<SessionCell>) {
    if cell.with(|state| is_active(state.active.as_ref()) || state.session.follow_up_queue.is_empty()) {
        return;
    }
    let (app, cell) = (Arc::clone(app), Arc::clone(cell));
    tokio::spawn(async move {
        tokio::time::sleep(FLUSH_DELAY).await;
        while let Err(error) = flush(&app, &cell).await {
            tracing::warn!(session.id = %cell.id(), %error, "cannot deliver queued messages yet");
            tokio::time::sleep(FLUSH_RETRY).await;
        }
    });
}

/// Delivers the whole queue as one message, unless a run is active or the session is archived.
async fn flush(app: &Shared, cell: &Arc<SessionCell>) -> Result<(), Error> {
    let (worker, target) = (Arc::clone(app), Arc::clone(cell));
    let (started, commit) = blocking(move || worker.flush(&target)).await;
    let Some(run) = started? else { return Ok(()) };
    commit.durable().await.map_err(StorageRefused)?;
    app.hub.session_changed(cell.id());
    app.hub.list_changed();
    app.runs.watch(app, cell, &run);
    Ok(())
}

/// What a run is begun with; the text of the prompt and of the transcript may differ.
struct Beginning {
    request_id: String,
    prompt_text: String,
    transcript_text: String,
    tool: String,
    model: Option<String>,
    effort: Option<String>,
    thinking: bool,
    attachments: Vec<Attachment>,
    source_context: Option<Value>,
    queued_request_ids: Option<Vec<String>>,
}

impl App {
    fn decide(
        &self,
        cell: &SessionCell,
        submission: Submission,
    ) -> (Result<Accepted, Error>, remotelab_store::Commit) {
        let conversation = context::Conversation::of(cell);
        cell.change(|draft| {
            if let Some(run) = draft.run_of(&submission.request_id) {
                return Ok(Accepted { duplicate: true, queued: false, run: self.known_run(draft, &run) });
            }
            let session = draft.session();
            if session.archived {
                return Err(Error::Archived);
            }
            if session.follow_up_queue.iter().any(|item| item.request_id == submission.request_id) {
                return Ok(Accepted { duplicate: true, queued: true, run: None });
            }
            if session.recent_follow_up_request_ids.contains(&submission.request_id) {
                return Ok(Accepted { duplicate: true, queued: false, run: None });
            }
            let tool = self.tool_of(session, submission.tool.as_deref())?;
            if is_active(draft.active()) || !session.follow_up_queue.is_empty() {
                draft.session_mut().follow_up_queue.push(queued(submission));
                draft.session_mut().updated_at = now_iso();
                return Ok(Accepted { duplicate: false, queued: true, run: None });
            }
            let run = self.begin(
                draft,
                &conversation,
                Beginning {
                    transcript_text: submission.text.clone(),
                    prompt_text: submission.text,
                    request_id: submission.request_id,
                    tool,
                    model: submission.model,
                    effort: submission.effort,
                    thinking: submission.thinking,
                    attachments: submission.attachments,
                    source_context: submission.source_context,
                    queued_request_ids: None,
                },
            );
            Ok(Accepted { duplicate: false, queued: false, run: Some(run) })
        })
    }

    fn flush(&self, cell: &SessionCell) -> (Result<Option<RunId>, Error>, remotelab_store::Commit) {
        let conversation = context::Conversation::of(cell);
        cell.change(|draft| {
            if is_active(draft.active()) || draft.session().archived {
                return Ok(None);
            }
            let Some(batch) = queue::batch(&draft.session().follow_up_queue) else {
                return Ok(None);
            };
            // A tool that is gone must not keep the queue for ever: the session's own then answers.
            let tool = self
                .tool_of(draft.session(), batch.tool.as_deref())
                .or_else(|_| self.tool_of(draft.session(), None))?;
            let session = draft.session_mut();
            session.follow_up_queue.clear();
            queue::remember(&mut session.recent_follow_up_request_ids, &batch.request_ids);
            let run = self.begin(
                draft,
                &conversation,
                Beginning {
                    request_id: ids::request_id("queued_batch", now_ms()),
                    prompt_text: batch.prompt_text,
                    transcript_text: batch.transcript_text,
                    tool,
                    model: batch.model,
                    effort: batch.effort,
                    thinking: batch.thinking,
                    attachments: batch.attachments,
                    source_context: batch.source_context,
                    queued_request_ids: Some(batch.request_ids),
                },
            );
            Ok(Some(run.id))
        })
    }

    /// Adds everything a new run needs to a change of its session.
    fn begin(
        &self,
        draft: &mut Draft<'_>,
        conversation: &context::Conversation,
        beginning: Beginning,
    ) -> Run {
        let now = now_iso();
        let session = draft.session_mut();
        session.updated_at.clone_from(&now);
        session.tool.clone_from(&beginning.tool);
        if session.auto_rename_pending && conversation.is_empty() {
            session.name = title::temporary(&beginning.transcript_text);
        }
        let files = attachments::located(&self.settings.paths, &beginning.attachments);
        let Prompt { text, turn_context } = prompt::assemble(&prompt::Inputs {
            settings: &self.settings,
            tool: self.catalogue.find(&beginning.tool).as_ref(),
            session: draft.session(),
            conversation,
            message: &beginning.prompt_text,
        });
        let resume = prompt::Resume::of(draft.session(), &beginning.tool);
        let manifest = Manifest {
            id: RunId::random(),
            session_id: draft.session().id.clone(),
            request_id: beginning.request_id,
            folder: draft.session().folder.clone(),
            tool: beginning.tool,
            prompt: text,
            internal_operation: None,
            options: Options {
                images: files,
                thinking: beginning.thinking,
                model: beginning.model.filter(|text| !text.is_empty()),
                effort: beginning.effort.filter(|text| !text.is_empty()),
                claude_session_id: resume.claude,
                codex_thread_id: resume.codex,
                ..Options::default()
            },
            rest: Map::new(),
        };
        let run = Run::accepted(&manifest, &now);
        draft.start_run(&manifest, run.clone());
        let said = Message {
            content: beginning.transcript_text,
            images: beginning.attachments.clone(),
            attachments: beginning.attachments,
            source_context: beginning.source_context,
            queued_request_ids: beginning.queued_request_ids,
            ..Message::default()
        };
        draft.append(of_run(&run, Event::message(Role::User, said, now_ms())));
        if let Some(content) = turn_context {
            draft.append(of_run(&run, Event::new(Known::ManagerContext { content }, now_ms())));
        }
        run
    }

    fn tool_of(&self, session: &Session, asked: Option<&str>) -> Result<String, Error> {
        let tool = asked.map(str::trim).filter(|tool| !tool.is_empty()).unwrap_or(&session.tool);
        if self.catalogue.find(tool).is_some() {
            return Ok(tool.to_owned());
        }
        let known: Vec<String> = self.catalogue.list().into_iter().map(|tool| tool.id).collect();
        Err(Error::UnknownTool { tool: tool.to_owned(), known: known.join(", ") })
    }

    fn known_run(&self, draft: &Draft<'_>, id: &RunId) -> Option<Run> {
        match draft.active().filter(|active| active.id == *id) {
            Some(active) => Some(active.clone()),
            None => remotelab_store::runs::load(&self.settings.paths, id).ok().flatten(),
        }
    }
}

/// Marks an event as belonging to a run.
pub(crate) fn of_run(run: &Run, event: Event) -> Event {
    Event { run_id: Some(run.id.to_string()), request_id: Some(run.request_id.clone()), ..event }
}

fn is_active(run: Option<&Run>) -> bool {
    run.is_some_and(|run| run.finalized_at.is_none())
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
