//! Why a run failed, in one sentence that a person without the terminal understands.

use std::path::Path;

use remotelab_protocol::run::RunResult;
use remotelab_protocol::tool::Tool;

/// The longest detail that a sentence carries, in characters.
const DETAIL_CHARS: usize = 280;

/// How many last lines explain an executor that said nothing.
const SILENCE_LINES: usize = 3;

/// The reason of a run whose runner died.
pub(crate) const DISAPPEARED: &str = "Detached runner disappeared before writing a result";
const SILENT: &str = "Provider exited without emitting structured events";
const LOGIN: &str = "Provider requires interactive login before RemoteLab can use it";

/// What is known beside the way the executor ended.
#[derive(Clone, Copy, Debug)]
pub struct Evidence<'a> {
    /// The executor's name, for people.
    pub tool_name: &'a str,
    /// What the executor itself gave as the reason.
    pub verdict: Option<&'a str>,
    /// Its last lines that were no events, oldest first.
    pub tail: &'a [String],
}

impl<'a> Evidence<'a> {
    /// Picks the line that tells most: one that calls itself an error, else one whose cause is known, else
    /// the last.
    fn telling_line(&self) -> Option<(&'a str, Option<Cause>)> {
        let newest_first = || self.tail.iter().rev().map(String::as_str);
        if let Some(line) = newest_first().find(|line| calls_itself_error(line)) {
            return Some((line, Cause::of(line)));
        }
        newest_first()
            .find_map(|line| Some((line, Some(Cause::of(line)?))))
            .or_else(|| Some((newest_first().next()?, None)))
    }
}

/// Explains a run that ended badly.
#[must_use]
pub fn explain(evidence: &Evidence<'_>, result: &RunResult) -> String {
    let name = evidence.tool_name;
    match result.error.as_deref() {
        Some(DISAPPEARED) => {
            return format!(
                "The work was cut off, for example by a restart of the machine; send the message again ({DISAPPEARED})"
            );
        }
        // The runner's own reason is already a sentence.
        Some(error) => return error.to_owned(),
        None => {}
    }
    if let Some(verdict) = evidence.verdict {
        let detail = cut(verdict);
        return match Cause::of(verdict) {
            Some(cause) => cause.sentence(name, &detail),
            None => format!("{name} reported an error: {detail}"),
        };
    }
    let ending = match result.signal.as_deref() {
        Some("SIGKILL") => "was stopped by something on this machine (often for lack of memory)",
        Some(_) => "crashed",
        None => "stopped with an error",
    };
    let technical = result.failure_reason();
    match evidence.telling_line() {
        None => format!("{name} {ending} and did not say why ({technical})"),
        Some((line, Some(cause))) => cause.sentence(name, &cut(line)),
        Some((line, None)) => format!("{name} {ending}: {} ({technical})", cut(line)),
    }
}

/// Explains a run that ended well and yet brought nothing.
#[must_use]
pub fn explain_silence(evidence: &Evidence<'_>) -> String {
    let last = evidence.tail.len().saturating_sub(SILENCE_LINES);
    let lines = evidence.tail[last..].join(" | ");
    let name = evidence.tool_name;
    if lines.is_empty() {
        format!("{name} ended without an answer ({SILENT})")
    } else if looks_like_login(&lines.to_lowercase()) {
        format!("{name} wants you to sign in first, in a terminal on this machine: {lines} ({LOGIN})")
    } else {
        format!("{name} ended without an answer: {lines} ({SILENT})")
    }
}

/// Explains a program that is not there.
#[must_use]
pub fn not_found(tool_name: &str, program: &Path) -> String {
    match install_command(program) {
        Some(command) => {
            format!("{tool_name} was not found on this machine; install it with: {command}")
        }
        None => {
            format!("{tool_name} was not found on this machine: there is no program {}", program.display())
        }
    }
}

/// Tells whether a reason says that the conversation to resume is gone.
#[must_use]
pub fn is_lost_resume(reason: &str) -> bool {
    let reason = reason.to_lowercase();
    [
        "no conversation found",
        "no rollout found",
        "thread not found",
        "no saved session found",
        "session not found",
        "invalid session identifier",
        "no session, task, or name matched",
    ]
    .iter()
    .any(|sign| reason.contains(sign))
}

/// Recognises a line of a stack trace, which buries the line that tells the reason.
pub(crate) fn is_backtrace(line: &str) -> bool {
    let line = line.trim_start();
    let frame = line.trim_start_matches(|c: char| c.is_ascii_digit());
    line.eq_ignore_ascii_case("stack backtrace:")
        || line.starts_with("at ")
        || (frame.len() < line.len() && frame.starts_with(": "))
}

fn calls_itself_error(line: &str) -> bool {
    let line = line.to_lowercase();
    ["error", "fatal", "panic"].iter().any(|word| line.starts_with(word))
}

/// Returns the name by which people know the tool in a sentence.
pub(crate) fn spoken_name(tool: &Tool) -> String {
    match (tool.builtin, tool.id.as_str()) {
        (true, "codex") => "Codex".into(),
        (true, "claude") => "Claude".into(),
        _ if tool.name.is_empty() => tool.id.clone(),
        _ => tool.name.clone(),
    }
}

fn install_command(program: &Path) -> Option<&'static str> {
    match program.file_name()?.to_str()? {
        "codex" => Some("npm install -g @openai/codex"),
        "claude" => Some("npm install -g @anthropic-ai/claude-code"),
        "opencode" => Some("npm install -g opencode-ai"),
        "gemini" => Some("npm install -g @google/gemini-cli"),
        "copilot" => Some("npm install -g @github/copilot"),
        "cline" => Some("npm install -g cline"),
        _ => None,
    }
}

#[derive(Clone, Copy)]
enum Cause {
    LostResume,
    SignIn,
    Quota,
    Busy,
    TooLong,
    Model,
    Network,
}

impl Cause {
    /// Recognises a cause by the words that the executors use for it.
    fn of(text: &str) -> Option<Self> {
        let text = text.to_lowercase();
        let has = |signs: &[&str]| signs.iter().any(|sign| text.contains(sign));
        if is_lost_resume(&text) {
            Some(Self::LostResume)
        } else if has(&[
            "usage limit",
            "quota",
            "credit balance",
            "billing",
            "rate limit",
            "rate_limit",
            "too many requests",
            " 429",
        ]) {
            Some(Self::Quota)
        } else if has(&[
            "context window",
            "context_length",
            "prompt is too long",
            "prompt budget",
            "too many tokens",
        ]) {
            Some(Self::TooLong)
        } else if has(&["overloaded", " 529", " 503", "at capacity"]) {
            Some(Self::Busy)
        } else if looks_like_login(&text) || has(&[" 401", "api key", "/login", "credentials"]) {
            Some(Self::SignIn)
        } else if text.contains("model")
            && has(&["not found", "does not exist", "not supported", "may not exist"])
        {
            Some(Self::Model)
        } else if has(&[
            "econnrefused",
            "enotfound",
            "etimedout",
            "connection refused",
            "connection error",
            "error sending request",
            "could not resolve",
            "dns",
            "network",
            "stream disconnected",
            "unable to connect",
            "cannot connect",
            "timed out",
            "fetch failed",
        ]) {
            Some(Self::Network)
        } else {
            None
        }
    }

    fn sentence(self, name: &str, detail: &str) -> String {
        match self {
            Self::LostResume => format!(
                "{name} no longer has this conversation; send the message again to start a fresh one: {detail}"
            ),
            Self::SignIn => format!("{name} is not signed in: {detail}"),
            Self::Quota => format!("{name} has reached a usage limit of its account: {detail}"),
            Self::Busy => {
                format!("The model behind {name} is overloaded, try again in a while: {detail}")
            }
            Self::TooLong => format!("The conversation is too long for {name}'s model: {detail}"),
            Self::Model => format!("{name} cannot use the chosen model: {detail}"),
            Self::Network => format!("{name} could not reach its model over the network: {detail}"),
        }
    }
}

/// Recognises a login problem; the text is in lower case.
fn looks_like_login(text: &str) -> bool {
    const SIGNS: &[&str] = &[
        "unauthorized",
        "unauthenticated",
        "authenticat",
        "authoriz",
        "oauth",
        "auth error",
        "auth required",
        "sign in",
        "signed in",
        "login",
        "log in",
        "logged in",
        "登录",
        "登陆",
        "认证",
        "授权",
    ];
    let is_word = |word: &str| matches!(word, "auth" | "sso");
    SIGNS.iter().any(|sign| text.contains(sign)) || text.split(|c: char| !c.is_alphanumeric()).any(is_word)
}

fn cut(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= DETAIL_CHARS {
        return line;
    }
    let mut short: String = line.chars().take(DETAIL_CHARS).collect();
    short.push('…');
    short
}
