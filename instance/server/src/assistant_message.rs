//! A message that an executor, a script or the operator puts into a session as the assistant's, without a
//! run.

use std::sync::Arc;

use remotelab_protocol::event::Message;
use remotelab_protocol::{Attachment, Event, Role};
use remotelab_store::SessionCell;
use remotelab_store::history::Bodies;

use crate::app::{Shared, StorageRefused, blocking, change};
use crate::clock::{now_iso, now_ms};

/// How far back a repeated request is looked for, in events. Callers repeat at once or not at all.
const LOOK_BACK: u64 = 200;

/// What to say.
#[derive(Debug, Default)]
pub(crate) struct Said {
    pub(crate) text: String,
    pub(crate) request_id: Option<String>,
    /// The run whose words these are; its last message is its reply.
    pub(crate) run_id: Option<String>,
    pub(crate) source: String,
    pub(crate) attachments: Vec<Attachment>,
}

/// Why nothing was said.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("Session is archived")]
    Archived,
    #[error(transparent)]
    Storage(#[from] StorageRefused),
}

/// Appends a message and returns its event; the event of a request that was answered before is returned
/// again.
pub(crate) async fn append(app: &Shared, cell: &Arc<SessionCell>, said: Said) -> Result<Event, Error> {
    let event = event(said);
    if let Some(run) = &event.run_id {
        app.runs.note_words(run);
    }
    loop {
        let latest = match &event.request_id {
            Some(id) => {
                let (latest, known) = known(app, cell, id).await?;
                if let Some(known) = known {
                    return Ok(known);
                }
                Some(latest)
            }
            None => None,
        };
        let new = event.clone();
        let appended = change(cell, move |draft| {
            if draft.session().archived {
                return Err(Error::Archived);
            }
            if latest.is_some_and(|latest| latest != draft.meta().latest_seq) {
                return Ok(None);
            }
            draft.session_mut().updated_at = now_iso();
            Ok(Some(draft.append(new)))
        });
        // Something else was appended while the history was read.
        let Some(seq) = appended.await?? else { continue };
        app.hub.session_changed(cell);
        app.hub.list_changed();
        return Ok(Event { seq, ..event });
    }
}

/// Returns the event that a request made before.
pub(crate) async fn find(
    app: &Shared,
    cell: &SessionCell,
    request_id: Option<&str>,
) -> Result<Option<Event>, StorageRefused> {
    match request_id {
        Some(id) => Ok(known(app, cell, id).await?.1),
        None => Ok(None),
    }
}

/// Returns the event that a request made before, and up to where the history was read.
async fn known(
    app: &Shared,
    cell: &SessionCell,
    request_id: &str,
) -> Result<(u64, Option<Event>), StorageRefused> {
    app.store.settled().await?;
    let (history, latest) = (cell.history(), cell.with(|state| state.meta.latest_seq));
    let from = latest.saturating_sub(LOOK_BACK) + 1;
    let request_id = request_id.to_owned();
    let known = blocking(move || {
        let mut events = (from..=latest).filter_map(|seq| history.event(seq, Bodies::Preview));
        let mut known = events.find(|event| {
            event.is_message_of(Role::Assistant) && event.request_id.as_deref() == Some(&request_id)
        })?;
        history.load(&mut known, Bodies::Whole);
        Some(known)
    });
    Ok((latest, known.await))
}

fn event(said: Said) -> Event {
    let message = Message {
        content: said.text,
        images: said.attachments.clone(),
        attachments: said.attachments,
        source: Some(said.source),
        ..Message::default()
    };
    Event {
        run_id: said.run_id,
        request_id: said.request_id,
        ..Event::message(Role::Assistant, message, now_ms())
    }
}
