//! Whether a chat server may be put to sleep: its supervisor asks on its standard input, it answers on its
//! standard output. Nobody else can ask there, and nobody else answer.

use serde::{Deserialize, Serialize};

/// The question: one line.
pub const QUESTION: &str = "rest?\n";

/// What the line of an answer begins with.
const ANSWER: &str = "rest ";

/// What a chat server has to do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rest {
    /// What keeps it awake; nothing, when it may sleep.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub because: Option<Because>,
    /// For how long nobody has asked anything of it and nothing was at work.
    pub idle_ms: u64,
    /// When it has to be awake again, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wake_at: Option<i64>,
}

/// What keeps a chat server awake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Because {
    /// Somebody asks, or holds a socket or a stream open.
    Request,
    /// An executor is at work.
    Run,
    /// Messages wait.
    Queue,
    /// A turn is looked at, a summary is made, or files of a run are on their way.
    AfterTurn,
    /// A webhook has to be told.
    Webhook,
    /// A trigger is due soon.
    Trigger,
}

impl Because {
    /// The reason in words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Request => "somebody is connected",
            Self::Run => "a run is under way",
            Self::Queue => "messages wait",
            Self::AfterTurn => "a turn is being finished",
            Self::Webhook => "a webhook has to be told",
            Self::Trigger => "a trigger is due soon",
        }
    }
}

impl Rest {
    /// Whether it may sleep.
    #[must_use]
    pub fn can_sleep(&self) -> bool {
        self.because.is_none()
    }

    /// The line of the answer, without its end.
    #[must_use]
    pub fn line(&self) -> String {
        format!("{ANSWER}{}", serde_json::to_string(self).expect("an answer has string keys"))
    }

    /// Reads the line of an answer; `None` of any other line.
    #[must_use]
    pub fn of_line(line: &str) -> Option<Self> {
        serde_json::from_str(line.strip_prefix(ANSWER)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_a_line() {
        let quiet = Rest { because: None, idle_ms: 7, wake_at: Some(1) };
        assert_eq!(quiet.line(), r#"rest {"idleMs":7,"wakeAt":1}"#);
        for rest in [quiet, Rest { because: Some(Because::AfterTurn), ..Rest::default() }] {
            assert_eq!(Rest::of_line(&rest.line()), Some(rest));
        }
        for other in ["rest assured", "listening on x", ""] {
            assert_eq!(Rest::of_line(other), None);
        }
    }
}
