//! What an executor answered about a turn.

use remotelab_protocol::session::one_line;
use remotelab_protocol::task_card;
use serde_json::{Map, Value};

use crate::patch::{priority_word, state_word};
use crate::readers;
use crate::sessions::{DESCRIPTION_CHARS, GROUP_CHARS};

const TITLE_CHARS: usize = 60;
const REASON_CHARS: usize = 240;
const PROMPT_CHARS: usize = 4_000;

/// What an executor answered about a turn. What it left out or got wrong is absent.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Answer {
    pub(super) title: Option<String>,
    pub(super) group: Option<String>,
    pub(super) description: Option<String>,
    pub(super) workflow_state: Option<String>,
    pub(super) workflow_priority: Option<String>,
    pub(super) task_card: Option<Value>,
    pub(super) review: Option<Review>,
}

/// What a review found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Review {
    Accepted,
    /// Something is missing; the text says what to do.
    Continue {
        reason: String,
        prompt: String,
    },
}

/// Reads an answer for those who look for text that it does not bear.
pub(crate) fn read(text: &str) -> Option<readers::Answer> {
    let answer = Answer::parse(text)?;
    Some(readers::Answer {
        title: answer.title,
        group: answer.group,
        description: answer.description,
        workflow_state: answer.workflow_state,
        workflow_priority: answer.workflow_priority,
        task_card: answer.task_card,
        continuation: match answer.review {
            Some(Review::Continue { prompt, .. }) => Some(prompt),
            _ => None,
        },
    })
}

impl Answer {
    /// Reads an answer: JSON, or text with one JSON object in it. `None` when there is none.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let fields = object(text)?;
        let line = |key: &str, max| one_line(fields.get(key)?.as_str()?, max);
        let workflow_state = line("workflowState", 40).and_then(|text| state_word(&text));
        let usual = workflow_state.as_deref().map(|state| match state {
            "waiting_user" => "high",
            "done" => "low",
            _ => "medium",
        });
        let workflow_priority =
            line("workflowPriority", 40).and_then(|text| priority_word(&text)).or(usual.map(str::to_owned));
        Some(Self {
            title: line("title", TITLE_CHARS),
            group: line("group", GROUP_CHARS),
            description: line("description", DESCRIPTION_CHARS),
            workflow_priority: workflow_priority.filter(|_| workflow_state.is_some()),
            workflow_state,
            task_card: fields.get("taskCard").and_then(task_card::normalised),
            review: review(&fields),
        })
    }
}

/// Anything but a plain request to go on, with what to do, accepts the reply: a review that cannot be read
/// must not cost another run.
fn review(fields: &Map<String, Value>) -> Option<Review> {
    let text = |key: &str| fields.get(key).and_then(Value::as_str).map(str::trim).unwrap_or_default();
    let action = fields.get("action")?.as_str()?.trim().to_lowercase();
    let prompt: String = text("continuationPrompt").chars().take(PROMPT_CHARS).collect();
    if action != "continue" || prompt.is_empty() {
        return Some(Review::Accepted);
    }
    Some(Review::Continue { reason: one_line(text("reason"), REASON_CHARS).unwrap_or_default(), prompt })
}

fn object(text: &str) -> Option<Map<String, Value>> {
    let whole = serde_json::from_str(text.trim()).ok();
    whole.or_else(|| serde_json::from_str(text.get(text.find('{')?..=text.rfind('}')?)?).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_answer_may_stand_among_words_and_leave_things_out() {
        let text = "Here you are:\n```json\n{\"title\": \" March  sales \", \"group\": 7, \"workflowState\": \"Waiting for user\"}\n```";
        let expected = Answer {
            title: Some("March sales".into()),
            workflow_state: Some("waiting_user".into()),
            workflow_priority: Some("high".into()),
            ..Answer::default()
        };
        assert_eq!(Answer::parse(text), Some(expected));
        assert_eq!(Answer::parse("I could not tell."), None);
        assert_eq!(Answer::parse("} {"), None);
    }

    #[test]
    fn only_a_clear_wish_goes_on() {
        let parse = |text: &str| Answer::parse(text).unwrap().review;
        let go_on = r#"{"action":"continue","reason":"no file","continuationPrompt":"write it"}"#;
        let review = Review::Continue { reason: "no file".into(), prompt: "write it".into() };
        assert_eq!(parse(go_on), Some(review));
        for text in [r#"{"action":"continue"}"#, r#"{"action":"accept"}"#, r#"{"action":"hm"}"#] {
            assert_eq!(parse(text), Some(Review::Accepted));
        }
        assert_eq!(parse("{}"), None);
    }

    proptest! {
        #[test]
        fn never_panics_and_keeps_the_limits(text in "(\\PC|[{}\":,]|title|group){0,60}") {
            if let Some(answer) = Answer::parse(&text) {
                prop_assert!(answer.title.is_none_or(|title| title.chars().count() <= TITLE_CHARS));
            }
        }
    }
}
