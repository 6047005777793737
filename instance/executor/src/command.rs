//! How an executor is called: arguments, standard input and environment of one run.

mod arguments;
mod codex_home;
mod environment;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use remotelab_config::chat::Settings;
use remotelab_config::containment::Contained;
use remotelab_config::limits::Limits;
use remotelab_config::{Env, paths};
use remotelab_protocol::run::Manifest;
use remotelab_protocol::tool::{RuntimeFamily, Tool};
use serde_json::Value;

use crate::catalogue::SharedTool;
use crate::{Launch, Launcher, demo, failure};

pub use arguments::PROMPT_ARGUMENT_MAX;
pub use codex_home::prepare as prepare_codex_home;
pub use environment::environment;
pub(crate) use environment::is_withheld;

/// The field of a manifest that holds what the executor's own conversation is resumed by, for tools other
/// than Codex and Claude.
pub const RESUME_FIELD: &str = "providerResumeId";

/// What calls have in common on one server.
#[derive(Clone, Debug)]
pub struct Context {
    /// What `~` means in the names of folders.
    pub home: PathBuf,
    /// Where executors find programs, joined as a `PATH`.
    pub search_path: String,
    /// The `remotelab` program; without a launcher its folder ends the `PATH`.
    pub program: PathBuf,
    /// Where runs find the program.
    pub launcher: Option<Launcher>,
    /// The Codex home that runs use.
    pub codex_home: CodexHome,
    /// Text put before every Codex prompt.
    pub codex_prompt_prefix: String,
    /// Developer instructions for Codex; `None` is the built-in text, empty is none.
    pub codex_developer_instructions: Option<String>,
    /// Where agent commands reach the server; see [`base_url`].
    pub chat_base_url: String,
    /// Whether the server runs as root.
    pub is_root: bool,
    /// What the owner's login shell sets; the server's own variables count more.
    pub shell: Option<Arc<Env>>,
    /// The instance's folders, where its runs are contained; then also the Claude home that they use.
    pub contained: Option<(Contained, PathBuf)>,
    /// Where the tool is, if it is a shared one.
    pub shared_tool: Option<SharedTool>,
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
            home: settings.work_home.clone(),
            search_path,
            program,
            launcher: None,
            codex_home: if settings.personal_codex_home && settings.contained.is_none() {
                CodexHome::Personal(personal_codex_home(env, &settings.home))
            } else {
                CodexHome::Managed(settings.paths.managed_codex_home())
            },
            codex_prompt_prefix: settings.codex_prompt_prefix.clone(),
            codex_developer_instructions: settings.codex_developer_instructions.clone(),
            chat_base_url: base_url((Ipv4Addr::LOCALHOST, settings.port).into()),
            is_root: rustix::process::geteuid().is_root(),
            contained: settings
                .contained
                .clone()
                .map(|contained| (contained, settings.paths.managed_claude_home())),
            shell: None,
            shared_tool: None,
        }
    }

    /// Puts the variables of the owner's login shell below the server's.
    #[must_use]
    pub fn with_shell(mut self, shell: Option<Arc<Env>>) -> Self {
        self.shell = shell;
        self
    }

    /// Puts the launcher's folder first in the run's `PATH`.
    #[must_use]
    pub fn with_launcher(mut self, launcher: Option<Launcher>) -> Self {
        self.launcher = launcher;
        self
    }

    /// Tells the run where its tool is, if it is a shared one.
    #[must_use]
    pub fn with_shared_tool(mut self, shared_tool: Option<SharedTool>) -> Self {
        self.shared_tool = shared_tool;
        self
    }
}

/// Returns the address by which programs on this machine reach a listener: one on all interfaces is on the
/// loopback one, too.
#[must_use]
pub fn base_url(listener: SocketAddr) -> String {
    let ip = match listener.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    format!("http://{}", SocketAddr::new(ip, listener.port()))
}

/// Returns the user's own Claude home.
#[must_use]
pub fn personal_claude_home(env: &Env, home: &Path) -> PathBuf {
    env.get("CLAUDE_CONFIG_DIR").map_or_else(|| home.join(".claude"), |text| paths::expand(text, home))
}

/// Returns the user's own Codex home, which holds the login that managed homes share.
#[must_use]
pub fn personal_codex_home(env: &Env, home: &Path) -> PathBuf {
    env.get("CODEX_HOME").map_or_else(|| home.join(".codex"), |text| paths::expand(text, home))
}

/// Tells whether the tool continues its own earlier conversation. Custom tools do so when their entry says
/// that they take their family's flags for it, else they get the history in the prompt; so does Cline, which
/// only resumes in its own window.
#[must_use]
pub fn resumes(tool: &Tool) -> bool {
    let builtin = matches!(tool.id.as_str(), "codex" | "claude" | "opencode" | "gemini" | "copilot");
    if tool.builtin { builtin } else { tool.resumes && tool.runtime_family.is_some() }
}

/// Tells whether the tool can answer from a prompt alone, without doing anything on the machine: its program is
/// one that takes the flags for it, whoever entered it.
#[must_use]
pub fn answers_without_tools(tool: &Tool) -> bool {
    let program = Path::new(&tool.command).file_name().and_then(|name| name.to_str());
    let family = match program {
        Some("codex") => RuntimeFamily::CodexJson,
        Some("claude") => RuntimeFamily::ClaudeStreamJson,
        _ => return false,
    };
    tool.runtime_family == Some(family)
}

/// Returns what the run is to resume the tool's own conversation by: the thread of Codex, the session of
/// Claude, for others the manifest's [`RESUME_FIELD`]. `None` is a fresh conversation.
#[must_use]
pub fn resume_id<'a>(tool: &Tool, manifest: &'a Manifest) -> Option<&'a str> {
    let options = &manifest.options;
    let stored = match tool.id.as_str() {
        "codex" => options.codex_thread_id.as_deref(),
        "claude" => options.claude_session_id.as_deref(),
        _ => manifest.rest.get(RESUME_FIELD).and_then(Value::as_str),
    };
    arguments::word(stored).filter(|_| resumes(tool))
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
        arguments::of(tool, manifest, context, prompt(tool, manifest, context))
    };
    Launch {
        tool_name: failure::spoken_name(tool),
        program: program.unwrap_or_else(|| PathBuf::from(&tool.command)),
        args,
        folder: paths::expand(&manifest.folder, &context.home),
        stdin,
        codex_home: uses_codex_home(tool).then(|| context.codex_home.path().to_owned()),
        contain: None,
        limits: Limits::default(),
        cgroup: None,
        downloads: Vec::new(),
    }
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
    file_lines(manifest)
        .map_or_else(|| manifest.prompt.clone(), |lines| format!("{lines}\n\n{}", manifest.prompt))
}

/// Returns the lines about a run's files that stand before its prompt.
#[must_use]
pub fn file_lines(manifest: &Manifest) -> Option<String> {
    let files = manifest.options.images.iter();
    let lines: Vec<_> = files
        .filter(|file| file.saved_path.is_some())
        .map(remotelab_protocol::Attachment::prompt_line)
        .collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

fn uses_codex_home(tool: &Tool) -> bool {
    !demo::is_demo(tool) && tool.runtime_family == Some(RuntimeFamily::CodexJson)
}

#[cfg(test)]
mod tests;
