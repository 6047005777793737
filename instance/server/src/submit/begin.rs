//! Everything a new run adds to its session, in one change.

use remotelab_executor::command;
use remotelab_protocol::event::{Known, Message};
use remotelab_protocol::run::{Manifest, Options};
use remotelab_protocol::{Attachment, Event, Role, Run, RunId, title};
use remotelab_store::Draft;
use serde_json::{Map, Value};

use super::Submission;
use crate::app::App;
use crate::clock::{now_iso, now_ms};
use crate::context::Conversation;
use crate::prompt::{self, Prompt, blocks};
use crate::reply::FIRST_SEQ;
use crate::resume;

/// What a run is begun with; the text of the prompt and of the transcript may differ.
pub(crate) struct Beginning {
    pub(crate) request_id: String,
    pub(crate) prompt_text: String,
    pub(crate) transcript_text: String,
    pub(crate) tool: String,
    pub(crate) model: Option<String>,
    pub(crate) effort: Option<String>,
    pub(crate) thinking: bool,
    pub(crate) attachments: Vec<Attachment>,
    pub(crate) source_context: Option<Value>,
    pub(crate) queued_request_ids: Option<Vec<String>>,
    /// Set for a run that no user asked for. It adds no message to the history.
    pub(crate) internal: Option<Internal>,
}

/// What sets an internal run apart.
pub(crate) struct Internal {
    pub(crate) operation: &'static str,
    /// The whole prompt, for a run that knows nothing of the session and uses no tools where it can do
    /// without.
    pub(crate) prompt: Option<String>,
}

impl Beginning {
    /// What a message begins that a tool takes up at once.
    pub(crate) fn of(message: Submission, tool: String) -> Self {
        Self {
            transcript_text: message.text.clone(),
            prompt_text: message.text,
            request_id: message.request_id,
            tool,
            model: message.model,
            effort: message.effort,
            thinking: message.thinking,
            attachments: message.attachments,
            source_context: message.source_context,
            queued_request_ids: None,
            internal: None,
        }
    }
}

impl App {
    /// Adds everything a new run needs to a change of its session.
    pub(crate) fn begin(
        &self,
        draft: &mut Draft<'_>,
        conversation: &Conversation,
        beginning: Beginning,
    ) -> Run {
        let now = now_iso();
        let asked_before = draft.meta().counts.get("message_user").is_some_and(|&count| count > 0);
        let session = draft.session_mut();
        session.updated_at.clone_from(&now);
        session.tool.clone_from(&beginning.tool);
        session.rename_error = None;
        if session.auto_rename_pending && !asked_before && beginning.internal.is_none() {
            session.name = title::temporary(&beginning.transcript_text);
        }
        let tool = self.catalogue.find(&beginning.tool);
        let (operation, given) = match beginning.internal {
            Some(Internal { operation, prompt }) => (Some(operation), prompt),
            None => (None, None),
        };
        let without_tools = given.is_some() && tool.as_ref().is_some_and(command::answers_without_tools);
        let resume = conversation.resume().filter(|_| given.is_none()).map(|point| point.id.clone());
        let Prompt { text, turn_context, blocks } = match given {
            Some(text) => Prompt { text, turn_context: None, blocks: Vec::new() },
            None => prompt::assemble(&prompt::Inputs {
                settings: &self.settings,
                system_memory: &self.system_memory(),
                port: self.port(),
                tool: tool.as_ref(),
                session: draft.session(),
                conversation,
                message: &beginning.prompt_text,
            }),
        };
        let mut manifest = Manifest {
            id: RunId::random(),
            session_id: draft.session().id.clone(),
            request_id: beginning.request_id,
            folder: draft.session().folder.clone(),
            tool: beginning.tool,
            prompt: text,
            internal_operation: operation.map(str::to_owned),
            options: Options {
                // Where they are on this host is found out when the run starts.
                images: beginning.attachments.clone(),
                thinking: beginning.thinking,
                model: beginning.model.filter(|text| !text.is_empty()),
                effort: beginning.effort.filter(|text| !text.is_empty()),
                without_tools,
                ..Options::default()
            },
            rest: Map::new(),
        };
        if let Some(id) = resume {
            resume::note(&mut manifest, id);
        }
        blocks::note(&mut manifest, &blocks);
        let mut run = Run::accepted(&manifest, &now);
        run.rest.insert(FIRST_SEQ.to_owned(), (draft.meta().latest_seq + 1).into());
        draft.start_run(&manifest, run.clone());
        if operation.is_some() {
            return run;
        }
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
