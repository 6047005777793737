//! Delivering a session's queue as one message when the session has become free.

use std::sync::Arc;
use std::time::Duration;

use remotelab_protocol::{RunId, ids, queue};
use remotelab_store::{Commit, SessionCell};

use super::begin::Beginning;
use super::is_busy;
use crate::app::{App, Shared, StorageRefused, blocking};
use crate::clock::now_ms;
use crate::context::Conversation;

/// How long a queue waits after the session became free, so that messages sent together stay together.
const DELAY: Duration = Duration::from_millis(1_500);
const RETRY: Duration = Duration::from_secs(3);

/// Delivers a session's queue a little later, if it is free by then.
pub(crate) fn schedule_flush(app: &Shared, cell: &Arc<SessionCell>) {
    let waits = |state: &remotelab_store::session::State| {
        !is_busy(&state.session, state.active.as_ref()) && !state.session.follow_up_queue.is_empty()
    };
    if !cell.with(waits) {
        return;
    }
    let (app, cell) = (Arc::clone(app), Arc::clone(cell));
    tokio::spawn(async move {
        tokio::time::sleep(DELAY).await;
        while let Err(error) = flush(&app, &cell).await {
            tracing::warn!(session.id = %cell.id(), %error, "cannot deliver queued messages yet");
            tokio::time::sleep(RETRY).await;
        }
    });
}

/// Delivers the whole queue as one message, unless a run is active or the session is archived.
async fn flush(app: &Shared, cell: &Arc<SessionCell>) -> Result<(), StorageRefused> {
    loop {
        let (worker, target) = (Arc::clone(app), Arc::clone(cell));
        let (flushed, commit) = blocking(move || worker.try_flush(&target)).await;
        let run = match flushed {
            Flushed::Started(run) => run,
            Flushed::Nothing => return Ok(()),
            Flushed::Outdated => continue,
        };
        commit.durable().await?;
        app.hub.session_changed(cell);
        app.hub.list_changed();
        app.runs.watch(app, cell, &run);
        return Ok(());
    }
}

enum Flushed {
    Started(RunId),
    Nothing,
    /// The history grew while it was read.
    Outdated,
}

impl App {
    fn try_flush(&self, cell: &SessionCell) -> (Flushed, Commit) {
        let wanted = cell.with(|state| {
            let queue = &state.session.follow_up_queue;
            let asked = queue.iter().rev().find_map(|item| item.tool.clone().filter(|tool| !tool.is_empty()));
            self.present_tool(asked, &state.session.tool)
        });
        let conversation = Conversation::read(cell, self.catalogue.find(&wanted).as_ref());
        cell.change(|draft| {
            if is_busy(draft.session(), draft.active()) || draft.session().archived {
                return Flushed::Nothing;
            }
            let Some(batch) = queue::batch(&draft.session().follow_up_queue) else {
                return Flushed::Nothing;
            };
            if conversation.latest_seq() != draft.meta().latest_seq {
                return Flushed::Outdated;
            }
            let tool = self.present_tool(batch.tool, &draft.session().tool);
            if tool != wanted {
                return Flushed::Outdated;
            }
            let session = draft.session_mut();
            session.follow_up_queue.clear();
            queue::remember(&mut session.recent_follow_up_request_ids, &batch.request_ids);
            let beginning = Beginning {
                request_id: ids::request_id("queued_batch", now_ms()),
                prompt_text: batch.prompt_text,
                transcript_text: batch.transcript_text,
                tool,
                model: batch.model,
                effort: batch.effort,
                thinking: batch.thinking,
                attachments: batch.attachments,
                source_context: batch.source_context,
                queued_request_ids: Some(batch.request_ids.clone()),
                internal: None,
            };
            let run = self.begin(draft, &conversation, beginning).id;
            // The session remembers the last hundred of them; these lines, all.
            for request in &batch.request_ids {
                draft.note_request(request, &run);
            }
            Flushed::Started(run)
        })
    }

    /// A tool that is gone must not keep the queue for ever: the session's own is tried then, and the run
    /// says what is missing.
    fn present_tool(&self, asked: Option<String>, otherwise: &str) -> String {
        asked.filter(|tool| self.catalogue.find(tool).is_some()).unwrap_or_else(|| otherwise.to_owned())
    }
}
