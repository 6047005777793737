//! What a test wants the model to say.

use serde::{Deserialize, Serialize};

/// The answers of the model: the first rule that fits a request decides.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Script {
    /// Rules in order of precedence; with none that fits, the model repeats what it was told.
    pub rules: Vec<Rule>,
}

/// One answer and when to give it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Which requests it is for.
    #[serde(default)]
    pub when: When,
    /// The answer, over as many model turns as it has tool calls, plus one.
    pub steps: Vec<Step>,
}

/// Which requests a rule is for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// Every request.
    #[default]
    Always,
    /// The user's own words contain this.
    Text(String),
    /// The whole last prompt, with everything RemoteLab put around the words, contains this.
    Prompt(String),
}

/// One thing the model does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// A piece of the reply; neighbours, also across a hold, are chunks of one message.
    Text(String),
    /// Thinking that the executor may show.
    Reasoning(String),
    /// A shell command; the next step follows when its output came back.
    Shell(String),
    /// A file to write, relative to the working folder; the next step follows when it is written.
    AddFile {
        /// Where.
        path: String,
        /// What.
        content: String,
    },
    /// Nothing more until the test releases the gate of this name.
    Hold(String),
    /// An HTTP error in place of the turn.
    Status {
        /// The HTTP status.
        code: u16,
        /// How many requests it is given to; every one when absent.
        #[serde(default)]
        times: Option<u32>,
    },
}

impl Script {
    /// A script with no rules.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an answer for requests in which the user's own words contain `text`.
    #[must_use]
    pub fn when_text(self, text: &str, steps: impl IntoIterator<Item = Step>) -> Self {
        self.rule(When::Text(text.to_owned()), steps)
    }

    /// Adds an answer for requests whose whole last prompt contains `text`.
    #[must_use]
    pub fn when_prompt(self, text: &str, steps: impl IntoIterator<Item = Step>) -> Self {
        self.rule(When::Prompt(text.to_owned()), steps)
    }

    /// Adds an answer for every request that no earlier rule took.
    #[must_use]
    pub fn otherwise(self, steps: impl IntoIterator<Item = Step>) -> Self {
        self.rule(When::Always, steps)
    }

    fn rule(mut self, when: When, steps: impl IntoIterator<Item = Step>) -> Self {
        self.rules.push(Rule { when, steps: steps.into_iter().collect() });
        self
    }
}

impl Step {
    /// A piece of the reply.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// Thinking.
    pub fn reasoning(text: impl Into<String>) -> Self {
        Self::Reasoning(text.into())
    }

    /// A shell command.
    pub fn shell(command: impl Into<String>) -> Self {
        Self::Shell(command.into())
    }

    /// A file to write.
    pub fn add_file(path: impl Into<String>, content: impl Into<String>) -> Self {
        Self::AddFile { path: path.into(), content: content.into() }
    }

    /// A pause until the gate is released.
    pub fn hold(gate: impl Into<String>) -> Self {
        Self::Hold(gate.into())
    }

    /// An HTTP error each time.
    pub fn status(code: u16) -> Self {
        Self::Status { code, times: None }
    }

    /// An HTTP error to the first `times` requests, then the steps after it.
    pub fn status_times(code: u16, times: u32) -> Self {
        Self::Status { code, times: Some(times) }
    }

    /// Whether the executor must run something and come back before the next step.
    pub(super) fn is_call(&self) -> bool {
        matches!(self, Self::Shell(_) | Self::AddFile { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn script_reads_the_documented_json() {
        let json = r#"{"rules":[
            {"when":{"text":"deploy"},"steps":[{"reasoning":"hm"},{"shell":"make"},{"hold":"g"},{"text":"ok"}]},
            {"when":{"prompt":"title"},"steps":[{"status":{"code":500,"times":2}}]},
            {"steps":[{"add_file":{"path":"a.txt","content":"x"}}]}]}"#;

        let script: Script = serde_json::from_str(json).expect("valid script");

        assert_eq!(
            script,
            Script::new()
                .when_text(
                    "deploy",
                    [Step::reasoning("hm"), Step::shell("make"), Step::hold("g"), Step::text("ok"),],
                )
                .when_prompt("title", [Step::status_times(500, 2)])
                .otherwise([Step::add_file("a.txt", "x")])
        );
    }
}
