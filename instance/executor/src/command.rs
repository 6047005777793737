//! How an executor is called: arguments, standard input and environment of one run.

mod codex_home;
mod environment;

use std::path::{Path, PathBuf};

use remotelab_config::chat::Settings;
use remotelab_config::{Env, paths};
use remotelab_protocol::run::{Manifest, Options};
use remotelab_protocol::tool::{RuntimeFamily, Tool};

use crate::{Launch, demo, failure};

pub use codex_home::prepare as prepare_codex_home;
pub use environment::environment;

/// The longest prompt that a custom tool gets as an argument, in bytes. The kernel refuses arguments above
/// 128 KiB; beyond this limit the prompt is on standard input.
pub const PROMPT_ARGUMENT_MAX: usize = 96 * 1024;

/// Efforts that Claude Code knows.
const CLAUDE_EFFORTS: &[&str] = &["low", "medium", "high", "xhigh", "max"];

const DEVELOPER_INSTRUCTIONS: &str = "You work for RemoteLab. It owns the workflow, the memory and the \
    style of replies; follow the instructions in the message about them. Do the task on this machine, then \
    answer the person in plain words with the result, not with a log of your steps.";

/// What calls have in common on one server.
#[derive(Clone, Debug)]
pub struct Context {
    /// The service user's home folder, the meaning of `~`.
    pub home: PathBuf,
    /// Where executors find programs, joined as a `PATH`.
    pub search_path: String,
    /// The `remotelab` program; its folder ends the `PATH`.
    pub program: PathBuf,
    /// The Codex home that runs use.
    pub codex_home: CodexHome,
    /// Text put before every Codex prompt.
    pub codex_prompt_prefix: String,
    /// Developer instructions for Codex; `None` is the built-in text, empty is none.
    pub codex_developer_instructions: Option<String>,
    /// Where agent commands reach the server, `http://127.0.0.1:<port>`.
    pub chat_base_url: String,
    /// Whether the server runs as root.
    pub is_root: bool,
}

/// The Codex home of runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CodexHome {
    /// The instance's own; [`prepare_codex_home`] makes it ready before a run.
    Managed(PathBuf),
    /// The user's.
    Personal(PathBuf),
}

impl CodexHome {
    fn path(&self) -> &Path {
        match self {
            Self::Managed(path) | Self::Personal(path) => path,
        }
    }
}

impl Context {
    /// Takes what the server's settings and environment say.
    #[must_use]
    pub fn new(settings: &Settings, env: &Env, search_path: String, program: PathBuf) -> Self {
        Self {
            home: settings.home.clone(),
            search_path,
            program,
            codex_home: if settings.personal_codex_home {
                CodexHome::Personal(personal_codex_home(env, &settings.home))
            } else {
                CodexHome::Managed(settings.paths.managed_codex_home())
            },
            codex_prompt_prefix: settings.codex_prompt_prefix.clone(),
            codex_developer_instructions: settings.codex_developer_instructions.clone(),
            chat_base_url: format!("http://127.0.0.1:{}", settings.port),
            is_root: rustix::process::geteuid().is_root(),
        }
    }
}

/// Returns the user's own Codex home, which holds the login that managed homes share.
#[must_use]
pub fn personal_codex_home(env: &Env, home: &Path) -> PathBuf {
    env.get("CODEX_HOME").map_or_else(|| home.join(".codex"), |text| paths::expand(text, home))
}

/// Tells whether the tool continues its own earlier conversation. Custom tools get the history in the
/// prompt instead, also those of a known family.
#[must_use]
pub fn resumes(tool: &Tool) -> bool {
    tool.builtin && matches!(tool.id.as_str(), "codex" | "claude")
}

/// Builds the call of a run. `program` is the tool's resolved program; without one the run fails with a
/// sentence about it.
///
/// The built-in executors read the prompt from standard input, where no process list shows it and no limit
/// cuts it. Custom tools get it as their last argument, up to [`PROMPT_ARGUMENT_MAX`].
#[must_use]
pub fn launch(tool: &Tool, program: Option<PathBuf>, manifest: &Manifest, context: &Context) -> Launch {
    let (args, stdin) = if demo::is_demo(tool) {
        (vec![demo::SUBCOMMAND.to_owned()], Some(with_files(manifest)))
    } else {
        let prompt = prompt(tool, manifest, context);
        match tool.runtime_family {
            Some(RuntimeFamily::CodexJson) => codex(tool, &manifest.options, context, prompt),
            Some(RuntimeFamily::ClaudeStreamJson) | None => claude(tool, &manifest.options, prompt),
        }
    };
    Launch {
        tool_name: failure::spoken_name(tool),
        program: program.unwrap_or_else(|| PathBuf::from(&tool.command)),
        args,
        folder: paths::expand(&manifest.folder, &context.home),
        stdin,
        codex_home: uses_codex_home(tool).then(|| context.codex_home.path().to_owned()),
    }
}

fn codex(tool: &Tool, options: &Options, context: &Context, prompt: String) -> (Vec<String>, Option<String>) {
    let mut args: Vec<String> =
        ["exec", "--json", "--dangerously-bypass-approvals-and-sandbox", "--skip-git-repo-check"]
            .map(str::to_owned)
            .into();
    let instructions = context.codex_developer_instructions.as_deref().unwrap_or(DEVELOPER_INSTRUCTIONS);
    if !instructions.trim().is_empty() {
        args.push("-c".into());
        args.push(format!("developer_instructions={}", toml_string(instructions)));
    }
    if let Some(model) = plain(options.model.as_deref()) {
        args.extend(["-m".into(), model.to_owned()]);
    }
    if let Some(effort) = word(options.effort.as_deref()) {
        args.extend(["-c".into(), format!("model_reasoning_effort={effort}")]);
    }
    if let Some(thread) = word(options.codex_thread_id.as_deref()).filter(|_| resumes(tool)) {
        args.extend(["resume".into(), thread.to_owned()]);
    }
    if fits_argument(tool, &prompt) {
        args.push(prompt);
        (args, None)
    } else {
        args.push("-".into());
        (args, Some(prompt))
    }
}

fn claude(tool: &Tool, options: &Options, prompt: String) -> (Vec<String>, Option<String>) {
    let mut args: Vec<String> =
        ["--output-format", "stream-json", "--verbose", "--dangerously-skip-permissions"]
            .map(str::to_owned)
            .into();
    if let Some(model) = plain(options.model.as_deref()) {
        args.extend(["--model".into(), model.to_owned()]);
    }
    let effort = options.effort.as_deref().filter(|effort| tool.builtin && CLAUDE_EFFORTS.contains(effort));
    if let Some(effort) = effort.or(options.thinking.then_some("high")) {
        args.extend(["--effort".into(), effort.to_owned()]);
    }
    if let Some(session) = word(options.claude_session_id.as_deref()).filter(|_| resumes(tool)) {
        args.extend(["--resume".into(), session.to_owned()]);
    }
    // The last flag, so that a prompt is both its value and the last argument.
    args.push("-p".into());
    if fits_argument(tool, &prompt) {
        args.push(prompt);
        (args, None)
    } else {
        (args, Some(prompt))
    }
}

/// Tells whether the prompt is an argument. One that begins with a dash would be read as a flag.
fn fits_argument(tool: &Tool, prompt: &str) -> bool {
    !resumes(tool)
        && !prompt.is_empty()
        && prompt.len() <= PROMPT_ARGUMENT_MAX
        && !prompt.starts_with('-')
        && !prompt.contains('\0')
}

fn prompt(tool: &Tool, manifest: &Manifest, context: &Context) -> String {
    let text = with_files(manifest);
    let text = if tool.flatten_prompt { text.split_whitespace().collect::<Vec<_>>().join(" ") } else { text };
    match tool.runtime_family {
        Some(RuntimeFamily::CodexJson) => format!("{}{text}", context.codex_prompt_prefix),
        _ => text,
    }
}

fn with_files(manifest: &Manifest) -> String {
    let files = manifest.options.images.iter();
    let lines: Vec<_> = files
        .filter(|file| file.saved_path.is_some())
        .map(remotelab_protocol::Attachment::prompt_line)
        .collect();
    if lines.is_empty() {
        return manifest.prompt.clone();
    }
    format!("{}\n\n{}", lines.join("\n"), manifest.prompt)
}

fn uses_codex_home(tool: &Tool) -> bool {
    !demo::is_demo(tool) && tool.runtime_family == Some(RuntimeFamily::CodexJson)
}

/// Accepts a value that a program cannot take for a flag.
fn plain(value: Option<&str>) -> Option<&str> {
    value
        .map(str::trim)
        .filter(|text| !text.is_empty() && !text.starts_with('-') && !text.contains(char::is_control))
}

/// Accepts an id or a level: letters, digits, `-` and `_`.
fn word(value: Option<&str>) -> Option<&str> {
    let is_word =
        |text: &&str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    plain(value).filter(is_word)
}

/// Writes a TOML basic string; its escapes are those of JSON.
fn toml_string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests;
