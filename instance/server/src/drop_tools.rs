//! Forgetting what tools printed: from here on the executor is told only what was said.

use std::collections::VecDeque;
use std::sync::Arc;

use remotelab_protocol::event::Known;
use remotelab_protocol::{Context, Event, Role, context};
use remotelab_store::history::{Bodies, History};
use remotelab_store::{Commit, SessionCell};
use serde_json::Map;

use crate::app::{Shared, StorageRefused, blocking};
use crate::clock::{now_iso, now_ms};
use crate::context::cut_weighted;
use crate::submit::is_busy;

const HEADING: &str = "What was said so far; what tools printed was taken out:";
/// How much of the beginning and of the end is kept, in bytes: more than is told of either.
const KEPT: usize = 128 << 10;

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
    let Talk { said, printed } = talk(&cell.history(), latest);
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

/// What was said, and how much tools printed beside it.
struct Talk {
    said: String,
    printed: usize,
}

/// Reads the events one by one; of what was said only the beginning and the end are kept in memory, which
/// is all that is told.
fn talk(history: &History, latest: u64) -> Talk {
    let (mut head, mut tail) = (String::new(), VecDeque::<String>::new());
    let (mut tail_bytes, mut printed) = (0, 0);
    for seq in 1..=latest {
        let Some(event) = history.event(seq, Bodies::Messages) else {
            continue;
        };
        printed += usize::from(event.type_name() == "tool_result");
        let Some(message) = event.as_message() else {
            continue;
        };
        let speaker = if event.role == Some(Role::User) { "User" } else { "Assistant" };
        let line = format!("[{speaker}]: {}", message.content.trim());
        if head.len() < KEPT {
            head.push_str(if head.is_empty() { "" } else { "\n\n" });
            head.push_str(&line);
            continue;
        }
        tail_bytes += line.len();
        tail.push_back(line);
        while tail.front().is_some_and(|first| tail_bytes - first.len() > KEPT) {
            tail_bytes -= tail.pop_front().map_or(0, |first| first.len());
        }
    }
    let parts: Vec<String> = std::iter::once(head).chain(tail).collect();
    Talk { said: cut_weighted(&parts.join("\n\n")), printed }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use remotelab_config::InstancePaths;
    use remotelab_protocol::Session;
    use remotelab_protocol::event::Message;
    use remotelab_store::Store;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20))]

        /// What is told is the same as if all had been in memory.
        #[test]
        fn of_a_long_conversation_the_same_is_told(lengths in proptest::collection::vec(0..60_000_usize, 0..12)) {
            let root = tempfile::tempdir().unwrap();
            let store = Store::open(&InstancePaths::below(root.path())).unwrap().0;
            let (cell, _) = store.find_or_insert(Session::new("~".into(), "codex".into(), ""));
            let mut all = Vec::new();
            for (number, length) in lengths.iter().enumerate() {
                let content = format!("{number} {}", "长x".repeat(length / 2));
                all.push(format!("[User]: {}", content.trim()));
                let message = Message { content, ..Message::default() };
                let output = Known::ToolResult { tool_name: "bash".into(), output: "no".into(), exit_code: 0 };
                let ((), commit) = cell.change(|draft| {
                    draft.append(Event::message(Role::User, message, 0));
                    draft.append(Event::new(output, 0));
                });
                commit.wait().unwrap();
            }
            let Talk { said, printed } = talk(&cell.history(), 2 * lengths.len() as u64);
            prop_assert_eq!(said, cut_weighted(&all.join("\n\n")));
            prop_assert_eq!(printed, lengths.len());
        }
    }
}
