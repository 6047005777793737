//! Applying what was learned about a turn, all in one change.

use remotelab_protocol::pending::{AfterTurn, Wants};
use remotelab_protocol::{Run, RunId, Session, ids, title};
use remotelab_store::{Commit, Draft, SessionCell};

use super::answer::{Answer, Review};
use super::review::{self, Phase};
use super::{REPAIR, has_card};
use crate::app::App;
use crate::clock::now_ms;
use crate::context::Conversation;
use crate::starters;
use crate::submit::{Beginning, Internal};

/// What became of an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Applied,
    /// A run goes on with what the review found missing.
    Continued(RunId),
    /// The history grew while it was read.
    Outdated,
}

impl App {
    /// Applies an answer, or notes why there is none. An answer about a turn that is no longer the last one
    /// changes nothing. Blocks.
    pub(super) fn apply(
        &self,
        cell: &SessionCell,
        after: &AfterTurn,
        answer: Result<Answer, String>,
    ) -> (Outcome, Commit) {
        let goes_on = after.wants.review
            && answer.as_ref().is_ok_and(|answer| matches!(answer.review, Some(Review::Continue { .. })));
        let tool = cell.with(|state| state.session.tool.clone());
        let reviewed = if goes_on { self.store.run(&after.run_id).ok().flatten() } else { None };
        let conversation = goes_on.then(|| Conversation::read(cell, self.catalogue.find(&tool).as_ref()));
        cell.change(|draft| {
            if draft.session().after_turn.as_ref().is_none_or(|now| now.run_id != after.run_id) {
                return Outcome::Applied;
            }
            let outdated = |conversation: &Conversation| conversation.latest_seq() != draft.meta().latest_seq;
            if conversation.as_ref().is_some_and(outdated) {
                return Outcome::Outdated;
            }
            let session = draft.session_mut();
            session.after_turn = None;
            match &answer {
                Ok(answer) => label(session, after.wants, answer),
                Err(reason) if after.wants.title && session.auto_rename_pending => {
                    session.rename_error = Some(reason.clone());
                }
                Err(_) => {}
            }
            if !after.wants.review {
                return Outcome::Applied;
            }
            let next = conclude_review(draft, &after.run_id, answer);
            match (next, conversation) {
                (Some(prompt), Some(conversation)) => Outcome::Continued(
                    self.begin(draft, &conversation, repair(tool, prompt, reviewed.as_ref())).id,
                ),
                _ => Outcome::Applied,
            }
        })
    }
}

/// Fills what is empty. What the owner chose meanwhile stays.
fn label(session: &mut Session, wants: Wants, answer: &Answer) {
    if wants.group && session.group.is_none() {
        session.group.clone_from(&answer.group);
    }
    if wants.description && session.description.is_none() {
        session.description.clone_from(&answer.description);
    }
    if wants.title && session.auto_rename_pending {
        let title = answer.title.as_deref().map(|text| title::without_group(text, session.group.as_deref()));
        match title.filter(|title| !title.is_empty()) {
            Some(title) => {
                session.name = title;
                session.auto_rename_pending = false;
            }
            None => session.rename_error = Some("the answer held no title".to_owned()),
        }
    }
    if wants.workflow && answer.workflow_state.is_some() {
        session.workflow_state.clone_from(&answer.workflow_state);
        session.workflow_priority.clone_from(&answer.workflow_priority);
    }
    if let Some(card) = answer.task_card.as_ref().filter(|_| wants.task_card && has_card(session)) {
        session.rest.insert("taskCard".to_owned(), card.clone());
        starters::retire(session);
    }
}

/// Writes how the review ended; returns what is to be done, if anything.
fn conclude_review(draft: &mut Draft<'_>, run: &RunId, answer: Result<Answer, String>) -> Option<String> {
    let waiting = !draft.session().follow_up_queue.is_empty();
    match answer.map(|answer| answer.review) {
        Ok(Some(Review::Continue { .. })) if waiting || draft.session().archived => {
            review::conclude(draft, run, Phase::Skipped, review::NEW_MESSAGES);
            None
        }
        Ok(Some(Review::Continue { reason, prompt })) => {
            let told = if reason.is_empty() { "something was missing".to_owned() } else { reason };
            review::conclude(draft, run, Phase::Applied, &told);
            Some(prompt)
        }
        Ok(Some(Review::Accepted)) => {
            review::conclude(draft, run, Phase::Skipped, "the reply stands");
            None
        }
        Ok(None) => {
            review::conclude(draft, run, Phase::Failed, "the review could not be read; the reply stands");
            None
        }
        Err(reason) => {
            review::conclude(draft, run, Phase::Failed, &format!("{reason}; the reply stands"));
            None
        }
    }
}

/// Goes on as the reviewed run was asked to work.
fn repair(tool: String, prompt: String, reviewed: Option<&Run>) -> Beginning {
    let reviewed = reviewed.filter(|run| run.tool == tool);
    Beginning {
        request_id: ids::request_id("repair", now_ms()),
        transcript_text: String::new(),
        prompt_text: prompt,
        tool,
        model: reviewed.and_then(|run| run.model.clone()),
        effort: reviewed.and_then(|run| run.effort.clone()),
        thinking: reviewed.is_some_and(|run| run.thinking),
        attachments: Vec::new(),
        source_context: None,
        queued_request_ids: None,
        internal: Some(Internal { operation: REPAIR, prompt: None }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn session(fields: serde_json::Value) -> Session {
        let mut all = json!({"id": "0".repeat(32), "autoRenamePending": true});
        all.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        serde_json::from_value(all).unwrap()
    }

    const EVERYTHING: Wants =
        Wants { review: false, title: true, group: true, description: true, workflow: true, task_card: true };

    #[test]
    fn runtime_weakness_38_only_the_empty_one_of_group_and_description_is_filled() {
        let answer = Answer::parse(
            r#"{"title":"Sales: March figures","group":"Other","description":"Cleans the table","taskCard":{"goal":"g"},"workflowState":"done"}"#,
        )
        .unwrap();
        let mut session = session(json!({"group": "Sales"}));
        label(&mut session, EVERYTHING, &answer);
        assert_eq!(
            (
                session.name.as_str(),
                session.auto_rename_pending,
                session.group.as_deref(),
                session.description.as_deref()
            ),
            ("March figures", false, Some("Sales"), Some("Cleans the table"))
        );
        assert_eq!(
            (session.workflow_state.as_deref(), session.workflow_priority.as_deref()),
            (Some("done"), Some("low"))
        );
        assert_eq!(session.rest["taskCard"]["goal"], "g");
    }

    #[test]
    fn a_title_that_the_owner_gave_meanwhile_stays() {
        let mut session = session(json!({"name": "Mine", "autoRenamePending": false}));
        label(&mut session, EVERYTHING, &Answer { title: Some("Theirs".into()), ..Answer::default() });
        assert_eq!((session.name.as_str(), session.rename_error), ("Mine", None));
    }

    #[test]
    fn an_answer_without_a_title_says_so() {
        let mut session = session(json!({}));
        label(&mut session, EVERYTHING, &Answer::default());
        assert_eq!(session.rename_error.as_deref(), Some("the answer held no title"));
        assert!(session.auto_rename_pending);
    }
}
