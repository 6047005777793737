//! What an executor is told: start-up context, the session's own instructions, what was said before,
//! the habits of a turn, and the message. Order and presence of the parts are fixed; see
//! `docs/architecture.md`, "Prompts".

mod startup;

use remotelab_config::chat::Settings;
use remotelab_protocol::Session;
use remotelab_protocol::tool::Tool;

use crate::context::Conversation;

const SEPARATOR: &str = "\n\n---\n\n";

/// What a prompt is made of.
pub(crate) struct Inputs<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) tool: Option<&'a Tool>,
    pub(crate) session: &'a Session,
    pub(crate) conversation: &'a Conversation,
    pub(crate) message: &'a str,
}

/// An assembled prompt.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Prompt {
    /// What the executor reads.
    pub(crate) text: String,
    /// The hidden part that is recorded with the turn.
    pub(crate) turn_context: Option<String>,
}

/// Assembles a prompt. Blocks.
pub(crate) fn assemble(inputs: &Inputs<'_>) -> Prompt {
    let bare = inputs.tool.is_some_and(|tool| tool.prompt_mode.as_deref() == Some("bare-user"));
    let mut prompt =
        if bare { Prompt { text: inputs.message.to_owned(), turn_context: None } } else { full(inputs) };
    if inputs.tool.is_some_and(|tool| tool.flatten_prompt) {
        prompt.text = prompt.text.split_whitespace().collect::<Vec<_>>().join(" ");
    }
    prompt
}

fn full(inputs: &Inputs<'_>) -> Prompt {
    let resuming = inputs.conversation.resume().is_some();
    let told = inputs.conversation.text();
    let continues = !resuming && told.is_some();
    let mut sections = Vec::new();
    if !resuming {
        sections.push(startup::context(inputs.settings, inputs.session));
        if inputs.settings.shared_startup_defaults {
            sections.push(startup::shared_defaults().to_owned());
        }
        sections.extend(startup::notes(inputs.settings.paths.memory()));
        sections.extend(startup::source_rules(&inputs.session.source_id).map(str::to_owned));
        sections.extend(inputs.session.system_prompt.clone().filter(|text| !text.trim().is_empty()));
    }
    if let Some(told) = told {
        let heading = if resuming {
            "What was said in this session since you last worked in it, told from its record (another tool did the work):"
        } else {
            "The conversation so far in this session, told from its record (another tool or an earlier process \
             may have done the work):"
        };
        sections.push(format!("{heading}\n\n{told}"));
    }
    let turn_context = startup::turn(inputs.settings.paths.memory(), &inputs.settings.home, inputs.session);
    sections.push(format!("<private>\n{turn_context}\n</private>"));
    let heading = if resuming || continues { "Current user message:" } else { "User message:" };
    sections.push(format!("{heading}\n{}", inputs.message));
    if inputs
        .session
        .rest
        .get("visitorId")
        .and_then(serde_json::Value::as_str)
        .is_some_and(|id| !id.is_empty())
    {
        sections.push(startup::visitor_guard().to_owned());
    }
    Prompt { text: sections.join(SEPARATOR), turn_context: Some(turn_context) }
}
