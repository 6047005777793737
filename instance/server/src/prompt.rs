//! What an executor is told: start-up context, the session's own instructions, what was said before,
//! the habits of a turn, and the message. Order and presence of the parts are fixed; see
//! `docs/architecture.md`, "Prompts".

pub(crate) mod blocks;
mod startup;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use remotelab_config::chat::Settings;
use remotelab_protocol::Session;
use remotelab_protocol::tool::Tool;

use crate::app::App;
use crate::context::Conversation;
use blocks::{Block, Sections};

const SEPARATOR: &str = "\n\n---\n\n";
/// [`SEPARATOR`] where everything stands on one line.
const FLAT_SEPARATOR: &str = " --- ";

/// What a prompt is made of.
pub(crate) struct Inputs<'a> {
    pub(crate) settings: &'a Settings,
    /// Where the product's own notes are.
    pub(crate) system_memory: &'a Path,
    /// Where the server listens.
    pub(crate) port: u16,
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
    /// Where its parts are in the text.
    pub(crate) blocks: Vec<Block>,
}

impl App {
    /// Returns the folder with the product's own notes, which need not exist.
    pub(crate) fn system_memory(&self) -> PathBuf {
        let beside = || self.program.parent().map(Path::to_owned).unwrap_or_default();
        self.settings.source_project_root.clone().unwrap_or_else(beside).join("memory")
    }

    /// Returns the port on which the server listens.
    pub(crate) fn port(&self) -> u16 {
        self.address.get().map_or(self.settings.port, SocketAddr::port)
    }
}

/// Assembles a prompt. Blocks.
pub(crate) fn assemble(inputs: &Inputs<'_>) -> Prompt {
    let bare = inputs.tool.is_some_and(|tool| tool.prompt_mode.as_deref() == Some("bare-user"));
    let mut sections = Sections::default();
    let turn_context = if bare {
        sections.push("message", inputs.message);
        None
    } else {
        Some(full(inputs, &mut sections))
    };
    let flat = inputs.tool.is_some_and(|tool| tool.flatten_prompt);
    if flat {
        sections.flatten();
    }
    let (text, blocks) = sections.join(if flat { FLAT_SEPARATOR } else { SEPARATOR });
    Prompt { text, turn_context, blocks }
}

/// Adds all parts; returns the hidden one that is recorded with the turn.
fn full(inputs: &Inputs<'_>, sections: &mut Sections) -> String {
    let resuming = inputs.conversation.resume().is_some();
    let told = inputs.conversation.text();
    let continues = !resuming && told.is_some();
    if !resuming {
        sections.push("startup", startup::context(inputs));
        if inputs.settings.shared_startup_defaults {
            sections.push("defaults", startup::shared_defaults());
        }
        if let Some(notes) = startup::notes(inputs.settings.paths.memory()) {
            sections.push("notes", notes);
        }
        if let Some(rules) = startup::source_rules(&inputs.session.source_id) {
            sections.push("source", rules);
        }
        if let Some(text) = inputs.session.system_prompt.as_ref().filter(|text| !text.trim().is_empty()) {
            sections.push("instructions", text);
        }
    }
    if let Some(told) = told {
        let heading = if resuming {
            "What was said in this session since you last worked in it, told from its record (another tool did the work):"
        } else {
            "The conversation so far in this session, told from its record (another tool or an earlier process \
             may have done the work):"
        };
        sections.push("conversation", format!("{heading}\n\n{told}"));
    }
    let turn_context =
        startup::turn(inputs.settings.paths.memory(), &inputs.settings.work_home, inputs.session);
    sections.push("turn", format!("<private>\n{turn_context}\n</private>"));
    let heading = if resuming || continues { "Current user message:" } else { "User message:" };
    sections.push("message", format!("{heading}\n{}", inputs.message));
    if inputs
        .session
        .rest
        .get("visitorId")
        .and_then(serde_json::Value::as_str)
        .is_some_and(|id| !id.is_empty())
    {
        sections.push("guard", startup::visitor_guard());
    }
    turn_context
}
