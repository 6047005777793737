//! The executor that answers where no real one is installed. It says so.

use std::io::{self, Read, Write};
use std::path::Path;

use remotelab_protocol::tool::{RuntimeFamily, Tool};
use serde_json::{Value, json};

/// The hidden subcommand of `remotelab` that is this executor.
pub const SUBCOMMAND: &str = "demo-executor";

/// The demo's tool id.
pub const ID: &str = "demo";

/// The most that is read of a prompt, in bytes.
const PROMPT_MAX: u64 = 16 << 20;

/// How much of the request the answer repeats, in characters.
const ECHO_CHARS: usize = 600;

/// Returns the demo as a tool; `program` is `remotelab` itself.
#[must_use]
pub fn tool(program: &Path) -> Tool {
    Tool {
        id: ID.into(),
        name: "Demo (no AI installed)".into(),
        command: program.display().to_string(),
        runtime_family: Some(RuntimeFamily::CodexJson),
        builtin: true,
        available: true,
        ..Tool::default()
    }
}

/// Tells whether a tool is the demo; a custom tool of the same id is not.
#[must_use]
pub fn is_demo(tool: &Tool) -> bool {
    tool.builtin && tool.id == ID
}

/// Answers one prompt: reads it to its end and writes Codex' lines.
///
/// # Errors
/// When the prompt cannot be read or the answer not written.
pub fn main(prompt: impl Read, mut output: impl Write) -> io::Result<()> {
    let mut bytes = Vec::new();
    prompt.take(PROMPT_MAX).read_to_end(&mut bytes)?;
    for line in answer(&String::from_utf8_lossy(&bytes)) {
        writeln!(output, "{line}")?;
    }
    output.flush()
}

fn answer(prompt: &str) -> Vec<Value> {
    let request = request(prompt);
    let command = "remotelab demo: look at the request";
    let seen = format!("{} characters, nothing was changed on this machine\n", request.chars().count());
    let step = |kind: &str, output: &str, exit_code: Value, status: &str| {
        json!({"type": kind, "item": {"id": "item_0", "type": "command_execution", "command": command,
            "aggregated_output": output, "exit_code": exit_code, "status": status}})
    };
    vec![
        json!({"type": "turn.started"}),
        step("item.started", "", Value::Null, "in_progress"),
        step("item.completed", &seen, 0.into(), "completed"),
        json!({"type": "item.completed", "item": {"id": "item_1", "type": "agent_message", "text": reply(request)}}),
        json!({"type": "turn.completed", "usage": {"input_tokens": 0, "output_tokens": 0}}),
    ]
}

fn reply(request: &str) -> String {
    let mut echo: String = request.chars().take(ECHO_CHARS).collect();
    if echo.len() < request.len() {
        echo.push('…');
    }
    let quoted: Vec<_> = echo.lines().map(|line| format!("> {line}")).collect();
    format!(
        "**This is the built-in demo, not an AI.** RemoteLab works: your message arrived, and this answer \
         came back the way a real one will.\n\n\
         You wrote:\n\n{}\n\n\
         To get real work done, install one of these on the machine that runs RemoteLab and sign in once:\n\n\
         * Codex: `npm install -g @openai/codex`, then `codex login`\n\
         * Claude Code: `npm install -g @anthropic-ai/claude-code`, then `claude` and `/login`\n\n\
         It shows up in the list of executors within seconds; nothing needs a restart.",
        quoted.join("\n")
    )
}

/// Finds what the person wrote in an assembled prompt; all of it when it has no such part.
fn request(prompt: &str) -> &str {
    let marks = ["Current user message:\n", "User message:\n"];
    let start = marks.iter().filter_map(|mark| Some(prompt.rfind(mark)? + mark.len())).max();
    let text = &prompt[start.unwrap_or(0)..];
    let end = text.find("\n\n---\n\n<private>").unwrap_or(text.len());
    text[..end].trim()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Adapter, Stream};
    use remotelab_protocol::event::Known;

    #[test]
    fn answers_what_the_person_asked_and_says_what_it_is() {
        let prompt = "Long preamble.\n\n---\n\nUser message:\nClean up\nthe March sales\n\n---\n\n<private>guard</private>";
        let mut output = Vec::new();
        main(prompt.as_bytes(), &mut output).unwrap();
        let mut adapter = Adapter::for_tool(&tool(Path::new("/opt/remotelab")));
        let text = String::from_utf8(output).unwrap();
        let events: Vec<Known> =
            text.lines().flat_map(|line| adapter.line(Stream::Stdout, line).events).collect();
        let [
            Known::Status { .. },
            Known::ToolUse { .. },
            Known::ToolResult { exit_code: 0, .. },
            Known::Message(message),
            Known::Status { content },
        ] = events.as_slice()
        else {
            panic!("unexpected events: {events:?}");
        };
        assert_eq!(content, "completed");
        assert!(message.content.starts_with("**This is the built-in demo, not an AI.**"));
        assert!(message.content.contains("You wrote:\n\n> Clean up\n> the March sales\n\n"));
        assert!(message.content.contains("npm install -g @openai/codex"));
    }

    #[test]
    fn a_bare_prompt_is_the_request() {
        assert_eq!(request("  hello "), "hello");
        assert_eq!(request("Current user message:\n你好"), "你好");
        assert_eq!(request(""), "");
    }
}
