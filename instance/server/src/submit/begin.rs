//! Everything a new run adds to its session, in one change.

use remotelab_protocol::event::{Known, Message};
use remotelab_protocol::run::{Manifest, Options};
use remotelab_protocol::{Attachment, Event, Role, Run, RunId, title};
use remotelab_store::Draft;
use serde_json::{Map, Value};

use crate::app::App;
use crate::clock::{now_iso, now_ms};
use crate::context::Conversation;
use crate::prompt::{self, Prompt};

/// What a run is begun with; the text of the prompt and of the transcript may differ.
pub(super) struct Beginning {
    pub(super) request_id: String,
    pub(super) prompt_text: String,
    pub(super) transcript_text: String,
    pub(super) tool: String,
    pub(super) model: Option<String>,
    pub(super) effort: Option<String>,
    pub(super) thinking: bool,
    pub(super) attachments: Vec<Attachment>,
    pub(super) source_context: Option<Value>,
    pub(super) queued_request_ids: Option<Vec<String>>,
}

impl App {
    /// Adds everything a new run needs to a change of its session.
    pub(super) fn begin(
        &self,
        draft: &mut Draft<'_>,
        conversation: &Conversation,
        beginning: Beginning,
    ) -> Run {
        let now = now_iso();
        let session = draft.session_mut();
        session.updated_at.clone_from(&now);
        session.tool.clone_from(&beginning.tool);
        if session.auto_rename_pending && conversation.is_empty() {
            session.name = title::temporary(&beginning.transcript_text);
        }
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
                // Where they are on this host is found out when the run starts.
                images: beginning.attachments.clone(),
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
}

/// Marks an event as belonging to a run.
pub(crate) fn of_run(run: &Run, event: Event) -> Event {
    Event { run_id: Some(run.id.to_string()), request_id: Some(run.request_id.clone()), ..event }
}
