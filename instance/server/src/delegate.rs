//! A session that spawns another one to work beside it.

use std::sync::Arc;

use remotelab_protocol::event::{Known, Message};
use remotelab_protocol::session::{Session, one_line};
use remotelab_protocol::{Event, Role, ids};
use remotelab_store::{Inserted, SessionCell};
use serde_json::{Map, Value, json};

use crate::app::{Shared, StorageRefused};
use crate::clock::{now_iso, now_ms};
use crate::sessions;
use crate::submit::{self, Accepted, Submission};

/// Why nothing was handed over.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("Visitor sessions cannot be delegated")]
    Visitor,
    #[error(transparent)]
    Submit(#[from] submit::Error),
}

const TASK_CHARS: usize = 4_000;
const NAME_CHARS: usize = 48;

/// What to hand over.
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) task: String,
    pub(crate) name: Option<String>,
    pub(crate) tool: Option<String>,
    pub(crate) internal: bool,
}

/// Creates the child session and starts its run.
pub(crate) async fn delegate(
    app: &Shared,
    parent: &Arc<SessionCell>,
    task: Task,
) -> Result<(Arc<SessionCell>, Accepted), Error> {
    let from = parent.snapshot().session;
    if sessions::is_visitors(&from) {
        return Err(Error::Visitor);
    }
    app.known_tool(task.tool.as_deref(), &from.tool)?;
    let child = child(&from, &task);
    let (cell, inserted) = app.store.find_or_insert(child);
    if let Inserted::New(commit) = inserted {
        commit.durable().await.map_err(|error| submit::Error::Storage(StorageRefused(error)))?;
    }
    let text: String = task.task.chars().take(TASK_CHARS).collect();
    let submission = Submission {
        request_id: ids::request_id("delegate", now_ms()),
        text: format!("{text}\n\n(Handed over by session {})", from.id),
        ..Submission::default()
    };
    let accepted = submit::submit(app, &cell, submission).await?;
    if !task.internal {
        announce(app, parent, &cell).await.map_err(submit::Error::Storage)?;
    }
    app.hub.list_changed();
    Ok((cell, accepted))
}

fn child(parent: &Session, task: &Task) -> Session {
    let same_tool = task.tool.as_deref().is_none_or(|tool| tool == parent.tool);
    let kept = ["templateId", "templateName"];
    let rest: Map<String, Value> = parent
        .rest
        .iter()
        .filter(|(key, _)| kept.contains(&key.as_str()))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    let default_name = || format!("delegate - {}", one_line(&task.task, NAME_CHARS).unwrap_or_default());
    let tool = task.tool.clone().unwrap_or_else(|| parent.tool.clone());
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
        model: parent.model.clone().filter(|_| same_tool),
        effort: parent.effort.clone().filter(|_| same_tool),
        thinking: parent.thinking.filter(|_| same_tool),
        rest,
        ..Session::new(parent.folder.clone(), tool, &now_iso())
    }
}

/// Tells in the parent's history that a session was spawned.
async fn announce(
    app: &Shared,
    parent: &Arc<SessionCell>,
    child: &SessionCell,
) -> Result<(), StorageRefused> {
    let (id, name) = child.with(|state| (state.session.id.clone(), state.session.name.clone()));
    let operation = json!({
        "operation": "delegate_session", "phase": "applied", "trigger": "delegation",
        "title": "Session spawned", "summary": name, "content": format!("Spawned session {name}"), "targetSessionId": id,
    });
    let ((), commit) = parent.change(|draft| {
        if let Value::Object(fields) = operation {
            draft.append(Event::new(Known::ContextOperation(fields), now_ms()));
        }
        let notice = Message {
            content: format!("Spawned a parallel session: {name} (?session={id})"),
            message_kind: Some("session_delegate_notice".to_owned()),
            ..Message::default()
        };
        draft.append(Event::message(Role::Assistant, notice, now_ms()));
    });
    commit.durable().await?;
    app.hub.session_changed(parent);
    Ok(())
}
