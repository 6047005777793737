//! `automation.json`: what happens with mail of permitted senders.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

/// How permitted mail becomes work.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Automation {
    /// Off: mail is stored and waits.
    #[serde(deserialize_with = "switch")]
    pub enabled: bool,
    /// Whether mail of a permitted sender runs without review.
    #[serde(deserialize_with = "switch")]
    pub allowlist_auto_approve: bool,
    /// Who is named as the reviewer then.
    pub auto_approve_reviewer: String,
    /// The owner's chat server.
    pub chat_base_url: String,
    /// The owner's token file; empty: the owner's `auth.json`.
    pub auth_file: String,
    /// Whether answers are mailed back.
    pub delivery_mode: DeliveryMode,
    /// What new sessions are made with.
    pub session: SessionDefaults,
    /// Everything else that stands in the file.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// What becomes of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryMode {
    /// It is mailed back.
    #[default]
    ReplyEmail,
    /// It stays in the session.
    SessionOnly,
}

/// What new sessions are made with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SessionDefaults {
    /// Working folder.
    pub folder: String,
    /// Executor; empty: what the instance's owner picked last.
    pub tool: String,
    /// Sidebar group.
    pub group: String,
    /// Fallback description.
    pub description: String,
    /// Whether the model is asked to think at length.
    #[serde(deserialize_with = "switch")]
    pub thinking: bool,
    /// Model; empty: the executor's own choice.
    pub model: String,
    /// Effort; empty: the executor's own choice.
    pub effort: String,
    /// Session instructions.
    pub system_prompt: String,
    /// Everything else that stands in the file.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

impl Default for Automation {
    fn default() -> Self {
        Self {
            enabled: true,
            allowlist_auto_approve: false,
            auto_approve_reviewer: "mailbox-auto-approve".to_owned(),
            chat_base_url: "http://127.0.0.1:7690".to_owned(),
            auth_file: String::new(),
            delivery_mode: DeliveryMode::ReplyEmail,
            session: SessionDefaults::default(),
            rest: Map::new(),
        }
    }
}

impl Default for SessionDefaults {
    fn default() -> Self {
        Self {
            folder: "~".to_owned(),
            tool: String::new(),
            group: "Mail".to_owned(),
            description: String::new(),
            thinking: false,
            model: String::new(),
            effort: String::new(),
            system_prompt: String::new(),
            rest: Map::new(),
        }
    }
}

impl DeliveryMode {
    /// Reads any of the accepted spellings; `None` for another word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text.trim().to_ascii_lowercase().replace('-', "_").as_str() {
            "reply_email" | "" => Some(Self::ReplyEmail),
            "session_only" | "session" => Some(Self::SessionOnly),
            _ => None,
        }
    }
}

impl<'de> Deserialize<'de> for DeliveryMode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(Self::parse(&text).unwrap_or_default())
    }
}

/// Reads a switch as older tools wrote it: a JSON boolean, number or one of the usual words.
fn switch<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    let value = Value::deserialize(deserializer)?;
    let text = match &value {
        Value::Bool(on) => return Ok(*on),
        Value::String(text) => text.trim().to_ascii_lowercase(),
        other => other.to_string(),
    };
    match text.as_str() {
        "1" | "true" | "yes" | "on" => Ok(true),
        "0" | "false" | "no" | "off" | "" | "null" => Ok(false),
        _ => Err(serde::de::Error::custom("expected true or false")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_older_tools_wrote() {
        let automation: Automation = serde_json::from_str(
            r#"{"enabled":"yes","allowlistAutoApprove":1,"deliveryMode":"session-only","future":1,
                "session":{"tool":"codex","thinking":"off"}}"#,
        )
        .unwrap();
        assert!(automation.enabled && automation.allowlist_auto_approve);
        assert_eq!(automation.delivery_mode, DeliveryMode::SessionOnly);
        assert_eq!((automation.session.tool.as_str(), automation.session.group.as_str()), ("codex", "Mail"));
        assert_eq!(serde_json::to_value(&automation).unwrap()["future"], 1);
        assert_eq!(serde_json::from_str::<Automation>("{}").unwrap(), Automation::default());
    }
}
