//! The lines of `copilot --output-format json`.

use std::collections::HashMap;

use remotelab_protocol::event::{Known, Usage};
use serde_json::Value;

use super::value::{input, text};
use super::{Parsed, status};

/// What the lines so far have told.
#[derive(Clone, Debug, Default)]
pub(super) struct Reader {
    begun: bool,
    /// Names of the tools that were called, by the id of the call.
    tools: HashMap<String, String>,
    context_tokens: Option<u64>,
    context_window_tokens: Option<u64>,
    verdict: Option<String>,
}

impl Reader {
    pub(super) fn line(&mut self, line: &Value) -> Parsed {
        let data = &line["data"];
        match line["type"].as_str().unwrap_or_default() {
            "assistant.turn_start" if !self.begun => {
                self.begun = true;
                Parsed::of(status("thinking"))
            }
            "assistant.message" => self.message(data),
            "tool.execution_start" => Parsed::of(self.tool_start(data)),
            "tool.execution_complete" => Parsed::of(self.tool_complete(data)),
            "session.error" => {
                self.verdict = text(&data["message"]).map(str::to_owned).or(self.verdict.take());
                Parsed::default()
            }
            "result" => self.result(line),
            // Pieces, which come again whole, and the program's own affairs.
            _ => Parsed::default(),
        }
    }

    pub(super) fn take_verdict(&mut self) -> Option<String> {
        self.verdict.take()
    }

    fn message(&mut self, data: &Value) -> Parsed {
        self.verdict = None;
        let reasoning = |value: &Value| text(value).map(|text| Known::Reasoning { content: text.to_owned() });
        let said = if data["parentToolCallId"].is_string() {
            // What a sub-agent says is addressed to its caller, not to the person.
            reasoning(&data["content"])
        } else {
            text(&data["content"]).map(|text| Parsed::message(text, None))
        };
        let thought = reasoning(&data["reasoningText"]);
        Parsed { events: thought.into_iter().chain(said).collect(), ..Parsed::default() }
    }

    fn tool_start(&mut self, data: &Value) -> Known {
        let tool_name = text(&data["toolName"]).unwrap_or("tool").to_owned();
        if let Some(id) = data["toolCallId"].as_str() {
            self.tools.insert(id.to_owned(), tool_name.clone());
        }
        Known::ToolUse { tool_name, tool_input: input(&data["arguments"]) }
    }

    fn tool_complete(&mut self, data: &Value) -> Known {
        let metrics = &data["toolTelemetry"]["metrics"];
        self.context_tokens = metrics["context_current_tokens"].as_u64().or(self.context_tokens);
        self.context_window_tokens = metrics["context_token_limit"].as_u64().or(self.context_window_tokens);
        let id = data["toolCallId"].as_str().unwrap_or_default();
        let exit = data["shellExecution"]["exitCode"].as_i64().and_then(|code| i32::try_from(code).ok());
        let output = text(&data["result"]["content"]).or_else(|| text(&data["error"]["message"]));
        Known::ToolResult {
            tool_name: self.tools.get(id).map_or("tool", String::as_str).to_owned(),
            output: output.unwrap_or_default().to_owned(),
            exit_code: exit.unwrap_or(i32::from(data["success"] == false)),
        }
    }

    fn result(&mut self, line: &Value) -> Parsed {
        let mut parsed = Parsed::default();
        if self.context_tokens.is_some() {
            parsed.push_usage(Usage {
                context_tokens: self.context_tokens,
                context_window_tokens: self.context_window_tokens,
                ..Usage::default()
            });
        }
        if line["exitCode"] == 0 {
            self.verdict = None;
            // A session is only told at the end; one in which nothing was said is not worth going on with.
            parsed.resume_id = text(&line["sessionId"]).map(str::to_owned);
            parsed.events.push(status("completed"));
        }
        parsed
    }
}
