//! What a request asks, read from the body of any of the APIs.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Which API a request came by, and so which executor sent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Api {
    /// OpenAI's Responses: `codex`.
    Responses,
    /// Anthropic's Messages: `claude`, `opencode` and `copilot`.
    Messages,
    /// OpenAI's Chat Completions: `cline`.
    Chat,
    /// Google's Gemini API: `gemini`.
    Gemini,
}

/// The part of a conversation that decides the answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Question {
    /// The last thing the user side said, whole.
    pub(super) prompt: String,
    /// Tool results that came back since then.
    pub(super) results: usize,
}

impl Question {
    /// Reads a body; one of an unknown shape asks the empty question.
    pub(super) fn read(api: Api, body: &Value) -> Self {
        match api {
            Api::Responses => from_responses(body),
            Api::Messages => from_messages(body),
            Api::Chat => from_chat(body),
            Api::Gemini => from_gemini(body),
        }
    }

    /// The user's own words, without what RemoteLab put around them.
    pub(super) fn user_text(&self) -> &str {
        own_words(&self.prompt)
    }

    fn hear(&mut self, text: String) {
        if !text.trim().is_empty() && !is_executors_note(&text) {
            self.prompt = text;
            self.results = 0;
        }
    }
}

fn from_responses(body: &Value) -> Question {
    let mut question = Question::default();
    match &body["input"] {
        Value::String(text) => question.hear(text.clone()),
        input => {
            for item in array(input) {
                match item["type"].as_str() {
                    Some("function_call_output" | "custom_tool_call_output") => {
                        question.results += 1;
                    }
                    Some("message") | None if item["role"] == "user" => {
                        question.hear(join_texts(&item["content"]));
                    }
                    _ => {}
                }
            }
        }
    }
    question
}

fn from_messages(body: &Value) -> Question {
    let mut question = Question::default();
    for message in array(&body["messages"]) {
        if message["role"] != "user" {
            continue;
        }
        let results = array(&message["content"]).filter(|part| part["type"] == "tool_result").count();
        question.results += results;
        if results == 0 {
            question.hear(join_texts(&message["content"]));
        }
    }
    question
}

fn from_chat(body: &Value) -> Question {
    let mut question = Question::default();
    for message in array(&body["messages"]) {
        match message["role"].as_str() {
            Some("tool") => question.results += 1,
            Some("user") => question.hear(join_texts(&message["content"])),
            _ => {}
        }
    }
    question
}

fn from_gemini(body: &Value) -> Question {
    let mut question = Question::default();
    for content in array(&body["contents"]).filter(|content| content["role"] == "user") {
        let results = array(&content["parts"]).filter(|part| part["functionResponse"].is_object()).count();
        question.results += results;
        if results == 0 {
            question.hear(join_texts(&content["parts"]));
        }
    }
    question
}

fn array(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn join_texts(content: &Value) -> String {
    if let Some(text) = content.as_str() {
        return text.to_owned();
    }
    let texts: Vec<&str> = array(content)
        .filter_map(|part| part["text"].as_str())
        .filter(|text| !is_executors_note(text))
        .collect();
    texts.join("\n")
}

/// Whether an executor said this in the user's name: `<environment_context>…</environment_context>`,
/// `<system-reminder>…</system-reminder>`, the text of `AGENTS.md`.
fn is_executors_note(text: &str) -> bool {
    let text = text.trim();
    let tag = text.strip_prefix('<').and_then(|rest| rest.split(['>', ' ']).next());
    tag.is_some_and(|tag| text.ends_with(&format!("</{tag}>")))
        || text.starts_with("# AGENTS.md instructions")
}

/// What follows the last `User message:` or `Current user message:` line, up to the private guard
/// that may close a visitor's prompt; the whole prompt when there is no such line.
fn own_words(prompt: &str) -> &str {
    let mut words = prompt;
    let mut at = 0;
    for line in prompt.split_inclusive('\n') {
        at += line.len();
        if matches!(line.trim(), "User message:" | "Current user message:") {
            words = &prompt[at..];
        }
    }
    let guard = words.rfind("\n---\n\n<private>").unwrap_or(words.len());
    words[..guard].trim()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn codex_results_count_from_the_last_user_message() {
        let body = json!({"input": [
            {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "rules"}]},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "first"}]},
            {"type": "function_call_output", "call_id": "1", "output": "x"},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "second"}]},
            {"type": "message", "role": "user", "content": [{"type": "input_text",
                "text": "<environment_context>\n<cwd>/</cwd>\n</environment_context>"}]},
            {"type": "reasoning", "summary": []},
            {"type": "function_call", "call_id": "2"},
            {"type": "function_call_output", "call_id": "2", "output": "y"},
            {"type": "custom_tool_call_output", "call_id": "3", "output": "z"},
        ]});

        assert_eq!(Question::read(Api::Responses, &body), Question { prompt: "second".into(), results: 2 });
    }

    #[test]
    fn claude_results_count_from_the_last_user_message() {
        let body = json!({"messages": [
            {"role": "user", "content": "first"},
            {"role": "assistant", "content": [{"type": "text", "text": "hm"}]},
            {"role": "user", "content": [
                {"type": "text", "text": "<system-reminder>today</system-reminder>"},
                {"type": "text", "text": "second"}]},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "1"}]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "1", "content": "out"},
                {"type": "text", "text": "<system-reminder>be brief</system-reminder>"}]},
        ]});

        assert_eq!(Question::read(Api::Messages, &body), Question { prompt: "second".into(), results: 1 });
    }

    #[test]
    fn cline_results_count_from_the_last_user_message() {
        let body = json!({"messages": [
            {"role": "system", "content": "rules"},
            {"role": "user", "content": "first"},
            {"role": "tool", "tool_call_id": "1", "content": "x"},
            {"role": "user", "content": [{"type": "text", "text": "second"}]},
            {"role": "assistant", "content": null, "tool_calls": [{"id": "2"}]},
            {"role": "tool", "tool_call_id": "2", "content": "y"},
        ]});

        assert_eq!(Question::read(Api::Chat, &body), Question { prompt: "second".into(), results: 1 });
    }

    #[test]
    fn gemini_results_count_from_the_last_user_message() {
        let body = json!({"contents": [
            {"role": "user", "parts": [{"text": "first"}]},
            {"role": "model", "parts": [{"text": "hm"}]},
            {"role": "user", "parts": [
                {"text": "<session_context>\ntoday\n</session_context>"}, {"text": "second"}]},
            {"role": "model", "parts": [{"functionCall": {"name": "run_shell_command"}}]},
            {"role": "user", "parts": [{"functionResponse": {"name": "run_shell_command"}}]},
        ]});

        assert_eq!(Question::read(Api::Gemini, &body), Question { prompt: "second".into(), results: 1 });
    }

    #[test]
    fn own_words_are_found_in_an_assembled_prompt() {
        let cases = [
            ("plain", "plain"),
            ("rules\n\n---\n\nUser message:\nhello\nthere", "hello\nthere"),
            ("User message:\nold\n---\n\nCurrent user message:\nnew", "new"),
            ("User message:\nhi\n\n---\n\n<private>\nguard\n</private>", "hi"),
            ("say User message: inline", "say User message: inline"),
        ];

        for (prompt, words) in cases {
            assert_eq!(own_words(prompt), words);
        }
    }

    #[test]
    fn an_unknown_shape_asks_nothing() {
        for body in [json!(null), json!({"input": 3}), json!({"messages": [1], "contents": [1]})] {
            for api in [Api::Responses, Api::Messages, Api::Chat, Api::Gemini] {
                assert_eq!(Question::read(api, &body), Question::default());
            }
        }
    }
}
