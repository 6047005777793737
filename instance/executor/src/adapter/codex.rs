//! The lines of `codex exec --json`.

use std::collections::HashSet;

use remotelab_protocol::event::{Known, Usage};
use serde_json::Value;

use super::value::text;
use super::{Parsed, status};

/// What the lines so far have told.
#[derive(Clone, Debug, Default)]
pub(super) struct Reader {
    /// Commands that were shown when they started.
    open: HashSet<String>,
    turn_started: bool,
    /// An `error` line: the reason of the failure if the turn ends here, a mere event if it goes on.
    held_error: Option<String>,
    /// What `turn.failed` said.
    verdict: Option<String>,
}

impl Reader {
    pub(super) fn line(&mut self, line: &Value) -> Parsed {
        let Some(kind) = line["type"].as_str() else {
            return Parsed::default();
        };
        let mut parsed = match kind {
            "thread.started" => thread_started(line),
            "turn.started" => {
                self.turn_started = true;
                Parsed::of(status("thinking"))
            }
            "turn.completed" => {
                self.verdict = None;
                Parsed::of(status("completed"))
            }
            "turn.failed" => return self.turn_failed(line),
            "error" => return self.error(line),
            "item.started" | "item.updated" => self.item_started(&line["item"]),
            "item.completed" => self.item_completed(&line["item"]),
            "remotelab.context_metrics" => context_metrics(line),
            _ => return Parsed::default(),
        };
        if let Some(error) = self.held_error.take() {
            parsed.events.insert(0, status(format!("error: {error}")));
        }
        parsed
    }

    /// Returns what the turn failed of, or the error that turned out to be none.
    pub(super) fn finish(&mut self, clean: bool) -> (Option<String>, Option<String>) {
        let held = self.held_error.take();
        match self.verdict.take() {
            Some(verdict) => (Some(verdict), None),
            None if clean => (None, held.map(|error| format!("error: {error}"))),
            None => (held, None),
        }
    }

    fn turn_failed(&mut self, line: &Value) -> Parsed {
        let told = line["error"]["message"].as_str().map(str::to_owned);
        let reason = told.or(self.held_error.take());
        self.held_error = None;
        self.verdict = Some(reason.unwrap_or_else(|| "unknown error".into()));
        Parsed::default()
    }

    fn error(&mut self, line: &Value) -> Parsed {
        let message = text(&line["message"]).unwrap_or("unknown error");
        if let Some(progress) = reconnecting(message) {
            return Parsed::of(status(progress));
        }
        match self.held_error.replace(message.to_owned()) {
            Some(earlier) if earlier != message => Parsed::of(status(format!("error: {earlier}"))),
            _ => Parsed::default(),
        }
    }

    /// A command shows as soon as it runs, everything else when it is done.
    fn item_started(&mut self, item: &Value) -> Parsed {
        let running = matches!(item["status"].as_str(), None | Some("in_progress"));
        if item["type"] == "command_execution" && running && self.open.insert(key(item)) {
            return Parsed::of(command_use(item));
        }
        Parsed::default()
    }

    fn item_completed(&mut self, item: &Value) -> Parsed {
        let mut parsed = Parsed::default();
        match item["type"].as_str().unwrap_or_default() {
            "agent_message" => {
                let said = text(&item["text"]).map(|text| Parsed::message(text, None));
                parsed.events.extend(said);
            }
            "reasoning" => parsed
                .events
                .extend(text(&item["text"]).map(|text| Known::Reasoning { content: text.to_owned() })),
            "command_execution" => self.command(item, &mut parsed.events),
            "file_change" => parsed.events.extend(file_changes(item)),
            "mcp_tool_call" => mcp_call(item, &mut parsed.events),
            "web_search" => parsed.events.push(Known::ToolUse {
                tool_name: "web_search".into(),
                tool_input: item["query"].as_str().unwrap_or_default().to_owned(),
            }),
            "todo_list" => {
                let list = todo_list(item).map(|list| Parsed::message(&list, Some("todo_list")));
                parsed.events.extend(list);
            }
            "error" => {
                let message = text(&item["message"]).unwrap_or("unknown error");
                // Before the turn begins these are warnings about settings, and the run goes on.
                let prefix = if self.turn_started { "error: " } else { "" };
                parsed.events.push(status(format!("{prefix}{message}")));
            }
            _ => {}
        }
        parsed
    }

    fn command(&mut self, item: &Value, events: &mut Vec<Known>) {
        if !self.open.remove(&key(item)) {
            events.push(command_use(item));
        }
        let ending = item["status"].as_str().unwrap_or("completed");
        if ending == "in_progress" {
            return;
        }
        events.push(Known::ToolResult {
            tool_name: "bash".into(),
            output: item["aggregated_output"].as_str().unwrap_or_default().to_owned(),
            exit_code: exit_code(&item["exit_code"], ending),
        });
    }
}

fn thread_started(line: &Value) -> Parsed {
    let Some(id) = text(&line["thread_id"]) else {
        return Parsed::default();
    };
    Parsed { resume_id: Some(id.to_owned()), ..Parsed::of(status(format!("Thread started ({id})"))) }
}

/// Shortens `Reconnecting... 2/5 (cause)`, which is progress although it comes as an error.
fn reconnecting(message: &str) -> Option<String> {
    if !message.starts_with("Reconnecting") {
        return None;
    }
    let short = message.split('(').next().unwrap_or(message);
    Some(short.trim_end().to_owned())
}

fn command_use(item: &Value) -> Known {
    Known::ToolUse {
        tool_name: "bash".into(),
        tool_input: item["command"].as_str().unwrap_or_default().to_owned(),
    }
}

/// What tells one command from another; the id, where there is one.
fn key(item: &Value) -> String {
    match item["id"].as_str() {
        Some(id) => format!("id:{id}"),
        None => format!("command:{}", item["command"].as_str().unwrap_or_default()),
    }
}

fn exit_code(told: &Value, ending: &str) -> i32 {
    let otherwise = i32::from(ending != "completed");
    told.as_i64().map_or(otherwise, |code| i32::try_from(code).unwrap_or(1))
}

fn file_changes(item: &Value) -> Vec<Known> {
    let changes = item["changes"].as_array().map_or(&[][..], Vec::as_slice);
    let failed = item["status"] == "failed";
    let change = |change: &Value| {
        let path = text(&change["path"])?;
        Some(if failed {
            status(format!("could not change {path}"))
        } else {
            Known::FileChange {
                file_path: path.to_owned(),
                change_type: change["kind"].as_str().unwrap_or("update").to_owned(),
            }
        })
    };
    changes.iter().filter_map(change).collect()
}

fn mcp_call(item: &Value, events: &mut Vec<Known>) {
    let name =
        format!("{}/{}", item["server"].as_str().unwrap_or("mcp"), item["tool"].as_str().unwrap_or("tool"));
    events.push(Known::ToolUse { tool_name: name.clone(), tool_input: item["arguments"].to_string() });
    let error = match &item["error"] {
        Value::Null => None,
        error => Some(text(&error["message"]).map_or_else(|| error.to_string(), str::to_owned)),
    };
    let (output, exit_code) = match (error, item["status"].as_str()) {
        (_, Some("in_progress")) => return,
        (Some(error), _) => (format!("Error: {error}"), 1),
        (None, Some("failed")) => ("Error: unknown error".to_owned(), 1),
        (None, _) => (item["result"].to_string(), 0),
    };
    events.push(Known::ToolResult { tool_name: name, output, exit_code });
}

fn todo_list(item: &Value) -> Option<String> {
    let lines = item["items"].as_array()?.iter().map(|entry| {
        let mark = if entry["completed"] == true { 'x' } else { ' ' };
        format!("[{mark}] {}", entry["text"].as_str().unwrap_or_default())
    });
    let lines: Vec<_> = lines.collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

/// Reads the line that the runner adds when the executor has ended.
fn context_metrics(line: &Value) -> Parsed {
    let mut parsed = Parsed::default();
    parsed.push_usage(Usage {
        context_tokens: line["contextTokens"].as_u64(),
        input_tokens: line["inputTokens"].as_u64(),
        output_tokens: line["outputTokens"].as_u64(),
        context_window_tokens: line["contextWindowTokens"].as_u64(),
        context_source: line["contextSource"].as_str().map(str::to_owned),
    });
    parsed
}
