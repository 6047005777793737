//! Anthropic's Messages API, as `claude`, `opencode` and `copilot` read it.

use serde_json::{Value, json};

use super::calls::Call;
use super::reply::{Chunk, Part};
use super::stream::Frame;

/// The events of one turn.
pub(super) fn frames(parts: &[Part], asked: &Value) -> Vec<Frame> {
    let mut frames = vec![event(json!({
        "type": "message_start",
        "message": envelope(json!([]), Value::Null),
    }))];
    let mut index = 0;
    for part in parts {
        if let Part::Hold(gate) = part {
            frames.push(Frame::Hold(gate.clone()));
        } else {
            block(&mut frames, index, part, asked);
            index += 1;
        }
    }
    frames.push(event(json!({
        "type": "message_delta",
        "delta": {"stop_reason": stop_reason(parts), "stop_sequence": null},
        "usage": {"output_tokens": 20},
    })));
    frames.push(event(json!({"type": "message_stop"})));
    frames
}

/// The same turn for a request that did not ask for a stream; gates do not hold it.
pub(super) fn whole(parts: &[Part], asked: &Value) -> Value {
    let content: Vec<Value> = parts.iter().filter_map(|part| finished_block(part, asked)).collect();
    envelope(json!(content), json!(stop_reason(parts)))
}

/// The body that goes with an error status.
pub(super) fn error(status: u16) -> Value {
    let (kind, message) = match status {
        401 => ("authentication_error", "invalid x-api-key"),
        429 => ("rate_limit_error", "rate limit reached"),
        529 => ("overloaded_error", "overloaded"),
        _ => ("api_error", "internal server error"),
    };
    json!({"type": "error", "error": {"type": kind, "message": message}})
}

fn envelope(content: Value, stop_reason: Value) -> Value {
    json!({
        "id": unique("msg"),
        "type": "message",
        "role": "assistant",
        "model": "claude-standin",
        "content": content,
        "stop_reason": stop_reason,
        "stop_sequence": null,
        "usage": {"input_tokens": 100, "output_tokens": 1},
    })
}

fn stop_reason(parts: &[Part]) -> &'static str {
    match parts.last() {
        Some(Part::Shell(_) | Part::AddFile { .. }) => "tool_use",
        _ => "end_turn",
    }
}

fn block(frames: &mut Vec<Frame>, index: usize, part: &Part, asked: &Value) {
    let Some(finished) = finished_block(part, asked) else {
        return;
    };
    let start =
        |block: Value| event(json!({"type": "content_block_start", "index": index, "content_block": block}));
    let delta = |delta: Value| event(json!({"type": "content_block_delta", "index": index, "delta": delta}));
    match part {
        Part::Message(chunks) => {
            frames.push(start(json!({"type": "text", "text": ""})));
            frames.extend(chunks.iter().map(|chunk| match chunk {
                Chunk::Say(text) => delta(json!({"type": "text_delta", "text": text})),
                Chunk::Hold(gate) => Frame::Hold(gate.clone()),
            }));
        }
        Part::Reasoning(text) => {
            frames.push(start(json!({"type": "thinking", "thinking": "", "signature": ""})));
            frames.push(delta(json!({"type": "thinking_delta", "thinking": text})));
            frames.push(delta(json!({"type": "signature_delta", "signature": "standin"})));
        }
        Part::Shell(_) | Part::AddFile { .. } => {
            let mut empty = finished.clone();
            empty["input"] = json!({});
            frames.push(start(empty));
            frames.push(delta(json!({
                "type": "input_json_delta",
                "partial_json": finished["input"].to_string(),
            })));
        }
        Part::Hold(_) => {}
    }
    frames.push(event(json!({"type": "content_block_stop", "index": index})));
}

fn finished_block(part: &Part, asked: &Value) -> Option<Value> {
    Some(match part {
        Part::Hold(_) => return None,
        Part::Message(chunks) => {
            let text: String = chunks
                .iter()
                .filter_map(|chunk| match chunk {
                    Chunk::Say(text) => Some(text.as_str()),
                    Chunk::Hold(_) => None,
                })
                .collect();
            json!({"type": "text", "text": text})
        }
        Part::Reasoning(text) => {
            json!({"type": "thinking", "thinking": text, "signature": "standin"})
        }
        Part::Shell(_) | Part::AddFile { .. } => {
            let call = Call::of(part, |name| offers(asked, name))?;
            json!({"type": "tool_use", "id": unique("toolu"), "name": call.name, "input": call.input})
        }
    })
}

fn offers(asked: &Value, name: &str) -> bool {
    asked["tools"].as_array().into_iter().flatten().any(|tool| tool["name"] == name)
}

fn event(data: Value) -> Frame {
    Frame::Event(data)
}

fn unique(prefix: &str) -> String {
    format!("{prefix}_{:016x}", rand::random::<u64>())
}
