//! The lines of `gemini --output-format stream-json`.

use std::collections::HashMap;

use remotelab_protocol::event::{Known, Usage};
use serde_json::Value;

use super::value::{input, text};
use super::{Parsed, status};

/// What the lines so far have told.
#[derive(Clone, Debug, Default)]
pub(super) struct Reader {
    /// The pieces of the message that is being written.
    writing: String,
    /// Names of the tools that were called, by the id of the call.
    tools: HashMap<String, String>,
    verdict: Option<String>,
}

impl Reader {
    pub(super) fn line(&mut self, line: &Value) -> Parsed {
        let kind = line["type"].as_str().unwrap_or_default();
        if kind == "message" {
            return self.message(line);
        }
        let mut parsed = match kind {
            "init" => init(line),
            "tool_use" => Parsed::of(self.tool_use(line)),
            "tool_result" => Parsed::of(self.tool_result(line)),
            "error" => notice(line),
            "result" => self.result(line),
            _ => return Parsed::default(),
        };
        // Nothing marks a message's end but the line after it.
        let written = self.written();
        parsed.events.splice(0..0, written);
        parsed
    }

    /// Returns what was being written when the output ended.
    pub(super) fn written(&mut self) -> Option<Known> {
        let text = std::mem::take(&mut self.writing);
        (!text.trim().is_empty()).then(|| Parsed::message(&text, None))
    }

    pub(super) fn take_verdict(&mut self) -> Option<String> {
        self.verdict.take()
    }

    fn message(&mut self, line: &Value) -> Parsed {
        let (Some("assistant"), Some(content)) = (line["role"].as_str(), line["content"].as_str()) else {
            return Parsed::default();
        };
        let before = if line["delta"] == true { None } else { self.written() };
        self.writing.push_str(content);
        Parsed { events: before.into_iter().collect(), ..Parsed::default() }
    }

    fn tool_use(&mut self, line: &Value) -> Known {
        let tool_name = text(&line["tool_name"]).unwrap_or("tool").to_owned();
        if let Some(id) = line["tool_id"].as_str() {
            self.tools.insert(id.to_owned(), tool_name.clone());
        }
        Known::ToolUse { tool_name, tool_input: input(&line["parameters"]) }
    }

    fn tool_result(&self, line: &Value) -> Known {
        let id = line["tool_id"].as_str().unwrap_or_default();
        let failed = line["status"] == "error";
        let output = text(&line["output"]).or_else(|| text(&line["error"]["message"]));
        Known::ToolResult {
            tool_name: self.tools.get(id).map_or("tool", String::as_str).to_owned(),
            output: output.unwrap_or_default().to_owned(),
            exit_code: i32::from(failed),
        }
    }

    fn result(&mut self, line: &Value) -> Parsed {
        let mut parsed = Parsed::default();
        let tokens = |field: &str| line["stats"][field].as_u64().filter(|&tokens| tokens > 0);
        // Sums over the turn's requests, so that they do not tell what is live in the context.
        let (input_tokens, output_tokens) = (tokens("input_tokens"), tokens("output_tokens"));
        if input_tokens.is_some() || output_tokens.is_some() {
            parsed.push_usage(Usage { input_tokens, output_tokens, ..Usage::default() });
        }
        if line["status"] == "error" {
            let told = text(&line["error"]["message"]).unwrap_or("unknown error");
            self.verdict = Some(provider_message(told));
        } else {
            self.verdict = None;
            parsed.events.push(status("completed"));
        }
        parsed
    }
}

fn init(line: &Value) -> Parsed {
    let Some(id) = text(&line["session_id"]) else {
        return Parsed::default();
    };
    Parsed { resume_id: Some(id.to_owned()), ..Parsed::of(status(format!("Session started ({id})"))) }
}

/// The end is told by the result, so that these stay notices.
fn notice(line: &Value) -> Parsed {
    let Some(message) = text(&line["message"]) else {
        return Parsed::default();
    };
    let prefix = if line["severity"] == "error" { "error: " } else { "" };
    Parsed::of(status(format!("{prefix}{message}")))
}

/// Takes the message and the status out of `[API Error: {"error":{"code":…,"message":…}}]`.
fn provider_message(told: &str) -> String {
    let json = told.strip_prefix("[API Error: ").and_then(|rest| rest.strip_suffix(']')).unwrap_or(told);
    let Ok(body) = serde_json::from_str::<Value>(json) else {
        return json.to_owned();
    };
    let error = &body["error"];
    match (text(&error["message"]), error["code"].as_u64()) {
        (Some(message), Some(code)) => format!("{message} (HTTP {code})"),
        (Some(message), None) => message.to_owned(),
        (None, _) => json.to_owned(),
    }
}
