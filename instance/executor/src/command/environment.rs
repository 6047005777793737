//! The environment of one run.

use std::collections::BTreeMap;

use remotelab_config::Env;
use remotelab_protocol::run::Manifest;
use remotelab_protocol::tool::Tool;
use serde_json::json;

use super::{CodexHome, Context, uses_codex_home};
use crate::dialect::Dialect;

/// Builds the environment of a run from the owner's login shell and, above it, the server's: what belongs to
/// the service or to another run is taken out, what agent commands need is put in.
#[must_use]
pub fn environment(tool: &Tool, manifest: &Manifest, base: &Env, context: &Context) -> Env {
    let shell = context.shell.as_deref().into_iter().flat_map(Env::iter);
    let mut env: BTreeMap<String, String> = shell
        .chain(base.iter())
        .filter(|(key, _)| !is_withheld(key))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    let mut set = |key: &str, value: String| env.insert(key.to_owned(), value);
    set("PATH", path(context));
    if !base.iter().any(|(key, _)| key == "HOME") {
        set("HOME", context.home.display().to_string());
    }
    if let Some((contained, claude_home)) = &context.contained {
        set("HOME", contained.workspace().display().to_string());
        let temporary = contained.temporary().display().to_string();
        for key in ["TMPDIR", "CLAUDE_CODE_TMPDIR"] {
            set(key, temporary.clone());
        }
        set("CLAUDE_CONFIG_DIR", claude_home.display().to_string());
    }
    set("REMOTELAB_SESSION_ID", manifest.session_id.to_string());
    set("REMOTELAB_RUN_ID", manifest.id.to_string());
    set("REMOTELAB_CHAT_BASE_URL", context.chat_base_url.clone());
    let root = context.launcher.as_ref().map(|launcher| launcher.project_root.as_path());
    if base.get("REMOTELAB_PROJECT_ROOT").is_none()
        && let Some(root) = root.or_else(|| context.program.parent())
    {
        set("REMOTELAB_PROJECT_ROOT", root.display().to_string());
    }
    let program = context.launcher.as_ref().map_or(&context.program, |launcher| &launcher.program);
    set("REMOTELAB_BIN", program.display().to_string());
    set("REMOTELAB_TOOL_ID", tool.id.clone());
    set("REMOTELAB_TOOL_NAME", tool.name.clone());
    let source = match &context.shared_tool {
        _ if tool.builtin => "builtin",
        Some(_) => "shared",
        None => "custom",
    };
    set("REMOTELAB_TOOL_SOURCE", source.into());
    if let Some(shared) = &context.shared_tool {
        set("REMOTELAB_SHARED_TOOL_DIR", shared.folder.display().to_string());
        set("REMOTELAB_SHARED_TOOL_CARD", shared.card.display().to_string());
        if let Some(overlay) = &shared.overlay {
            set("REMOTELAB_TOOL_OVERLAY", overlay.display().to_string());
        }
    }
    if let Some(files) = attachments(manifest) {
        set("REMOTELAB_ATTACHMENT_PATHS", files);
    }
    // Claude Code refuses to work without asking as root unless it is told that this is meant.
    if context.is_root && base.get("IS_SANDBOX").is_none() {
        set("IS_SANDBOX", "1".into());
    }
    // Otherwise Cline leaves a service behind that does the work of later runs, out of reach of their end.
    if Dialect::of(tool) == Dialect::Cline {
        set("CLINE_SESSION_BACKEND_MODE", "local".into());
    }
    if let (true, CodexHome::Managed(home)) = (uses_codex_home(tool), &context.codex_home) {
        set("CODEX_HOME", home.display().to_string());
    }
    for (key, value) in &manifest.options.env {
        set(key, value.clone());
    }
    env.into_iter().collect()
}

/// Tells whether a variable must not reach an executor: marks of an outer run, and the service's secrets.
pub(crate) fn is_withheld(key: &str) -> bool {
    const OF_OUTER_RUNS: &[&str] = &[
        "CLAUDECODE",
        "CLAUDE_CODE_ENTRYPOINT",
        "REMOTELAB_SESSION_ID",
        "REMOTELAB_RUN_ID",
        "REMOTELAB_CHAT_BASE_URL",
        "REMOTELAB_BIN",
        "REMOTELAB_USER_SHELL_ENV_B64",
        "REMOTELAB_ATTACHMENT_PATHS",
        "REMOTELAB_SHARED_TOOL_DIR",
        "REMOTELAB_SHARED_TOOL_CARD",
        "REMOTELAB_TOOL_OVERLAY",
    ];
    const SECRETS: &[&str] = &["TOKEN", "SECRET", "ACCESS_KEY", "PASSWORD", "PRIVATE_KEY", "API_KEY"];
    // An address with a name and a password, and what a supervisor told the server alone.
    const OF_SERVICE: &[&str] = &["REMOTELAB_PUSH_PROXY", "REMOTELAB_SUPERVISED"];
    let of_service = key.starts_with("REMOTELAB_") && SECRETS.iter().any(|word| key.contains(word));
    OF_OUTER_RUNS.contains(&key)
        || OF_SERVICE.contains(&key)
        || of_service
        || key.starts_with("AGENT_MAILBOX_")
}

/// Begins the `PATH` with the launcher's folder, so that a run finds this `remotelab`; without a launcher it
/// ends with the program's own.
fn path(context: &Context) -> String {
    let first = context.launcher.as_ref().and_then(|launcher| launcher.bin.to_str());
    if let Some(first) = first.filter(|folder| !folder.contains(':')) {
        return format!("{first}:{}", context.search_path);
    }
    match context.program.parent().and_then(|folder| folder.to_str()) {
        None | Some("") => context.search_path.clone(),
        Some(own) if context.search_path.is_empty() => own.to_owned(),
        Some(own) if context.search_path.split(':').any(|folder| folder == own) => {
            context.search_path.clone()
        }
        Some(own) => format!("{}:{own}", context.search_path),
    }
}

fn attachments(manifest: &Manifest) -> Option<String> {
    let files: Vec<_> = manifest
        .options
        .images
        .iter()
        .filter_map(|file| {
            let path = file.saved_path.as_ref()?;
            Some(json!({"path": path, "mimeType": file.mime_type, "originalName": file.display_name()}))
        })
        .collect();
    (!files.is_empty()).then(|| serde_json::Value::from(files).to_string())
}
