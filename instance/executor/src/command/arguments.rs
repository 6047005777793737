//! The arguments of each program, and whether the prompt is one of them.

use remotelab_protocol::run::{Manifest, Options};
use remotelab_protocol::tool::Tool;

use super::{Context, resume_id, resumes};
use crate::dialect::Dialect;

/// The longest prompt that a custom tool gets as an argument, in bytes. The kernel refuses arguments above
/// 128 KiB; beyond this limit the prompt is on standard input.
pub const PROMPT_ARGUMENT_MAX: usize = 96 * 1024;

/// Efforts that Claude Code knows.
const CLAUDE_EFFORTS: &[&str] = &["low", "medium", "high", "xhigh", "max"];

/// Efforts that GitHub Copilot knows.
const COPILOT_EFFORTS: &[&str] = &["none", "minimal", "low", "medium", "high", "xhigh", "max"];

/// Efforts that Cline knows.
const CLINE_EFFORTS: &[&str] = &["none", "low", "medium", "high", "xhigh"];

const DEVELOPER_INSTRUCTIONS: &str = "You work for RemoteLab. It owns the workflow, the memory and the \
    style of replies; follow the instructions in the message about them. Do the task on this machine, then \
    answer the person in plain words with the result, not with a log of your steps.";

/// Cline wants an argument of several words and puts standard input below it.
const CLINE_PROMPT: &str = "Do what the following message asks.";

/// Arguments and standard input.
pub(super) type Call = (Vec<String>, Option<String>);

/// Builds the call of a tool.
pub(super) fn of(tool: &Tool, manifest: &Manifest, context: &Context, prompt: String) -> Call {
    let options = &manifest.options;
    let resume = resume_id(tool, manifest);
    let args = match Dialect::of(tool) {
        Dialect::Codex => return codex(tool, options, resume, context, prompt),
        Dialect::Claude => return claude(tool, options, resume, prompt),
        Dialect::OpenCode => opencode(options, resume),
        Dialect::Gemini => gemini(options, resume),
        Dialect::Copilot => copilot(options, resume),
        Dialect::Cline => cline(options),
    };
    (args, Some(prompt))
}

fn codex(tool: &Tool, options: &Options, resume: Option<&str>, context: &Context, prompt: String) -> Call {
    let mut args = flags(if options.without_tools {
        // Codex cannot be told to have no tools at all; these change nothing on the machine.
        &[
            "exec",
            "--json",
            "--sandbox",
            "read-only",
            "--disable",
            "shell_tool",
            "--ephemeral",
            "--skip-git-repo-check",
        ]
    } else {
        &["exec", "--json", "--dangerously-bypass-approvals-and-sandbox", "--skip-git-repo-check"]
    });
    let instructions = context.codex_developer_instructions.as_deref().unwrap_or(DEVELOPER_INSTRUCTIONS);
    if !instructions.trim().is_empty() {
        args.push("-c".into());
        args.push(format!("developer_instructions={}", toml_string(instructions)));
    }
    add(&mut args, "-m", plain(options.model.as_deref()));
    if let Some(effort) = word(options.effort.as_deref()) {
        args.extend(["-c".into(), format!("model_reasoning_effort={effort}")]);
    }
    add(&mut args, "resume", resume);
    if fits_argument(tool, &prompt) {
        args.push(prompt);
        (args, None)
    } else {
        args.push("-".into());
        (args, Some(prompt))
    }
}

fn claude(tool: &Tool, options: &Options, resume: Option<&str>, prompt: String) -> Call {
    let mut args = flags(&["--output-format", "stream-json", "--verbose"]);
    args.extend(flags(if options.without_tools {
        &["--tools", "", "--strict-mcp-config", "--no-session-persistence"]
    } else {
        &["--dangerously-skip-permissions"]
    }));
    if tool.builtin && !options.without_tools {
        // Text while it is being written; programs that only speak like Claude may not know the flag.
        args.push("--include-partial-messages".into());
    }
    add(&mut args, "--model", plain(options.model.as_deref()));
    let known = if tool.builtin { CLAUDE_EFFORTS } else { &[] };
    add(&mut args, "--effort", effort(options, known));
    add(&mut args, "--resume", resume);
    // The last flag, so that a prompt is both its value and the last argument.
    args.push("-p".into());
    if fits_argument(tool, &prompt) {
        args.push(prompt);
        (args, None)
    } else {
        (args, Some(prompt))
    }
}

fn opencode(options: &Options, resume: Option<&str>) -> Vec<String> {
    let mut args = flags(&["run", "--format", "json", "--auto", "--thinking"]);
    add(&mut args, "--model", plain(options.model.as_deref()));
    let variant = word(options.effort.as_deref()).or(options.thinking.then_some("high"));
    add(&mut args, "--variant", variant);
    add(&mut args, "--session", resume);
    args
}

fn gemini(options: &Options, resume: Option<&str>) -> Vec<String> {
    let mut args = flags(&["--output-format", "stream-json", "--yolo", "--skip-trust"]);
    add(&mut args, "--model", plain(options.model.as_deref()));
    add(&mut args, "--resume", resume);
    args
}

fn copilot(options: &Options, resume: Option<&str>) -> Vec<String> {
    let mut args = flags(&["--output-format", "json", "--allow-all", "--no-ask-user", "--no-color"]);
    add(&mut args, "--model", plain(options.model.as_deref()));
    add(&mut args, "--reasoning-effort", effort(options, COPILOT_EFFORTS));
    args.extend(resume.map(|id| format!("--resume={id}")));
    args
}

fn cline(options: &Options) -> Vec<String> {
    let mut args = flags(&["--json"]);
    add(&mut args, "--model", plain(options.model.as_deref()));
    add(&mut args, "--thinking", effort(options, CLINE_EFFORTS));
    args.push(CLINE_PROMPT.to_owned());
    args
}

fn flags(flags: &[&str]) -> Vec<String> {
    flags.iter().map(|&flag| flag.to_owned()).collect()
}

fn add(args: &mut Vec<String>, flag: &str, value: Option<&str>) {
    args.extend(value.into_iter().flat_map(|value| [flag.to_owned(), value.to_owned()]));
}

/// Returns the effort if the program knows it, else the one that thinking harder means.
fn effort<'a>(options: &'a Options, known: &[&str]) -> Option<&'a str> {
    let asked = options.effort.as_deref().filter(|effort| known.contains(effort));
    asked.or(options.thinking.then_some("high"))
}

/// Tells whether the prompt is an argument. One that begins with a dash would be read as a flag.
fn fits_argument(tool: &Tool, prompt: &str) -> bool {
    let reads_input = tool.builtin && resumes(tool);
    !reads_input
        && !prompt.is_empty()
        && prompt.len() <= PROMPT_ARGUMENT_MAX
        && !prompt.starts_with('-')
        && !prompt.contains('\0')
}

/// Accepts a value that a program cannot take for a flag.
fn plain(value: Option<&str>) -> Option<&str> {
    value
        .map(str::trim)
        .filter(|text| !text.is_empty() && !text.starts_with('-') && !text.contains(char::is_control))
}

/// Accepts an id or a level: letters, digits, `-` and `_`.
pub(super) fn word(value: Option<&str>) -> Option<&str> {
    let is_word =
        |text: &&str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    plain(value).filter(is_word)
}

/// Writes a TOML basic string; its escapes are those of JSON.
fn toml_string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
