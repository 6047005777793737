//! What follows a turn by itself: labels, how the work stands, the task card, a review of the reply if the
//! owner wants one, and a summary when the context is full.
//!
//! All that is asked about a turn goes into one call of an executor, which has no tools and a time limit.
//! What is still to do is stored with the session in the step that ends the run, so that a server that
//! starts anew goes on with it.

mod answer;
mod helper;
mod outcome;
mod question;
mod review;
mod scopes;

use std::sync::Arc;

use remotelab_config::after_turn::{AfterTurn as Settings, Helper};
use remotelab_executor::command;
use remotelab_protocol::pending::{AfterTurn, Wants};
use remotelab_protocol::tool::Tool;
use remotelab_protocol::{Run, RunId, RunState, Session};
use remotelab_store::{Draft, SessionCell};

use crate::app::{App, Shared, StorageRefused, blocking};
use crate::submit::schedule_flush;
use crate::{compaction, sessions};
pub(crate) use answer::read as read_answer;

use answer::Answer;
use outcome::Outcome;
use review::Phase;

/// The run that carries on what a review found missing.
pub(crate) const REPAIR: &str = "reply_self_repair";

/// Tells whether a run works for people: on their messages, or on what was missing from a reply.
pub(crate) fn is_for_people(run: &Run) -> bool {
    matches!(run.internal_operation.as_deref(), None | Some(REPAIR))
}

/// Notes with the end of a run what is to follow it.
pub(crate) fn note(app: &App, draft: &mut Draft<'_>, run: &Run, tool: &Tool, card_given: bool) {
    let asks = app.asked_tool(tool).is_some();
    let mut wants =
        if asks { wanted(&app.settings.after_turn, draft.session(), run, tool) } else { Wants::default() };
    wants.task_card &= !card_given;
    let through_seq = draft.meta().latest_seq;
    if wants.review {
        review::announce(draft, run);
    }
    draft.session_mut().after_turn =
        wants.any().then(|| AfterTurn { run_id: run.id.clone(), helper_run_id: None, wants, through_seq });
}

/// Goes on with what is to follow a turn, also after a restart: of one run, or of whichever was the last.
/// Messages that wait do not wait for it.
pub(crate) fn go_on(app: &Shared, cell: &Arc<SessionCell>, run: Option<RunId>) {
    schedule_flush(app, cell);
    let (app, cell) = (Arc::clone(app), Arc::clone(cell));
    tokio::spawn(async move {
        compaction::take_over(&app, &cell).await;
        if let Err(error) = finish_turn(&app, &cell, run).await {
            tracing::warn!(session.id = %cell.id(), %error, "what follows a turn was not done");
        }
        compaction::start_when_full(&app, &cell).await;
        schedule_flush(&app, &cell);
    });
}

impl App {
    /// Returns the executor that is asked about a turn of a tool; `None` when nobody can be asked without
    /// danger.
    fn asked_tool(&self, tool: &Tool) -> Option<Tool> {
        match &self.settings.after_turn.helper_tool {
            Some(id) => self.catalogue.find(id).filter(|tool| tool.available),
            None => Some(tool.clone()).filter(command::answers_without_tools),
        }
    }
}

/// Tells what a run's end makes worth asking.
fn wanted(settings: &Settings, session: &Session, run: &Run, tool: &Tool) -> Wants {
    if run.state != RunState::Completed || !is_for_people(run) || session.is_hidden() || session.archived {
        return Wants::default();
    }
    let (labels, all) = (settings.helper != Helper::Off, settings.helper == Helper::All);
    let wants = Wants {
        review: run.internal_operation.is_none()
            && settings.self_check.covers(&tool.id, tool.tool_profile.as_deref()),
        title: labels && session.auto_rename_pending,
        group: labels && session.group.is_none(),
        description: labels && session.description.is_none(),
        workflow: all,
        task_card: all && has_card(session),
    };
    if session.follow_up_queue.is_empty() { wants } else { beside_new_work(wants) }
}

/// Leaves out what the turn that new messages begin is asked about again: whether the reply is complete, how
/// the work stands, the card.
fn beside_new_work(wants: Wants) -> Wants {
    Wants { review: false, workflow: false, task_card: false, ..wants }
}

/// Tells whether a session keeps a task card.
pub(crate) fn has_card(session: &Session) -> bool {
    let known = session.rest.contains_key("taskCard");
    !session.is_hidden() && !sessions::is_visitors(session) && (session.source_id == "chat" || known)
}

/// Tells whether a run is a question about a turn. Its output is no part of the history.
pub(crate) fn is_question(run: &Run) -> bool {
    run.internal_operation.as_deref() == Some(helper::OPERATION)
}

/// Asks what is to be asked about a turn and applies the answer.
async fn finish_turn(
    app: &Shared,
    cell: &Arc<SessionCell>,
    run: Option<RunId>,
) -> Result<(), StorageRefused> {
    let after = cell.with(|state| state.session.after_turn.clone());
    let Some(after) = after.filter(|after| run.is_none_or(|run| after.run_id == run)) else {
        return Ok(());
    };
    let Some((after, answered)) = ask(app, cell, after).await? else {
        return Ok(());
    };
    let answer = answered
        .and_then(|text| Answer::parse(&text).ok_or_else(|| "the answer was not understood".to_owned()));
    if let Err(reason) = &answer {
        tracing::info!(session.id = %cell.id(), run.id = %after.run_id, %reason, "nothing was learned about a turn");
    }
    let outcome = loop {
        let (worker, target, after, answer) =
            (Arc::clone(app), Arc::clone(cell), after.clone(), answer.clone());
        let (outcome, commit) = blocking(move || worker.apply(&target, &after, answer)).await;
        commit.durable().await.map_err(StorageRefused)?;
        match outcome {
            Outcome::Outdated => {}
            outcome => break outcome,
        }
    };
    if let Outcome::Continued(run) = outcome {
        app.runs.watch(app, cell, &run);
    }
    app.hub.session_changed(cell);
    app.hub.list_changed();
    Ok(())
}

/// What the executor said, or why it said nothing.
type Said = Result<String, String>;

/// Returns what the executor said and what it was asked; `None` when nothing is left to ask.
async fn ask(
    app: &Shared,
    cell: &Arc<SessionCell>,
    after: AfterTurn,
) -> Result<Option<(AfterTurn, Said)>, StorageRefused> {
    // Bounded on purpose: turns may wait for their title, not for each other's processes.
    let Ok(_turn) = app.helper_turns.acquire().await else {
        return Ok(Some((after, Err("the server is stopping".to_owned()))));
    };
    if let Some(run) = after.helper_run_id.clone() {
        return Ok(Some((after, helper::answer(app, cell, &run).await)));
    }
    let Some(after) = still_asked(app, cell, after).await? else {
        return Ok(None);
    };
    let (worker, target, turn) = (Arc::clone(app), Arc::clone(cell), after.clone());
    let Some((run, commit)) = blocking(move || helper::begin(&worker, &target, &turn)).await else {
        return Ok(Some((after, Err("there is no executor to ask".to_owned()))));
    };
    commit.durable().await.map_err(StorageRefused)?;
    app.hub.session_changed(cell);
    Ok(Some((after, helper::answer(app, cell, &run).await)))
}

/// Drops what makes no sense any longer, because new messages have come while the question waited; a review
/// that they wait for is one of them.
async fn still_asked(
    app: &Shared,
    cell: &Arc<SessionCell>,
    after: AfterTurn,
) -> Result<Option<AfterTurn>, StorageRefused> {
    let (target, reviewed) = (Arc::clone(cell), after.wants.review);
    let (left, commit) = blocking(move || target.change(|draft| narrow(draft, &after.run_id))).await;
    commit.durable().await.map_err(StorageRefused)?;
    if reviewed && !left.as_ref().is_some_and(|left| left.wants.review) {
        app.hub.session_changed(cell);
        schedule_flush(app, cell);
    }
    Ok(left)
}

fn narrow(draft: &mut Draft<'_>, run: &RunId) -> Option<AfterTurn> {
    let after = draft.session().after_turn.clone().filter(|after| after.run_id == *run)?;
    if draft.active().is_none() && draft.session().follow_up_queue.is_empty() {
        return Some(after);
    }
    if after.wants.review {
        review::conclude(draft, run, Phase::Skipped, review::NEW_MESSAGES);
    }
    let left = AfterTurn { wants: beside_new_work(after.wants), ..after };
    let left = Some(left).filter(|left| left.wants.any());
    draft.session_mut().after_turn.clone_from(&left);
    left
}

#[cfg(test)]
mod tests {
    use super::*;
    use remotelab_config::Env;
    use serde_json::json;

    fn run(state: &str, operation: Option<&str>) -> Run {
        serde_json::from_value(json!({"id": RunId::random(), "sessionId": "0".repeat(32),
            "requestId": "r", "state": state, "tool": "codex", "createdAt": "", "updatedAt": "",
            "internalOperation": operation}))
        .unwrap()
    }

    fn session(fields: serde_json::Value) -> Session {
        let mut all = json!({"id": "0".repeat(32), "autoRenamePending": true});
        all.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        serde_json::from_value(all).unwrap()
    }

    fn asked(env: &[(&'static str, &'static str)], session: &Session, run: &Run) -> Wants {
        let env: Env = env.iter().copied().collect();
        wanted(&Settings::from_env(&env), session, run, &Tool { id: "codex".into(), ..Tool::default() })
    }

    #[test]
    fn only_what_is_missing_is_asked() {
        let fresh = session(json!({}));
        let done = run("completed", None);
        let everything = Wants {
            review: false,
            title: true,
            group: true,
            description: true,
            workflow: true,
            task_card: true,
        };
        assert_eq!(asked(&[], &fresh, &done), everything);
        let labelled = session(json!({"autoRenamePending": false, "group": "g", "sourceId": "github"}));
        assert_eq!(
            asked(&[], &labelled, &done),
            Wants { description: true, workflow: true, ..Wants::default() }
        );
        assert!(!asked(&[("REMOTELAB_TURN_HELPER", "labels")], &labelled, &done).workflow);
        assert_eq!(asked(&[("REMOTELAB_TURN_HELPER", "off")], &fresh, &done), Wants::default());
    }

    #[test]
    fn failures_hidden_and_internal_runs_are_left_alone() {
        let fresh = session(json!({}));
        let hidden = session(json!({"internalRole": "agent_delegate"}));
        for (session, run) in [
            (&fresh, run("failed", None)),
            (&fresh, run("completed", Some("context_compaction_worker"))),
            (&hidden, run("completed", None)),
        ] {
            assert_eq!(asked(&[], session, &run), Wants::default());
        }
    }

    #[test]
    fn a_reply_is_reviewed_once() {
        let on = [("REMOTELAB_REPLY_SELF_CHECK", "all")];
        let fresh = session(json!({}));
        assert!(asked(&on, &fresh, &run("completed", None)).review);
        assert!(!asked(&on, &fresh, &run("completed", Some(REPAIR))).review);
    }

    #[test]
    fn while_messages_wait_only_names_are_asked() {
        let waiting = session(json!({"followUpQueue": [{"requestId": "q", "text": "x"}]}));
        let names = Wants { title: true, group: true, description: true, ..Wants::default() };
        let all = [("REMOTELAB_REPLY_SELF_CHECK", "all")];
        assert_eq!(asked(&all, &waiting, &run("completed", None)), names);
    }
}
