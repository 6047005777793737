//! The lines of `claude -p --output-format stream-json`.

use std::collections::HashMap;

use remotelab_protocol::event::{Known, Usage};
use serde_json::Value;

use super::value::{input, text};
use super::{Parsed, Partial, status};

/// What the lines so far have told.
#[derive(Clone, Debug, Default)]
pub(super) struct Reader {
    session: Option<String>,
    model: Option<String>,
    /// Names of the tools that were called, by the id of the call.
    tools: HashMap<String, String>,
    context_tokens: Option<u64>,
    spoke: bool,
    /// What Claude Code itself said in the model's place.
    synthetic_error: Option<String>,
    verdict: Option<String>,
}

impl Reader {
    pub(super) fn line(&mut self, line: &Value) -> Parsed {
        let mut parsed = match line["type"].as_str().unwrap_or_default() {
            "system" => self.system(line),
            "assistant" => self.assistant(line),
            "user" => self.user(line),
            "result" => self.result(line),
            "stream_event" => Parsed { partial: Some(partial(line)), ..Parsed::default() },
            _ => Parsed::default(),
        };
        parsed.resume_id = self.new_session(line);
        parsed
    }

    pub(super) fn take_verdict(&mut self) -> Option<String> {
        self.verdict.take().or(self.synthetic_error.take())
    }

    /// A failed result may name a session that does not exist, so that it tells no id.
    fn new_session(&mut self, line: &Value) -> Option<String> {
        let id = text(&line["session_id"])?;
        if self.session.as_deref() == Some(id) || line["is_error"] == true {
            return None;
        }
        self.session = Some(id.to_owned());
        self.session.clone()
    }

    fn system(&mut self, line: &Value) -> Parsed {
        match line["subtype"].as_str() {
            Some("init") => {
                self.model = text(&line["model"]).map(str::to_owned);
                let id = line["session_id"].as_str().unwrap_or("unknown");
                Parsed::of(status(format!("Session started ({id})")))
            }
            // Ticks of a request under way tell a reader nothing.
            Some("status") | None => Parsed::default(),
            Some(subtype) => Parsed::of(status(format!("System: {subtype}"))),
        }
    }

    fn assistant(&mut self, line: &Value) -> Parsed {
        let message = &line["message"];
        let helper = is_helper(line);
        if !helper && let Some(tokens) = context_sum(&message["usage"]) {
            self.context_tokens = Some(tokens);
        }
        if !line["error"].is_null() {
            let said = blocks(message).find_map(|block| text(&block["text"]));
            self.synthetic_error = said.map(str::to_owned);
            return Parsed { partial: (!helper).then_some(Partial::Over), ..Parsed::default() };
        }
        let mut parsed = Parsed { partial: (!helper).then_some(Partial::Over), ..Parsed::default() };
        for block in blocks(message) {
            let event = self.block(block, helper);
            parsed.events.extend(event);
        }
        parsed
    }

    fn block(&mut self, block: &Value, helper: bool) -> Option<Known> {
        match block["type"].as_str()? {
            // What a sub-agent says is addressed to its caller, not to the person.
            "text" if helper => reasoning(&block["text"]),
            "text" => {
                let said = text(&block["text"])?;
                self.spoke = true;
                Some(Parsed::message(said, None))
            }
            "thinking" => reasoning(&block["thinking"]),
            "tool_use" | "server_tool_use" => {
                let name = block["name"].as_str().unwrap_or("tool").to_owned();
                if let Some(id) = block["id"].as_str() {
                    self.tools.insert(id.to_owned(), name.clone());
                }
                Some(Known::ToolUse { tool_name: name, tool_input: input(&block["input"]) })
            }
            "tool_result" => Some(self.tool_result(block)),
            _ => None,
        }
    }

    fn user(&self, line: &Value) -> Parsed {
        let results = blocks(&line["message"]).filter(|block| block["type"] == "tool_result");
        Parsed { events: results.map(|block| self.tool_result(block)).collect(), ..Parsed::default() }
    }

    fn tool_result(&self, block: &Value) -> Known {
        let id = block["tool_use_id"].as_str().unwrap_or_default();
        Known::ToolResult {
            tool_name: self.tools.get(id).map_or("tool", String::as_str).to_owned(),
            output: result_text(&block["content"]),
            exit_code: i32::from(block["is_error"] == true),
        }
    }

    fn result(&mut self, line: &Value) -> Parsed {
        let mut parsed = Parsed { partial: Some(Partial::Over), ..Parsed::default() };
        let failed = line["is_error"] == true;
        let repeated = text(&line["result"]);
        if let (false, false, Some(said)) = (failed, self.spoke, repeated) {
            self.spoke = true;
            parsed.events.push(Parsed::message(said, None));
        }
        if let Some(usage) = self.usage(line) {
            parsed.push_usage(usage);
        }
        if failed {
            self.verdict = Some(self.reason(line));
        } else {
            (self.verdict, self.synthetic_error) = (None, None);
            parsed.events.push(status("completed"));
        }
        parsed
    }

    fn reason(&self, line: &Value) -> String {
        let errors: Vec<_> = line["errors"].as_array().into_iter().flatten().filter_map(text).collect();
        let named = text(&line["result"]).map(str::to_owned);
        named
            .or_else(|| (!errors.is_empty()).then(|| errors.join("; ")))
            .or_else(|| self.synthetic_error.clone())
            .unwrap_or_else(|| line["subtype"].as_str().unwrap_or("unknown error").replace('_', " "))
    }

    fn usage(&self, line: &Value) -> Option<Usage> {
        let told = &line["usage"];
        let context_tokens = self.context_tokens.or_else(|| context_sum(told));
        let usage = Usage {
            context_tokens,
            input_tokens: told["input_tokens"].as_u64(),
            output_tokens: told["output_tokens"].as_u64(),
            context_window_tokens: self.window(&line["modelUsage"]),
            context_source: Some("provider_turn_usage".into()),
        };
        // A request that never reached the model has only zeros to tell.
        let counted = [usage.context_tokens, usage.input_tokens, usage.output_tokens];
        counted.iter().flatten().any(|&tokens| tokens > 0).then_some(usage)
    }

    fn window(&self, models: &Value) -> Option<u64> {
        let size = |model: &Value| model["contextWindow"].as_u64();
        let own = self.model.as_deref().and_then(|model| size(&models[model]));
        own.or_else(|| models.as_object()?.values().filter_map(size).max())
    }
}

/// Reads a piece of a message. It comes again, whole, as an `assistant` line; what is thought comes as a
/// block of its own and is not shown before it is whole.
fn partial(line: &Value) -> Partial {
    let event = &line["event"];
    match event["type"].as_str() {
        _ if is_helper(line) => Partial::Progress,
        Some("message_start" | "content_block_start") => Partial::Begun,
        Some("content_block_delta") => match event["delta"]["text"].as_str() {
            Some(piece) if event["delta"]["type"] == "text_delta" => Partial::More(piece.to_owned()),
            _ => Partial::Progress,
        },
        _ => Partial::Progress,
    }
}

/// Tells whether a sub-agent speaks.
fn is_helper(line: &Value) -> bool {
    line["parent_tool_use_id"].is_string()
}

fn blocks(message: &Value) -> impl Iterator<Item = &Value> {
    message["content"].as_array().into_iter().flatten()
}

fn reasoning(value: &Value) -> Option<Known> {
    text(value).map(|text| Known::Reasoning { content: text.to_owned() })
}

fn context_sum(usage: &Value) -> Option<u64> {
    let sum = ["input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens"]
        .iter()
        .filter_map(|field| usage[field].as_u64())
        .fold(0, u64::saturating_add);
    (sum > 0).then_some(sum)
}

fn result_text(content: &Value) -> String {
    match content {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(parts) => {
            let part = |part: &Value| match part["text"].as_str() {
                Some(text) => text.to_owned(),
                None => format!("[{}]", part["type"].as_str().unwrap_or("part")),
            };
            parts.iter().map(part).collect::<Vec<_>>().join("\n")
        }
        other => other.to_string(),
    }
}
