//! OpenAI's Chat Completions API, as `cline` reads it.

use serde_json::{Value, json};

use super::calls::Call;
use super::reply::{Chunk, Part};
use super::stream::Frame;

/// The events of one turn.
pub(super) fn frames(parts: &[Part], asked: &Value) -> Vec<Frame> {
    let mut frames = Vec::new();
    let mut finish = "stop";
    for part in parts {
        match part {
            Part::Hold(gate) => frames.push(Frame::Hold(gate.clone())),
            Part::Reasoning(text) => frames.push(piece(json!({"reasoning_content": text}))),
            Part::Message(chunks) => frames.extend(chunks.iter().map(|chunk| match chunk {
                Chunk::Say(text) => piece(json!({"role": "assistant", "content": text})),
                Chunk::Hold(gate) => Frame::Hold(gate.clone()),
            })),
            Part::Shell(_) | Part::AddFile { .. } => {
                finish = "tool_calls";
                frames.extend(Call::of(part, |name| offers(asked, name)).map(|call| tool_call(&call)));
            }
        }
    }
    frames.push(chunk(json!([{"index": 0, "delta": {}, "finish_reason": finish}]), Value::Null));
    let usage = json!({"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120});
    frames.push(chunk(json!([]), usage));
    frames
}

fn offers(asked: &Value, name: &str) -> bool {
    asked["tools"].as_array().into_iter().flatten().any(|tool| tool["function"]["name"] == name)
}

fn tool_call(call: &Call) -> Frame {
    piece(json!({
        "role": "assistant",
        "content": null,
        "tool_calls": [{
            "index": 0,
            "id": format!("call_{:016x}", rand::random::<u64>()),
            "type": "function",
            "function": {"name": call.name, "arguments": call.input.to_string()},
        }],
    }))
}

fn piece(delta: Value) -> Frame {
    chunk(json!([{"index": 0, "delta": delta, "finish_reason": null}]), Value::Null)
}

fn chunk(choices: Value, usage: Value) -> Frame {
    Frame::Event(json!({
        "id": "chatcmpl-standin",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "standin",
        "choices": choices,
        "usage": usage,
    }))
}
