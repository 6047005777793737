//! A session that spawns another one to work beside it.

use std::sync::{Arc, PoisonError};

use remotelab_config::paths::expand;
use remotelab_protocol::event::{Known, Message};
use remotelab_protocol::session::{Session, one_line};
use remotelab_protocol::{Event, Kind, Role, Run, ids};
use remotelab_store::history::Bodies;
use remotelab_store::{Commit, Draft, SessionCell};
use serde_json::{Map, Value, json};

use crate::app::{App, Shared, StorageRefused, blocking, change};
use crate::clock::{now_iso, now_ms};
use crate::contained;
use crate::context::Conversation;
use crate::family::{DEPTH, OPEN_CHILDREN, PARENT};
use crate::sessions;
use crate::submit::{self, Accepted, Beginning, Submission};

/// Why nothing was handed over.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("Visitor sessions cannot be delegated")]
    Visitor,
    #[error("Folder does not exist")]
    NoFolder,
    #[error("sessions may spawn one another {DEPTH} levels deep")]
    TooDeep,
    #[error("{OPEN_CHILDREN} sessions that this one spawned are still at work")]
    TooMany,
    #[error(transparent)]
    Submit(#[from] submit::Error),
}

const NAME_CHARS: usize = 48;
/// How far back a repeated call looks for the notice of its child, in events.
const LOOK_BACK: u64 = 200;

/// What to hand over.
#[derive(Clone, Debug)]
pub(crate) struct Task {
    pub(crate) task: String,
    /// The key by which a repeated call is known.
    pub(crate) request_id: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) tool: Option<String>,
    pub(crate) model: Option<String>,
    pub(crate) effort: Option<String>,
    pub(crate) folder: Option<String>,
    pub(crate) internal: bool,
    /// Whether a run asks, which must not spawn without end.
    pub(crate) by_run: bool,
}

/// Creates the child session together with its run. Safe to repeat and to call in parallel with the same
/// request id: there is one child then.
pub(crate) async fn delegate(
    app: &Shared,
    parent: &Arc<SessionCell>,
    task: Task,
) -> Result<(Arc<SessionCell>, Accepted), Error> {
    let state = parent.snapshot();
    let (worker, from, asked) = (Arc::clone(app), state.session, task.clone());
    let (child, begun, submission) = blocking(move || worker.begin_child(&from, &asked)).await?;
    let (accepted, told_from) = match begun {
        Some((run, commit)) => {
            commit.durable().await.map_err(StorageRefused).map_err(submit::Error::Storage)?;
            app.runs.watch(app, &child, &run.id);
            let accepted = Accepted { duplicate: false, queued: false, run: Some(run) };
            (accepted, state.meta.latest_seq + 1)
        }
        // The call was answered before, or is being answered.
        None => {
            let accepted = submit::submit(app, &child, submission).await?;
            (accepted, state.meta.latest_seq.saturating_sub(LOOK_BACK) + 1)
        }
    };
    if !task.internal {
        announce(app, parent, &child, told_from).await.map_err(submit::Error::Storage)?;
    }
    app.hub.list_changed();
    Ok((child, accepted))
}

/// A child, what its run is begun with, and the run, unless the child was there.
type Begun = (Arc<SessionCell>, Option<(Run, Commit)>, Submission);

impl App {
    /// Adds the child and its run in one step. Blocks.
    fn begin_child(&self, parent: &Session, task: &Task) -> Result<Begun, Error> {
        if sessions::is_visitors(parent) {
            return Err(Error::Visitor);
        }
        let key = task.request_id.as_ref().map(|id| format!("delegate:{}:{id}", parent.id));
        let tool = self.known_tool(task.tool.as_deref(), &parent.tool)?;
        let child = Session { external_trigger_id: key.clone(), ..child(parent, task, tool) };
        let submission = Submission {
            request_id: task.request_id.clone().unwrap_or_else(|| ids::request_id("delegate", now_ms())),
            text: format!("{}\n\n(Handed over by session {})", task.task, parent.id),
            model: child.model.clone(),
            effort: child.effort.clone(),
            thinking: child.thinking.unwrap_or_default(),
            ..Submission::default()
        };
        // Whoever repeats what was done is told so, whatever holds for what is new.
        if let Some(cell) = key.and_then(|key| self.store.keyed(&key)) {
            return Ok((cell, None, submission));
        }
        if parent.archived {
            return Err(submit::Error::Archived.into());
        }
        let folder = match &task.folder {
            Some(folder) => self.folder(folder).ok_or(Error::NoFolder)?,
            None => child.folder.clone(),
        };
        let _turn = task.by_run.then(|| self.delegating.lock().unwrap_or_else(PoisonError::into_inner));
        if task.by_run && self.depth(&parent.id) >= DEPTH {
            return Err(Error::TooDeep);
        }
        if task.by_run && self.open_children(&parent.id) >= OPEN_CHILDREN {
            return Err(Error::TooMany);
        }
        let beginning = Beginning::of(submission.clone(), child.tool.clone());
        let begin = |draft: &mut Draft<'_>| self.begin(draft, &Conversation::empty(), beginning);
        let (cell, begun) = self.store.find_or_insert_with(Session { folder, ..child }, begin);
        Ok((cell, begun, submission))
    }

    /// Returns an existing folder as sessions name it.
    fn folder(&self, given: &str) -> Option<String> {
        let folder = expand(given, &self.settings.work_home);
        (folder.is_dir() && contained::may_work_in(&self.settings, &folder))
            .then(|| folder.to_string_lossy().into_owned())
    }
}

fn child(parent: &Session, task: &Task, tool: String) -> Session {
    let same_tool = tool == parent.tool;
    let kept = ["templateId", "templateName"];
    let mut rest: Map<String, Value> = parent
        .rest
        .iter()
        .filter(|(key, _)| kept.contains(&key.as_str()))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    rest.insert(PARENT.to_owned(), parent.id.as_str().into());
    let default_name = || format!("delegate - {}", one_line(&task.task, NAME_CHARS).unwrap_or_default());
    Session {
        name: task.name.clone().unwrap_or_else(default_name),
        auto_rename_pending: false,
        source_id: parent.source_id.clone(),
        source_name: parent.source_name.clone(),
        group: parent.group.clone(),
        description: parent.description.clone(),
        system_prompt: parent.system_prompt.clone(),
        active_agreements: parent.active_agreements.clone(),
        internal_role: task.internal.then(|| "agent_delegate".to_owned()),
        model: task.model.clone().or_else(|| parent.model.clone().filter(|_| same_tool)),
        effort: task.effort.clone().or_else(|| parent.effort.clone().filter(|_| same_tool)),
        thinking: parent.thinking.filter(|_| same_tool),
        rest,
        ..Session::new(parent.folder.clone(), tool, &now_iso())
    }
}

/// Tells in the parent's history that a session was spawned, unless that is told there from an event on.
async fn announce(
    app: &Shared,
    parent: &Arc<SessionCell>,
    child: &SessionCell,
    from: u64,
) -> Result<(), StorageRefused> {
    let (id, name) = child.with(|state| (state.session.id.clone(), state.session.name.clone()));
    let operation = json!({
        "operation": "delegate_session", "phase": "applied", "trigger": "delegation",
        "title": "Session spawned", "summary": name, "content": format!("Spawned session {name}"), "targetSessionId": id,
    });
    let Value::Object(operation) = operation else { return Ok(()) };
    loop {
        let (history, latest) = (parent.history(), parent.with(|state| state.meta.latest_seq));
        let told = blocking(move || history.read(from..=latest, Bodies::Preview)).await;
        if told.iter().any(|event| names(event, id.as_str())) {
            return Ok(());
        }
        let (told, name, id) = (operation.clone(), name.clone(), id.clone());
        let announced = change(parent, move |draft| {
            // Somebody else may have told it meanwhile.
            if draft.meta().latest_seq != latest {
                return false;
            }
            draft.append(Event::new(Known::ContextOperation(told), now_ms()));
            let notice = Message {
                content: format!("Spawned a parallel session: {name} (?session={id})"),
                message_kind: Some("session_delegate_notice".to_owned()),
                ..Message::default()
            };
            draft.append(Event::message(Role::Assistant, notice, now_ms()));
            true
        });
        if announced.await? {
            app.hub.session_changed(parent);
            return Ok(());
        }
    }
}

fn names(event: &Event, child: &str) -> bool {
    matches!(&event.kind, Kind::Known(Known::ContextOperation(fields))
        if fields.get("targetSessionId").and_then(Value::as_str) == Some(child))
}
