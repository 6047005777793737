//! The lines of `opencode run --format json`.

use remotelab_protocol::event::{Known, Usage};
use serde_json::Value;

use super::value::{input, text};
use super::{Parsed, status};

/// What the lines so far have told.
#[derive(Clone, Debug, Default)]
pub(super) struct Reader {
    session: Option<String>,
    input_tokens: u64,
    output_tokens: u64,
    verdict: Option<String>,
}

impl Reader {
    pub(super) fn line(&mut self, line: &Value) -> Parsed {
        let begun = self.new_session(line);
        let part = &line["part"];
        let mut parsed = match line["type"].as_str().unwrap_or_default() {
            "text" => said(part, |text| Parsed::message(text, None)),
            "reasoning" => said(part, |text| Known::Reasoning { content: text.to_owned() }),
            "tool_use" => Parsed { events: tool(part).into(), ..Parsed::default() },
            "step_finish" => self.step_finish(part),
            "error" => {
                self.verdict = Some(reason(&line["error"]));
                Parsed::default()
            }
            _ => Parsed::default(),
        };
        if let Some(id) = begun {
            parsed.events.insert(0, status(format!("Session started ({id})")));
            parsed.resume_id = Some(id);
        }
        parsed
    }

    pub(super) fn take_verdict(&mut self) -> Option<String> {
        self.verdict.take()
    }

    /// An error may name a session in which nothing was said, so that it tells no id.
    fn new_session(&mut self, line: &Value) -> Option<String> {
        let id = text(&line["sessionID"])?;
        if self.session.as_deref() == Some(id) || line["type"] == "error" {
            return None;
        }
        self.session = Some(id.to_owned());
        self.session.clone()
    }

    /// A step ends with tool calls, after which another follows, or with the turn.
    fn step_finish(&mut self, part: &Value) -> Parsed {
        let tokens = &part["tokens"];
        let count = |value: &Value| value.as_u64().unwrap_or_default();
        let context = [&tokens["input"], &tokens["cache"]["read"], &tokens["cache"]["write"]]
            .into_iter()
            .fold(0, |sum: u64, value| sum.saturating_add(count(value)));
        self.input_tokens = self.input_tokens.saturating_add(context);
        self.output_tokens = self.output_tokens.saturating_add(count(&tokens["output"]));
        let mut parsed = Parsed::default();
        if part["reason"] == "tool-calls" {
            return parsed;
        }
        self.verdict = None;
        if context > 0 {
            parsed.push_usage(Usage {
                context_tokens: Some(context),
                input_tokens: Some(self.input_tokens),
                output_tokens: Some(self.output_tokens),
                context_window_tokens: None,
                context_source: Some("provider_turn_usage".into()),
            });
        }
        parsed.events.push(status("completed"));
        parsed
    }
}

fn said(part: &Value, event: impl FnOnce(&str) -> Known) -> Parsed {
    text(&part["text"]).map(|text| Parsed::of(event(text))).unwrap_or_default()
}

/// A call is told once, when it is over.
fn tool(part: &Value) -> [Known; 2] {
    let name = text(&part["tool"]).unwrap_or("tool").to_owned();
    let state = &part["state"];
    let failed = state["status"] == "error";
    let exit = state["metadata"]["exit"].as_i64().and_then(|code| i32::try_from(code).ok());
    let output = if failed { &state["error"] } else { &state["output"] };
    [
        Known::ToolUse { tool_name: name.clone(), tool_input: input(&state["input"]) },
        Known::ToolResult {
            tool_name: name,
            output: input(output),
            exit_code: exit.unwrap_or(i32::from(failed)),
        },
    ]
}

fn reason(error: &Value) -> String {
    let data = &error["data"];
    let message = text(&data["message"]).or_else(|| text(&error["name"])).unwrap_or("unknown error");
    match data["statusCode"].as_u64() {
        Some(code) => format!("{message} (HTTP {code})"),
        None => message.to_owned(),
    }
}
