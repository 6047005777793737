//! Forgetting what tools printed: from here on the executor is told only what was said.

use std::sync::Arc;

use remotelab_protocol::event::Known;
use remotelab_protocol::{Context, Event, Role, context};
use remotelab_store::history::Bodies;
use remotelab_store::{Commit, SessionCell};
use serde_json::Map;

use crate::app::{Shared, StorageRefused, blocking};
use crate::clock::{now_iso, now_ms};
use crate::context::cut_weighted;
use crate::submit::is_busy;

const HEADING: &str = "What was said so far; what tools printed was taken out:";
/// More events than this are not looked at.
const LAST_EVENTS: u64 = 5_000;

/// Why nothing was dropped.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// It runs, or nothing was said yet.
    #[error("Unable to drop tool results")]
    Unable,
    #[error(transparent)]
    Storage(#[from] StorageRefused),
}

/// Puts what was said in the place of the history.
pub(crate) async fn drop_tools(app: &Shared, cell: &Arc<SessionCell>) -> Result<(), Error> {
    let target = Arc::clone(cell);
    let (dropped, commit) = blocking(move || change(&target)).await;
    commit.durable().await.map_err(StorageRefused)?;
    if !dropped {
        return Err(Error::Unable);
    }
    app.hub.session_changed(cell);
    Ok(())
}

fn change(cell: &SessionCell) -> (bool, Commit) {
    let (latest, messages) = cell
        .with(|state| (state.meta.latest_seq, state.meta.counts.get("message").copied().unwrap_or_default()));
    let history = cell.history();
    let events = history.read(latest.saturating_sub(LAST_EVENTS - 1).max(1)..=latest, Bodies::Whole);
    let said = said(&events);
    let printed = events.iter().filter(|event| event.type_name() == "tool_result").count();
    cell.change(|draft| {
        let busy = is_busy(draft.session(), draft.active());
        // What came in between is not in the text.
        if busy || said.is_empty() || draft.meta().latest_seq != latest {
            return false;
        }
        let content =
            format!("Tool results taken out of the context: {printed} results, {messages} messages kept");
        let seq = draft.append(Event::new(Known::Status { content }, now_ms()));
        let context = Context {
            mode: context::Mode::Summary,
            summary: format!("{HEADING}\n\n{said}"),
            active_from_seq: seq,
            compacted_through_seq: latest,
            updated_at: Some(now_iso()),
            source: Some("drop_tool_use".to_owned()),
            rest: Map::new(),
            ..Context::default()
        };
        draft.put_context(&context, messages);
        let session = draft.session_mut();
        session.forget_resume_ids();
        session.context_tokens = None;
        true
    })
}

fn said(events: &[Event]) -> String {
    let lines = events.iter().filter_map(|event| {
        let speaker = if event.role == Some(Role::User) { "User" } else { "Assistant" };
        Some(format!("[{speaker}]: {}", event.as_message()?.content.trim()))
    });
    cut_weighted(&lines.collect::<Vec<_>>().join("\n\n"))
}
