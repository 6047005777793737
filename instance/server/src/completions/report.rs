//! What its taker says became of an answer.

use std::sync::Arc;
use std::time::Duration;

use remotelab_protocol::{Run, RunId, time};
use remotelab_store::{Draft, SessionCell, runs};
use serde_json::{Value, json};

use super::entry::Entry;
use super::{FIELD, set_state};
use crate::app::{App, Shared, StorageRefused, blocking, change};
use crate::clock::{now_iso, now_ms};

/// How long an answer waits for somebody to take it.
const PATIENCE: Duration = Duration::from_secs(30 * 24 * 3600);

/// What its taker says became of an answer.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    pub(crate) state: State,
    pub(crate) delivery: Option<Value>,
    pub(crate) last_error: String,
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Sending,
    Sent,
    Failed,
}

/// Why a report was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("Completion not found")]
    NotFound,
    #[error(transparent)]
    Storage(#[from] StorageRefused),
}

impl State {
    pub(crate) fn parse(word: &str) -> Option<Self> {
        [Self::Sending, Self::Sent, Self::Failed].into_iter().find(|state| state.as_str() == word)
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Sending => "sending",
            Self::Sent => "sent",
            Self::Failed => "failed",
        }
    }
}

/// Writes into the run's record what became of an answer and returns that. The last word counts once: what is
/// said after it changes nothing.
pub(crate) async fn report(app: &Shared, id: &str, report: Report) -> Result<Value, Error> {
    let (run, key) = id.split_once(':').ok_or(Error::NotFound)?;
    let (run, key) = (RunId::parse(run).map_err(|_| Error::NotFound)?, key.to_owned());
    let (worker, asked) = (Arc::clone(app), run.clone());
    let cell = blocking(move || worker.cell_of(&asked)).await.ok_or(Error::NotFound)?;
    let (worker, asked) = (Arc::clone(app), run.clone());
    let taken = change(&cell, move |draft| take(&worker, draft, &asked, &key, report));
    let (state, is_done) = taken.await?.ok_or(Error::NotFound)?;
    if is_done {
        tokio::spawn(retire(Arc::clone(app), cell, run));
    }
    Ok(state)
}

/// Gives up what nobody has taken for very long.
pub(crate) async fn give_up_old(app: Shared) {
    let is_old = |entry: &Entry| {
        let patience = i64::try_from(PATIENCE.as_millis()).unwrap_or(i64::MAX);
        time::parse_iso(&entry.created_at).is_some_and(|at| now_ms() - at.as_millisecond() > patience)
    };
    for entry in app.completions.behind(None).into_iter().filter(is_old) {
        for open in entry.open {
            let id = format!("{}:{}", entry.run_id, open.key);
            let last_error = "nobody took it within 30 days".to_owned();
            let nobody = Report { state: State::Failed, delivery: None, last_error };
            if let Err(error) = report(&app, &id, nobody).await {
                tracing::warn!(run.id = %entry.run_id, %error, "an answer that nobody takes cannot be given up");
            }
        }
    }
}

/// Returns what stands in the run's record then, and whether nothing more of the run waits; `None` for what nobody
/// knows.
fn take(app: &App, draft: &mut Draft<'_>, run: &RunId, key: &str, report: Report) -> Option<(Value, bool)> {
    let mut record = runs::load(app.store.files(), run).ok().flatten();
    let known = |record: &Option<Run>| record.as_ref()?.rest.get(FIELD)?.get(key).cloned();
    let waiting = app.completions.get(run).and_then(|entry| {
        let place = entry.open.iter().position(|open| open.key == key)?;
        Some((entry, place))
    });
    let Some((mut entry, place)) = waiting else {
        return Some((known(&record)?, false));
    };
    let open = &mut entry.open[place];
    open.taken = true;
    let more = match report.state {
        State::Sending => {
            let attempts = known(&record).and_then(|state| state["attempts"].as_u64()).unwrap_or(0) + 1;
            json!({"startedAt": now_iso(), "attempts": attempts, "lastError": report.last_error})
        }
        State::Sent => {
            json!({"deliveredAt": now_iso(), "delivery": report.delivery.unwrap_or(json!({})), "lastError": ""})
        }
        State::Failed => json!({"failedAt": now_iso(), "lastError": report.last_error}),
    };
    let mut state = json!({"state": report.state.as_str()});
    if let Some(record) = &mut record {
        set_state(record, open, report.state.as_str(), more);
        record.updated_at = now_iso();
        state = record.rest[FIELD][key].clone();
    }
    if report.state != State::Sending {
        entry.open.remove(place);
        entry.done = entry.open.is_empty();
    }
    let is_done = entry.done;
    draft.put_file(entry.path(), entry.bytes());
    if let Some(record) = record {
        draft.put_run(record);
    }
    // It is there already, so there is room for it.
    let _ = app.completions.put(entry);
    Some((state, is_done))
}

/// Removes the file of a run of which nothing waits. It says so durably before, and nothing is left to be written
/// to it: the journal could bring it back.
async fn retire(app: Shared, cell: Arc<SessionCell>, run: RunId) {
    if app.store.carry_out().durable().await.is_err() {
        // The next start removes it.
        return;
    }
    let removing = blocking(move || {
        let Some(entry) = app.completions.get(&run) else { return Ok(()) };
        // Under the lock: no late target comes between.
        cell.with(|_| match app.completions.remove_done(&run) {
            true => std::fs::remove_file(app.settings.paths.config().join(entry.path())),
            false => Ok(()),
        })
    });
    if let Err(error) = removing.await {
        tracing::debug!(%error, "an answer that was taken is removed at the next start");
    }
}

impl App {
    /// Returns the session of a run. Blocks.
    fn cell_of(&self, run: &RunId) -> Option<Arc<SessionCell>> {
        let session = match self.completions.get(run) {
            Some(entry) => entry.session_id,
            None => self.store.run(run).ok().flatten()?.session_id,
        };
        self.store.session(&session)
    }
}
