//! The executors whose command lines and output are known.

use remotelab_protocol::tool::{RuntimeFamily, Tool};

/// How an executor is called and what it prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    Codex,
    Claude,
    OpenCode,
    Gemini,
    Copilot,
    Cline,
}

impl Dialect {
    /// The family tells it, else the built-in tool. Custom tools without a family are called and read like
    /// Claude.
    pub(crate) fn of(tool: &Tool) -> Self {
        match (tool.runtime_family, tool.id.as_str()) {
            (Some(RuntimeFamily::CodexJson), _) => Self::Codex,
            (None, "opencode") if tool.builtin => Self::OpenCode,
            (None, "gemini") if tool.builtin => Self::Gemini,
            (None, "copilot") if tool.builtin => Self::Copilot,
            (None, "cline") if tool.builtin => Self::Cline,
            (Some(RuntimeFamily::ClaudeStreamJson) | None, _) => Self::Claude,
        }
    }

    /// Tells whether the tool is known to print what the dialect says, so that a run without it has failed.
    pub(crate) fn is_certain(self, tool: &Tool) -> bool {
        tool.runtime_family.is_some() || self != Self::Claude
    }
}
