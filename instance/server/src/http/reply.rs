//! `GET /api/runs/:id/reply`: what the run said to a person, chosen as connectors choose.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::response::Response;
use http::HeaderMap;
use remotelab_protocol::{Run, RunId, SessionId};
use remotelab_store::SessionCell;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::Instant;

use super::answer::Refusal;
use super::query::Query;
use super::{conditional, runs};
use crate::app::{Shared, blocking};
use crate::hub::Change;
use crate::reply::{self, Reply};
use crate::sessions;
use crate::settled::Settled;

/// How often a session is looked at of which nothing is heard.
const LOOK: Duration = Duration::from_secs(1);

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct ReplyQuery {
    wait: Option<String>,
    settled: Option<String>,
}

/// With `wait`, a number of seconds, the answer comes when the run has ended or the time is up; with `settled`
/// when its reply was reviewed and repaired as well, and it is what stands then.
pub(super) async fn get(
    State(app): State<Shared>,
    Path(id): Path<String>,
    Query(query): Query<ReplyQuery>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let seconds = query.wait.and_then(|wait| wait.trim().parse().ok()).unwrap_or(0).min(runs::WAIT_MAX);
    let deadline = Instant::now() + Duration::from_secs(seconds);
    let until_settled = query.settled.as_deref() == Some("1");
    let mut are_files_awaited = true;
    loop {
        // Before the run is read, so that no change can fall between.
        let mut changes = app.hub.changes();
        let run = runs::find(&app, &id).await?;
        let cell =
            sessions::find(&app, &run.session_id).ok_or_else(|| Refusal::not_found("Run not found"))?;
        let settled = settled(&app, &cell, &run).await;
        let is_there = if until_settled { settled.is_some() } else { run.state.is_terminal() };
        if is_there && std::mem::take(&mut are_files_awaited) && published(&app, &run, settled.as_ref()).await
        {
            continue;
        }
        if is_there || Instant::now() >= deadline || app.stopping.is_cancelled() {
            let settled_run = settled.as_ref().map(|settled| settled.run.id.clone());
            let reply = match settled {
                Some(settled) if until_settled => settled.reply,
                _ => own(&cell, &run).await,
            };
            return Ok(conditional::json(&headers, &told(&run, reply, settled_run)));
        }
        tokio::select! {
            () = changed(&mut changes, cell.id()) => {}
            () = tokio::time::sleep_until(deadline.min(Instant::now() + LOOK)) => {}
            () = app.stopping.cancelled() => {}
        }
    }
}

/// Waits for the files of a run that has just ended, and of the one whose words stand; tells whether there were
/// any to wait for.
async fn published(app: &Shared, run: &Run, settled: Option<&Settled>) -> bool {
    let standing = settled.map_or(&run.id, |settled| &settled.run.id);
    let over = async {
        let own = app.publishing.over(&run.id).await;
        app.publishing.over(standing).await || own
    };
    tokio::select! {
        awaited = over => awaited,
        () = app.stopping.cancelled() => false,
    }
}

async fn settled(app: &Shared, cell: &Arc<SessionCell>, run: &Run) -> Option<Settled> {
    let (app, cell, run) = (Arc::clone(app), Arc::clone(cell), run.clone());
    blocking(move || app.settled(&cell, &run)).await
}

async fn own(cell: &SessionCell, run: &Run) -> Reply {
    let (history, latest, run) = (cell.history(), cell.with(|state| state.meta.latest_seq), run.clone());
    blocking(move || reply::of(&run, &history, latest)).await
}

fn told(run: &Run, reply: Reply, settled: Option<RunId>) -> Value {
    let (text, seq) = reply.chosen.map(|chosen| (chosen.text, chosen.seq)).unzip();
    json!({
        "runId": run.id,
        "state": run.state,
        "reply": text,
        "replySeq": seq,
        "attachments": reply.attachments,
        "requestIds": reply.request_ids,
        "settledRunId": settled,
    })
}

/// Waits for word of a session.
async fn changed(changes: &mut Receiver<Change>, session: &SessionId) {
    loop {
        match changes.recv().await {
            Ok(Change(changed)) if changed != *session => {}
            // Of those that were missed one may have been about it.
            Ok(_) | Err(RecvError::Lagged(_)) => return,
            Err(RecvError::Closed) => return std::future::pending().await,
        }
    }
}
