//! The executors that the product knows by itself.

use remotelab_protocol::tool::{RuntimeFamily, Tool};

/// Returns them in the order in which they are offered; whether they are there is for the caller to find.
pub(super) fn tools() -> impl Iterator<Item = Tool> {
    let codex = Some(RuntimeFamily::CodexJson);
    let claude = Some(RuntimeFamily::ClaudeStreamJson);
    [
        ("codex", "CodeX", codex, None),
        ("claude", "Claude Code", claude, Some("private")),
        ("copilot", "GitHub Copilot", None, None),
        ("cline", "Cline", None, None),
        ("kilo-code", "Kilo Code", None, None),
        ("opencode", "OpenCode", None, None),
        ("gemini", "Gemini CLI", None, None),
    ]
    .into_iter()
    .map(|(id, name, runtime_family, visibility)| Tool {
        id: id.into(),
        name: name.into(),
        command: id.into(),
        runtime_family,
        visibility: visibility.map(str::to_owned),
        builtin: true,
        ..Tool::default()
    })
}

/// Tells whether an id belongs to the product. `opencode` and `gemini` came later: where an installation
/// already has a custom tool of that id, the custom tool stays.
pub(super) fn is_id(id: &str) -> bool {
    !matches!(id, "opencode" | "gemini") && tools().any(|tool| tool.id == id)
}

/// Tells whether a tool answers by itself, so that the demo need not.
pub(super) fn is_agent(tool: &Tool) -> bool {
    matches!(tool.id.as_str(), "codex" | "claude" | "copilot" | "cline" | "opencode" | "gemini")
}
