//! The session logs of Claude Code: one count per message, told again with every part of it.

use jiff::Timestamp;
use serde_json::Value;

use super::entry::{Context, Entry, Tokens};

/// Reads a log. Of lines about one message the last counts.
pub(super) fn read(lines: impl Iterator<Item = Value>, tell: &mut impl FnMut(Entry)) {
    let mut pending: Option<(String, Entry)> = None;
    for line in lines {
        let message = &line["message"];
        match line["type"].as_str() {
            Some("user") if line["isMeta"] != true && line["isSidechain"] != true => {
                said(&message["content"]).into_iter().for_each(|said| tell(Entry::Prompt(said)));
            }
            Some("assistant") => {
                let id = message["id"].as_str().unwrap_or_default().to_owned();
                let Some(used) = used(&line) else { continue };
                if let Some((earlier, entry)) = pending.take()
                    && (earlier != id || id.is_empty())
                {
                    tell(entry);
                }
                let text = |value: &Value| value.as_str().map(str::to_owned);
                tell(Entry::Turn { cwd: text(&line["cwd"]), model: text(&message["model"]), effort: None });
                pending = Some((id, used));
            }
            _ => {}
        }
    }
    if let Some((_, entry)) = pending {
        tell(entry);
    }
}

fn used(line: &Value) -> Option<Entry> {
    let at: Timestamp = line["timestamp"].as_str()?.parse().ok()?;
    let usage = line["message"]["usage"].as_object()?;
    let count = |key: &str| usage.get(key).and_then(Value::as_u64).unwrap_or_default();
    let cached = count("cache_read_input_tokens");
    let input = [count("input_tokens"), count("cache_creation_input_tokens"), cached]
        .into_iter()
        .fold(0, u64::saturating_add);
    let output = count("output_tokens");
    let tokens = Tokens {
        total_tokens: input.saturating_add(output),
        input_tokens: input,
        cached_input_tokens: cached,
        output_tokens: output,
        reasoning_tokens: 0,
    };
    Some(Entry::Used { at, tokens, context: Context { tokens: input, ..Context::default() } })
}

fn said(content: &Value) -> Option<String> {
    if let Some(text) = content.as_str() {
        return Some(text.to_owned());
    }
    content.as_array()?.iter().find_map(|part| part["text"].as_str()).map(str::to_owned)
}
