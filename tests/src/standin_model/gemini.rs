//! Google's Gemini API, as `gemini` reads it.

use serde_json::{Value, json};

use super::calls::Call;
use super::reply::{Chunk, Part};
use super::stream::Frame;

/// The events of one turn.
pub(super) fn frames(parts: &[Part], asked: &Value) -> Vec<Frame> {
    let mut frames = Vec::new();
    for part in parts {
        match part {
            Part::Hold(gate) => frames.push(Frame::Hold(gate.clone())),
            Part::Reasoning(text) => frames.push(piece(json!({"text": text, "thought": true}))),
            Part::Message(chunks) => frames.extend(chunks.iter().map(|chunk| match chunk {
                Chunk::Say(text) => piece(json!({"text": text})),
                Chunk::Hold(gate) => Frame::Hold(gate.clone()),
            })),
            Part::Shell(_) | Part::AddFile { .. } => {
                let call = Call::of(part, |name| offers(asked, name));
                frames.extend(
                    call.map(|call| piece(json!({"functionCall": {"name": call.name, "args": call.input}}))),
                );
            }
        }
    }
    frames.push(Frame::Event(json!({
        "candidates": [{"content": {"role": "model", "parts": []}, "finishReason": "STOP", "index": 0}],
        "usageMetadata": {"promptTokenCount": 100, "candidatesTokenCount": 20, "totalTokenCount": 120},
        "modelVersion": "standin",
    })));
    frames
}

/// What answers the executor's own questions, which want JSON and are no part of the conversation.
pub(super) fn no_opinion() -> Value {
    json!({"candidates": [{
        "content": {"role": "model", "parts": [{"text": "{}"}]},
        "finishReason": "STOP",
        "index": 0,
    }]})
}

/// The body that goes with an error status.
pub(super) fn error(status: u16) -> Value {
    let (kind, message) = match status {
        401 => ("UNAUTHENTICATED", "API key not valid"),
        429 => ("RESOURCE_EXHAUSTED", "rate limit reached"),
        503 => ("UNAVAILABLE", "the model is overloaded"),
        _ => ("INTERNAL", "internal server error"),
    };
    json!({"error": {"code": status, "message": message, "status": kind}})
}

fn offers(asked: &Value, name: &str) -> bool {
    let tools = asked["tools"].as_array().into_iter().flatten();
    let mut functions = tools.flat_map(|tool| tool["functionDeclarations"].as_array().into_iter().flatten());
    functions.any(|function| function["name"] == name)
}

fn piece(part: Value) -> Frame {
    Frame::Event(json!({
        "candidates": [{"content": {"role": "model", "parts": [part]}, "index": 0}],
        "modelVersion": "standin",
    }))
}
