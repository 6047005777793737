//! A session that goes its own way from where another one stands.

use std::sync::Arc;

use remotelab_protocol::event::Body;
use remotelab_protocol::{Context, Event, Session};
use remotelab_store::history::Bodies;
use remotelab_store::session::State;
use remotelab_store::{Inserted, SessionCell};
use serde_json::{Map, Value};

use crate::app::{Shared, StorageRefused, blocking};
use crate::clock::now_iso;
use crate::sessions;
use crate::submit::is_busy;

/// Hides a session that is not copied to its end; one that a crash left stays hidden.
const UNFINISHED: &str = "fork_in_progress";
/// How many events are copied in one step.
const CHUNK: u64 = 200;

/// Why a session was not forked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("Visitor sessions cannot be forked")]
    Visitor,
    #[error("Session is running")]
    Running,
    #[error("Unable to fork session")]
    Hidden,
    #[error(transparent)]
    Storage(#[from] StorageRefused),
}

/// Makes a copy of a session with its history. What executors remember by themselves is not copied.
pub(crate) async fn fork(app: &Shared, parent: &Arc<SessionCell>) -> Result<Arc<SessionCell>, Error> {
    let source = Arc::clone(parent);
    let (state, context) = blocking(move || at_one_moment(&source)).await;
    let from = &state.session;
    if sessions::is_visitors(from) {
        return Err(Error::Visitor);
    }
    if from.is_hidden() {
        return Err(Error::Hidden);
    }
    if is_busy(from, state.active.as_ref()) {
        return Err(Error::Running);
    }
    let (worker, copy) = (Arc::clone(app), copy_of(from, state.meta.latest_seq));
    let (child, inserted) = blocking(move || worker.store.find_or_insert(copy)).await;
    if let Inserted::New(commit) = inserted {
        commit.durable().await.map_err(StorageRefused)?;
    }
    let (source, target) = (Arc::clone(parent), Arc::clone(&child));
    let commit = blocking(move || {
        copy_events(&source, &target, state.meta.latest_seq)?;
        let ((), commit) = target.change(|draft| {
            if let Some(mark) = &state.session.context_mark {
                draft.put_context(&context, mark.messages_before);
            }
            draft.session_mut().internal_role = None;
        });
        Ok::<_, StorageRefused>(commit)
    });
    commit.await?.durable().await.map_err(StorageRefused)?;
    app.hub.list_changed();
    Ok(child)
}

/// Reads what stands for the beginning of a history together with how far that goes. Blocks.
fn at_one_moment(cell: &SessionCell) -> (State, Context) {
    loop {
        let state = cell.snapshot();
        let context = cell.history().context();
        if cell.revision() == state.revision {
            return (state, context);
        }
    }
}

fn copy_of(parent: &Session, latest_seq: u64) -> Session {
    let now = now_iso();
    let kept = ["templateId", "templateName", "templateAppliedAt", "userId", "userName"];
    let mut rest: Map<String, Value> = parent
        .rest
        .iter()
        .filter(|(key, _)| kept.contains(&key.as_str()))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    let root = parent.rest.get("rootSessionId").cloned().unwrap_or_else(|| parent.id.as_str().into());
    rest.insert("forkedFromSessionId".into(), parent.id.as_str().into());
    rest.insert("forkedFromSeq".into(), latest_seq.into());
    rest.insert("rootSessionId".into(), root);
    rest.insert("forkedAt".into(), now.as_str().into());
    Session {
        name: format!("fork - {}", parent.name),
        auto_rename_pending: false,
        source_id: parent.source_id.clone(),
        source_name: parent.source_name.clone(),
        group: parent.group.clone(),
        description: parent.description.clone(),
        system_prompt: parent.system_prompt.clone(),
        active_agreements: parent.active_agreements.clone(),
        model: parent.model.clone(),
        effort: parent.effort.clone(),
        thinking: parent.thinking,
        internal_role: Some(UNFINISHED.to_owned()),
        rest,
        ..Session::new(parent.folder.clone(), parent.tool.clone(), &now)
    }
}

/// Copies the history in steps, so that a long one is never whole in memory. Blocks.
fn copy_events(parent: &SessionCell, child: &SessionCell, latest_seq: u64) -> Result<(), StorageRefused> {
    let history = parent.history();
    let mut from = 1;
    while from <= latest_seq {
        let to = (from + CHUNK - 1).min(latest_seq);
        let events = history.read(from..=to, Bodies::Whole);
        let ((), commit) = child.change(|draft| {
            for event in events {
                draft.append(anew(event));
            }
        });
        commit.wait()?;
        from = to + 1;
    }
    Ok(())
}

/// Takes out of an event what ties it to its place: runs and requests are the parent's.
fn anew(event: Event) -> Event {
    let body = Body::default();
    Event { run_id: None, request_id: None, body, id: format!("evt_{:016x}", rand::random::<u64>()), ..event }
}
