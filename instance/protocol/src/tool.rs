//! Executors as the wire and `tools.json` describe them.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One executor.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Tool {
    /// Its id: `[A-Za-z0-9-]+`.
    pub id: String,
    /// Its name, for people.
    pub name: String,
    /// The program.
    pub command: String,
    /// How its output is read; absent means like Claude's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runtime_family: Option<RuntimeFamily>,
    /// `private` keeps it out of the picker.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub visibility: Option<String>,
    /// `micro-agent`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_profile: Option<String>,
    /// `bare-user` sends the message text alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt_mode: Option<String>,
    /// Collapses the prompt to one line.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub flatten_prompt: bool,
    /// Whether a custom tool goes on with its own earlier conversation, as its family does.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub resumes: bool,
    /// Models to choose from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub models: Option<Vec<Value>>,
    /// How its thinking is set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<Value>,
    /// Whether it is part of the product.
    pub builtin: bool,
    /// Whether its program was found.
    pub available: bool,
}

/// How an executor is called and its output read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RuntimeFamily {
    /// `codex exec --json`.
    CodexJson,
    /// `claude -p --output-format stream-json`.
    ClaudeStreamJson,
}
