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
use remotelab_protocol::{Run, RunState, Session};
use remotelab_store::{Draft, SessionCell};

use crate::app::{App, Shared, StorageRefused, blocking};
use crate::submit::schedule_flush;
use crate::{compaction, sessions};
pub(crate) use answer::read as read_answer;

use answer::Answer;
use outcome::Outcome;

/// The run that carries on what a review found missing.
pub(crate) const REPAIR: &str = "reply_self_repair";

/// Notes with the end of a run what is to follow it.
pub(crate) fn note(app: &App, draft: &mut Draft<'_>, run: &Run, tool: &Tool, card_given: bool) {
    let asks = app.asked_tool(tool).is_some();
    let mut wants =
        if asks { wanted(&app.settings.after_turn, draft.session(), run, tool) } else { Wants::default() };
    wants.task_card &= !card_given;
    if wants.review {
        review::announce(draft, run);
    }
    draft.session_mut().after_turn =
        wants.any().then(|| AfterTurn { run_id: run.id.clone(), helper_run_id: None, wants });
}

/// Goes on with what is to follow a turn, also after a restart, and then with the messages that wait.
pub(crate) fn go_on(app: &Shared, cell: &Arc<SessionCell>) {
    let (app, cell) = (Arc::clone(app), Arc::clone(cell));
    tokio::spawn(async move {
        compaction::take_over(&app, &cell).await;
        if let Err(error) = finish_turn(&app, &cell).await {
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
    let ordinary = matches!(run.internal_operation.as_deref(), None | Some(REPAIR));
    if run.state != RunState::Completed || !ordinary || session.is_hidden() || session.archived {
        return Wants::default();
    }
    let (labels, all) = (settings.helper != Helper::Off, settings.helper == Helper::All);
    Wants {
        review: run.internal_operation.is_none()
            && session.follow_up_queue.is_empty()
            && settings.self_check.covers(&tool.id, tool.tool_profile.as_deref()),
        title: labels && session.auto_rename_pending,
        group: labels && session.group.is_none(),
        description: labels && session.description.is_none(),
        workflow: all,
        task_card: all && has_card(session),
    }
}

/// Tells whether a session keeps a task card.
pub(crate) fn has_card(session: &Session) -> bool {
    let known = session.rest.contains_key("taskCard");
    !session.is_hidden() && !sessions::is_visitors(session) && (session.source_id == "chat" || known)
}

/// Asks what is to be asked about the last turn and applies the answer.
async fn finish_turn(app: &Shared, cell: &Arc<SessionCell>) -> Result<(), StorageRefused> {
    let Some(after) = cell.with(|state| state.session.after_turn.clone()) else {
        return Ok(());
    };
    let answered = ask(app, cell, &after).await?;
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

/// Returns what the executor said, or why it said nothing.
async fn ask(
    app: &Shared,
    cell: &Arc<SessionCell>,
    after: &AfterTurn,
) -> Result<Result<String, String>, StorageRefused> {
    // Bounded on purpose: turns may wait for their title, not for each other's processes.
    let Ok(_turn) = app.helper_turns.acquire().await else {
        return Ok(Err("the server is stopping".to_owned()));
    };
    let run = match &after.helper_run_id {
        Some(run) => run.clone(),
        None => {
            let (worker, target, turn) = (Arc::clone(app), Arc::clone(cell), after.clone());
            match blocking(move || helper::begin(&worker, &target, &turn)).await {
                Some((run, commit)) => {
                    commit.durable().await.map_err(StorageRefused)?;
                    app.hub.session_changed(cell);
                    run
                }
                None => return Ok(Err("there is no executor to ask".to_owned())),
            }
        }
    };
    Ok(helper::answer(app, cell, &run).await)
}

#[cfg(test)]
mod tests {
    use super::*;
    use remotelab_config::Env;
    use serde_json::json;

    fn run(state: &str, operation: Option<&str>) -> Run {
        serde_json::from_value(json!({"id": remotelab_protocol::RunId::random(), "sessionId": "0".repeat(32),
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
    fn a_reply_is_reviewed_once_and_only_while_nothing_waits() {
        let on = [("REMOTELAB_REPLY_SELF_CHECK", "all")];
        let fresh = session(json!({}));
        assert!(asked(&on, &fresh, &run("completed", None)).review);
        assert!(!asked(&on, &fresh, &run("completed", Some(REPAIR))).review);
        let waiting = session(json!({"followUpQueue": [{"requestId": "q", "text": "x"}]}));
        assert!(!asked(&on, &waiting, &run("completed", None)).review);
    }
}
