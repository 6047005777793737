//! Delivering what is due: one after the other, each claimed in the file before its message is submitted.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use remotelab_protocol::event::Known;
use remotelab_protocol::{Event, SessionId};
use remotelab_store::SessionCell;
use remotelab_store::history::Bodies;

use super::trigger::{Mode, Trigger};
use super::{Error, Triggers};
use crate::app::{Shared, StorageRefused, blocking, change};
use crate::clock::now_ms;
use crate::sessions;
use crate::submit::{self, Accepted, Submission};

/// The longest sleep. The clock of timers stands still while a machine is suspended and knows nothing of a
/// clock that is set, so the time of day is asked for this often.
const POLL: Duration = Duration::from_secs(15);
/// How long to wait when the triggers' file cannot be written.
const STORAGE_RETRY: Duration = Duration::from_secs(5);
/// How far back the line about a delivery is looked for when its message was submitted before.
const LOOK_BACK: u64 = 1_000;

/// Delivers every trigger at its time, for as long as the server lives.
pub(crate) async fn deliver_when_due(app: Shared) {
    loop {
        let wait = match deliver_due(&app).await {
            Ok(()) => app.triggers.until_next(Timestamp::now()),
            Err(error) => {
                tracing::warn!(%error, "cannot note the delivery of a trigger");
                STORAGE_RETRY
            }
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = app.triggers.changed.notified() => {}
        }
    }
}

impl Triggers {
    /// How long nothing is due, at most [`POLL`].
    fn until_next(&self, now: Timestamp) -> Duration {
        let next = self.stored.load().triggers.iter().filter_map(Trigger::due_at).min();
        let wait = next.map(|at| Duration::try_from(at.duration_since(now)).unwrap_or_default());
        // Timers have whole milliseconds; one too early would look in vain.
        wait.map_or(POLL, |wait| (wait + Duration::from_millis(1)).min(POLL))
    }

    fn due(&self, now: Timestamp) -> Vec<Trigger> {
        let mut due = self.list(None);
        due.retain(|trigger| trigger.is_due(now));
        due
    }

    /// Takes a trigger for delivery; `None` when somebody cancelled or moved it in the meantime. Blocks.
    fn claim(&self, id: &str, now: Timestamp) -> Result<Option<Trigger>, Error> {
        self.change(|triggers| {
            let due = triggers.iter_mut().find(|trigger| trigger.id == id && trigger.is_due(now));
            Ok(due.map(|trigger| {
                trigger.claim(now);
                trigger.clone()
            }))
        })
    }

    /// Notes how a delivery ended. One that was deleted meanwhile needs no note. Blocks.
    fn note(&self, id: &str, outcome: Result<(Mode, Option<String>), Refused>) -> Result<(), Error> {
        let now = Timestamp::now();
        let noted = self.change_one(id, |trigger| {
            match outcome {
                Ok((mode, run)) => trigger.delivered(mode, run, now),
                Err(refused) => trigger.failed(refused.reason, refused.is_final, now),
            }
            Ok(())
        });
        match noted {
            Ok(_) | Err(Error::NotFound) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

async fn deliver_due(app: &Shared) -> Result<(), Error> {
    let now = Timestamp::now();
    for due in app.triggers.due(now) {
        let (worker, id) = (Arc::clone(app), due.id.clone());
        let Some(trigger) = blocking(move || worker.triggers.claim(&id, now)).await? else {
            continue;
        };
        let outcome = deliver(app, &trigger).await;
        if let Err(refused) = &outcome {
            tracing::warn!(trigger.id = %trigger.id, reason = %refused.reason, "a trigger was not delivered");
        }
        let worker = Arc::clone(app);
        blocking(move || worker.triggers.note(&trigger.id, outcome)).await?;
    }
    Ok(())
}

/// Why a message was not accepted.
struct Refused {
    reason: String,
    /// Whether it never will be.
    is_final: bool,
}

impl From<submit::Error> for Refused {
    fn from(error: submit::Error) -> Self {
        let is_final = matches!(error, submit::Error::Archived);
        Self { reason: error.to_string(), is_final }
    }
}

impl From<StorageRefused> for Refused {
    fn from(error: StorageRefused) -> Self {
        submit::Error::from(error).into()
    }
}

/// Submits a trigger's message as an ordinary one and says so in the session's history, each once however
/// often this is called for the trigger.
async fn deliver(app: &Shared, trigger: &Trigger) -> Result<(Mode, Option<String>), Refused> {
    let id = SessionId::parse(&trigger.session_id).ok();
    let cell = id.and_then(|id| sessions::find(app, &id));
    let cell = cell.ok_or(Refused { reason: "Session not found".to_owned(), is_final: true })?;
    let given = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let submission = Submission {
        request_id: trigger.request_id.clone(),
        text: trigger.text.clone(),
        tool: given(&trigger.tool),
        model: given(&trigger.model),
        effort: given(&trigger.effort),
        thinking: trigger.thinking,
        ..Submission::default()
    };
    let Accepted { duplicate, run, .. } = submit::submit(app, &cell, submission).await?;
    let mode = if run.is_some() { Mode::Run } else { Mode::Queued };
    if !duplicate || !is_announced(&cell, &trigger.request_id).await {
        announce(app, &cell, trigger, mode).await?;
    }
    Ok((mode, run.map(|run| run.id.to_string())))
}

async fn announce(
    app: &Shared,
    cell: &Arc<SessionCell>,
    trigger: &Trigger,
    mode: Mode,
) -> Result<(), StorageRefused> {
    let what = if mode == Mode::Queued { "queued" } else { "fired" };
    let content = format!("scheduled trigger {what}: {}", trigger.label());
    let line = Event {
        request_id: Some(trigger.request_id.clone()),
        ..Event::new(Known::Status { content }, now_ms())
    };
    change(cell, move |draft| draft.append(line)).await?;
    app.hub.session_changed(cell);
    Ok(())
}

/// Tells whether the history has the line about a delivery already.
async fn is_announced(cell: &SessionCell, request_id: &str) -> bool {
    let (history, latest) = (cell.history(), cell.with(|state| state.meta.latest_seq));
    let from = latest.saturating_sub(LOOK_BACK) + 1;
    let events = blocking(move || history.read(from..=latest, Bodies::Preview)).await;
    let is_line =
        |event: &Event| event.type_name() == "status" && event.request_id.as_deref() == Some(request_id);
    events.iter().any(is_line)
}
