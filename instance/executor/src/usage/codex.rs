//! The session logs of Codex: counts that grow over the session.

use jiff::Timestamp;
use serde_json::Value;

use super::entry::{Context, Entry, Tokens};

/// Reads a log. A count is turned into what was used since the one before.
pub(super) fn read(lines: impl Iterator<Item = Value>, tell: &mut impl FnMut(Entry)) {
    let mut last = Tokens::default();
    for line in lines {
        let payload = &line["payload"];
        let text = |key: &str| payload[key].as_str().map(str::to_owned);
        match (line["type"].as_str(), payload["type"].as_str()) {
            (Some("session_meta"), _) => {
                tell(Entry::Turn { cwd: text("cwd"), model: None, effort: None });
            }
            (Some("turn_context"), _) => {
                tell(Entry::Turn { cwd: text("cwd"), model: text("model"), effort: text("effort") });
            }
            (Some("event_msg"), Some("user_message")) => {
                text("message").into_iter().for_each(|said| tell(Entry::Prompt(said)));
            }
            (Some("event_msg"), Some("token_count")) => {
                let Some((at, count)) = at(&line).zip(tokens(&payload["info"]["total_token_usage"])) else {
                    continue;
                };
                let used = count.since(&last);
                last = count;
                tell(Entry::Used { at, tokens: used, context: context(payload) });
            }
            _ => {}
        }
    }
}

fn at(line: &Value) -> Option<Timestamp> {
    line["timestamp"].as_str()?.parse().ok()
}

fn tokens(usage: &Value) -> Option<Tokens> {
    let usage = usage.as_object()?;
    let count = |key: &str| usage.get(key).and_then(Value::as_u64);
    let input = count("input_tokens").unwrap_or_default();
    let output = count("output_tokens").unwrap_or_default();
    Some(Tokens {
        total_tokens: count("total_tokens").unwrap_or_else(|| input.saturating_add(output)),
        input_tokens: input,
        cached_input_tokens: count("cached_input_tokens").unwrap_or_default(),
        output_tokens: output,
        reasoning_tokens: count("reasoning_output_tokens").unwrap_or_default(),
    })
}

fn context(payload: &Value) -> Context {
    let info = &payload["info"];
    Context {
        tokens: info["last_token_usage"]["input_tokens"].as_u64().unwrap_or_default(),
        window: info["model_context_window"].as_u64().unwrap_or_default(),
        secondary_percent: payload["rate_limits"]["secondary"]["used_percent"].as_f64(),
    }
}
