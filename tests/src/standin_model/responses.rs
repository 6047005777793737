//! OpenAI's Responses API, as `codex` reads it.

use serde_json::{Value, json};

use super::reply::{Chunk, Part};
use super::stream::Frame;

/// The events of one turn.
pub(super) fn frames(parts: &[Part]) -> Vec<Frame> {
    let mut frames =
        vec![Frame::Event(json!({"type": "response.created", "response": {"id": "resp_standin"}}))];
    for (index, part) in parts.iter().enumerate() {
        match part {
            Part::Hold(gate) => frames.push(Frame::Hold(gate.clone())),
            Part::Message(chunks) => message(&mut frames, index, chunks),
            Part::Reasoning(text) => frames.push(done(json!({
                "type": "reasoning",
                "id": format!("rs_{index}"),
                "summary": [{"type": "summary_text", "text": text}],
                "encrypted_content": "standin",
            }))),
            Part::Shell(command) => frames.push(done(json!({
                "type": "function_call",
                "id": format!("fc_{index}"),
                "call_id": call_id(index),
                "name": "exec_command",
                "arguments": json!({"cmd": command}).to_string(),
            }))),
            Part::AddFile { path, content } => frames.push(done(json!({
                "type": "custom_tool_call",
                "id": format!("ctc_{index}"),
                "call_id": call_id(index),
                "name": "apply_patch",
                "input": add_file_patch(path, content),
            }))),
        }
    }
    frames.push(Frame::Event(json!({
        "type": "response.completed",
        "response": {
            "id": "resp_standin",
            "usage": {
                "input_tokens": 100,
                "input_tokens_details": {"cached_tokens": 40},
                "output_tokens": 20,
                "output_tokens_details": {"reasoning_tokens": 5},
                "total_tokens": 120,
            },
        },
    })));
    frames
}

/// The body that goes with an error status.
pub(super) fn error(status: u16) -> Value {
    let (message, kind) = match status {
        401 => ("Incorrect API key provided", "invalid_request_error"),
        429 => ("Rate limit reached", "rate_limit_error"),
        _ => ("The server had an error", "server_error"),
    };
    json!({"error": {"message": message, "type": kind, "code": null}})
}

fn message(frames: &mut Vec<Frame>, index: usize, chunks: &[Chunk]) {
    let id = format!("msg_{index}");
    let item = |content: Value| json!({"type": "message", "id": id, "role": "assistant", "content": content});
    frames.push(Frame::Event(json!({
        "type": "response.output_item.added",
        "output_index": index,
        "item": item(json!([])),
    })));
    let mut whole = String::new();
    for chunk in chunks {
        match chunk {
            Chunk::Hold(gate) => frames.push(Frame::Hold(gate.clone())),
            Chunk::Say(text) => {
                whole.push_str(text);
                frames.push(Frame::Event(json!({
                    "type": "response.output_text.delta",
                    "item_id": id,
                    "output_index": index,
                    "content_index": 0,
                    "delta": text,
                })));
            }
        }
    }
    frames.push(done(item(json!([{"type": "output_text", "text": whole}]))));
}

fn done(item: Value) -> Frame {
    Frame::Event(json!({"type": "response.output_item.done", "item": item}))
}

/// Unique over a thread, as codex pairs calls with results by it.
fn call_id(index: usize) -> String {
    format!("call_{index}_{:016x}", rand::random::<u64>())
}

fn add_file_patch(path: &str, content: &str) -> String {
    let lines: String = content.lines().map(|line| format!("+{line}\n")).collect();
    format!("*** Begin Patch\n*** Add File: {path}\n{lines}*** End Patch\n")
}
