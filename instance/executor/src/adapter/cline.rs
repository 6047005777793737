//! The lines of `cline --json`.

use remotelab_protocol::event::{Known, Usage};
use serde_json::Value;

use super::value::{input, text};
use super::{Parsed, status};

/// What the lines so far have told.
#[derive(Clone, Debug, Default)]
pub(super) struct Reader {
    begun: bool,
    spoke: bool,
    /// The message that is being written, as far as it is.
    writing: Option<String>,
    context_tokens: Option<u64>,
    verdict: Option<String>,
}

impl Reader {
    pub(super) fn line(&mut self, line: &Value) -> Parsed {
        match line["type"].as_str().unwrap_or_default() {
            "agent_event" => self.agent_event(&line["event"]),
            "run_result" => self.run_result(line),
            "error" | "run_aborted" => {
                let told = text(&line["message"]).unwrap_or("unknown error");
                self.verdict.get_or_insert_with(|| told.to_owned());
                Parsed::default()
            }
            _ => Parsed::default(),
        }
    }

    /// Returns what was being written when the output ended.
    pub(super) fn written(&mut self) -> Option<Known> {
        let text = self.writing.take().filter(|text| !text.trim().is_empty())?;
        self.spoke = true;
        Some(Parsed::message(&text, None))
    }

    pub(super) fn take_verdict(&mut self) -> Option<String> {
        self.verdict.take()
    }

    fn agent_event(&mut self, event: &Value) -> Parsed {
        let helper = event["parentAgentId"].is_string();
        match (event["type"].as_str().unwrap_or_default(), event["contentType"].as_str()) {
            ("iteration_start", _) if !self.begun => {
                self.begun = true;
                Parsed::of(status("thinking"))
            }
            ("content_start", Some("tool")) => {
                Parsed::of(Known::ToolUse { tool_name: tool_name(event), tool_input: input(&event["input"]) })
            }
            ("content_end", Some("tool")) => Parsed::of(tool_result(event)),
            ("content_start", Some("text")) if !helper => {
                self.writing = text(&event["accumulated"]).map(str::to_owned).or(self.writing.take());
                Parsed::default()
            }
            ("content_end", Some("text")) => self.said(event, helper),
            ("content_end", Some("reasoning")) => reasoning(&event["reasoning"]),
            ("notice", _) => text(&event["message"]).map(|text| Parsed::of(status(text))).unwrap_or_default(),
            ("usage", _) if !helper => {
                let tokens = event["inputTokens"].as_u64().filter(|&tokens| tokens > 0);
                self.context_tokens = tokens.or(self.context_tokens);
                Parsed::default()
            }
            ("error", _) => {
                let told = text(&event["error"]["message"]).unwrap_or("unknown error");
                if event["recoverable"] == true {
                    return Parsed::of(status(format!("error: {told}")));
                }
                // The provider's own words need not tell that it was the key.
                let prefix = if event["errorClass"] == "auth" { "authentication failed: " } else { "" };
                self.verdict = Some(format!("{prefix}{told}"));
                Parsed::default()
            }
            _ => Parsed::default(),
        }
    }

    fn said(&mut self, event: &Value, helper: bool) -> Parsed {
        if helper {
            // What a sub-agent says is addressed to its caller, not to the person.
            return reasoning(&event["text"]);
        }
        self.writing = text(&event["text"]).map(str::to_owned).or(self.writing.take());
        Parsed { events: self.written().into_iter().collect(), ..Parsed::default() }
    }

    fn run_result(&mut self, line: &Value) -> Parsed {
        let mut parsed = Parsed { events: self.written().into_iter().collect(), ..Parsed::default() };
        let finish = text(&line["finishReason"]).unwrap_or("unknown");
        let told = text(&line["text"]);
        if let (false, "completed", Some(said)) = (self.spoke, finish, told) {
            self.spoke = true;
            parsed.events.push(Parsed::message(said, None));
        }
        if let Some(usage) = self.usage(line) {
            parsed.push_usage(usage);
        }
        if finish == "completed" {
            self.verdict = None;
            parsed.events.push(status("completed"));
        } else {
            let reason = told.filter(|_| finish == "error").unwrap_or(finish).replace('_', " ");
            self.verdict.get_or_insert(reason);
        }
        parsed
    }

    fn usage(&self, line: &Value) -> Option<Usage> {
        let told = |field: &str| line["usage"][field].as_u64().filter(|&tokens| tokens > 0);
        let usage = Usage {
            context_tokens: self.context_tokens,
            input_tokens: told("inputTokens"),
            output_tokens: told("outputTokens"),
            context_window_tokens: line["model"]["info"]["contextWindow"].as_u64(),
            context_source: Some("provider_turn_usage".into()),
        };
        (usage.context_tokens.is_some() || usage.input_tokens.is_some()).then_some(usage)
    }
}

fn tool_name(event: &Value) -> String {
    text(&event["toolName"]).unwrap_or("tool").to_owned()
}

fn tool_result(event: &Value) -> Known {
    let (output, exit_code) = match (text(&event["error"]), event["output"].as_array()) {
        (Some(error), _) => (error.to_owned(), 1),
        (None, Some(parts)) => {
            let part = |part: &Value| input(if part["result"].is_null() { part } else { &part["result"] });
            let failed = parts.iter().any(|part| part["success"] == false);
            (parts.iter().map(part).collect::<Vec<_>>().join("\n"), i32::from(failed))
        }
        (None, None) => (input(&event["output"]), 0),
    };
    Known::ToolResult { tool_name: tool_name(event), output, exit_code }
}

fn reasoning(value: &Value) -> Parsed {
    text(value).map(|text| Parsed::of(Known::Reasoning { content: text.to_owned() })).unwrap_or_default()
}
