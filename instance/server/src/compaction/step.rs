//! The run that makes a summary, one step further.

use std::sync::Arc;

use remotelab_protocol::pending::Compaction;
use remotelab_protocol::{RunId, RunState};
use remotelab_store::history::Bodies;
use remotelab_store::{Commit, SessionCell, runs};

use super::outcome::take;
use super::{OPERATION, prompt};
use crate::app::App;
use crate::context::Conversation;
use crate::submit::{Beginning, Internal, is_busy};

/// What is to be done next.
pub(super) enum Step {
    Nothing,
    Following(Arc<SessionCell>, RunId),
    TakenOver,
}

impl App {
    /// Starts the run, finds it at work, or takes over what it said. Blocks.
    pub(super) fn step(&self, source: &SessionCell) -> (Step, Option<Commit>) {
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
        let (is_active, is_readable) = compactor
            .with(|state| (state.session.active_run_id.as_ref() == Some(&run), state.active.is_some()));
        if is_active {
            // Whoever gives up one whose record is damaged comes here again.
            let step = if is_readable { Step::Following(compactor, run) } else { Step::Nothing };
            return (step, commit);
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
        let session = source.with(|state| state.session.clone());
        let text = prompt::about(&source.history(), session.system_prompt.as_deref(), pending.through_seq);
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
        let record = runs::load(self.store.files(), run).ok().flatten();
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
