//! What the model was sent, for a test to look at.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::question::{Api, Question};

/// Requests kept; the oldest go first.
const MOST_REQUESTS: usize = 500;
/// Bytes of bodies kept.
const MOST_BYTES: usize = 64 << 20;

/// One request for an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// Which API it came by.
    pub api: Api,
    /// The model that was asked for.
    pub model: String,
    /// The reasoning effort that was asked for, where the executor sends one.
    pub effort: Option<String>,
    /// The user's own words of the last message.
    pub user_text: String,
    /// The whole last user message, with everything RemoteLab put around the words.
    pub prompt: String,
    /// Tool results since then: which turn of the answer this request is for.
    pub results: usize,
    /// The whole body.
    pub body: Value,
}

impl Request {
    pub(super) fn new(api: Api, question: &Question, body: Value) -> Self {
        let effort = match api {
            Api::Responses => &body["reasoning"]["effort"],
            Api::Messages => &body["output_config"]["effort"],
            Api::Chat => &body["reasoning_effort"],
            Api::Gemini => &body["generationConfig"]["thinkingConfig"]["thinkingLevel"],
        };
        Self {
            api,
            model: body["model"].as_str().unwrap_or_default().to_owned(),
            effort: effort.as_str().map(str::to_owned),
            user_text: question.user_text().to_owned(),
            prompt: question.prompt.clone(),
            results: question.results,
            body,
        }
    }
}

/// The latest requests.
#[derive(Debug, Default)]
pub(super) struct Record {
    requests: VecDeque<(usize, Request)>,
    bytes: usize,
}

impl Record {
    /// Keeps a request whose body had `size` bytes.
    pub(super) fn push(&mut self, size: usize, request: Request) {
        self.bytes += size;
        self.requests.push_back((size, request));
        while self.requests.len() > MOST_REQUESTS || self.bytes > MOST_BYTES {
            let Some((size, _)) = self.requests.pop_front() else {
                break;
            };
            self.bytes -= size;
        }
    }

    /// A copy of all of them, oldest first.
    pub(super) fn all(&self) -> Vec<Request> {
        self.requests.iter().map(|(_, request)| request.clone()).collect()
    }
}
