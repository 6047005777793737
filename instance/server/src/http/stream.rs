//! `GET /api/sessions/:id/stream`: a session's events as they come (server-sent events).
//!
//! The stream is told only that something changed and reads what that was, one small piece after the other
//! and no faster than its reader takes it. So a slow reader costs nothing but its connection, and one that
//! comes again after the number it has seen misses nothing and gets nothing twice.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::Response;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};
use remotelab_protocol::RunId;
use remotelab_store::SessionCell;
use remotelab_store::history::Bodies;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::broadcast::Receiver;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::answer::Refusal;
use super::query::Query;
use super::{events, paging, sessions as routes};
use crate::app::{Shared, blocking};
use crate::auth::caller::Caller;
use crate::hub::Change;
use crate::runs::Shown;
use crate::sessions;

/// Keeps idle proxies from cutting the connection; the caller is looked at as often.
const BEAT: Duration = Duration::from_secs(15);
/// How long a reader may take nothing.
const PATIENCE: Duration = Duration::from_secs(60);
/// How many frames may be on their way to a reader.
const UNDER_WAY: usize = 8;
/// How many events are read at once, and about how many bytes of their texts.
const PIECE: u64 = 8;
const PIECE_BYTES: u64 = 256 << 10;

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct StreamQuery {
    #[serde(alias = "after")]
    after_seq: Option<String>,
}

/// Opens a stream. It begins after `Last-Event-ID`, else after `afterSeq`, else with what comes next.
pub(super) async fn open(
    State(app): State<Shared>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    Query(query): Query<StreamQuery>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let cell = routes::find(&app, &id)?;
    let seen = headers.get("last-event-id").and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let after = seen.or(paging::seq("afterSeq", query.after_seq.as_deref())?);
    let (reader, frames) = mpsc::channel::<Bytes>(UNDER_WAY);
    let changes = app.hub.changes();
    tokio::spawn(async move {
        let teller = Teller { app, cell, caller, reader, told: Told::default() };
        // Why it ended is nothing to its reader, who comes again.
        let _ = teller.tell(after, changes).await;
    });
    let body = futures_util::stream::unfold(frames, async |mut frames| {
        let frame = frames.recv().await?;
        Some((Ok::<_, Infallible>(frame), frames))
    });
    let mut response = Response::new(Body::from_stream(body));
    for (name, value) in [
        (CONTENT_TYPE, "text/event-stream"),
        (CACHE_CONTROL, "no-store"),
        (http::HeaderName::from_static("x-accel-buffering"), "no"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    Ok(response)
}

/// The reader is gone, may not read any longer, or the server stops.
struct Ended;

struct Teller {
    app: Shared,
    cell: Arc<SessionCell>,
    caller: Caller,
    reader: mpsc::Sender<Bytes>,
    told: Told,
}

/// What the reader knows.
#[derive(Default)]
struct Told {
    /// The number of the last event.
    seq: u64,
    session: Value,
    /// What is being written.
    text: Option<Arc<str>>,
}

impl Teller {
    async fn tell(mut self, after: Option<u64>, mut changes: Receiver<Change>) -> Result<(), Ended> {
        let latest = self.cell.with(|state| state.meta.latest_seq);
        self.told.seq = after.unwrap_or(latest).min(latest);
        if after.is_some_and(|after| after > latest) {
            // It saw another history, or one that was put back.
            self.send("reset", &json!({"latestSeq": latest})).await?;
        }
        let mut beat = interval_at(Instant::now() + BEAT, BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (stopping, mut ended) = (self.app.stopping.clone(), self.app.auth.ended());
        loop {
            self.catch_up().await?;
            tokio::select! {
                () = changed(&mut changes, &self.cell) => {}
                // A login or token that ended takes its streams along.
                Ok(()) = ended.changed() => self.check_caller().await?,
                _ = beat.tick() => {
                    self.check_caller().await?;
                    self.put(Bytes::from_static(b":\n\n")).await?;
                }
                () = self.reader.closed() => return Err(Ended),
                () = stopping.cancelled() => return Err(Ended),
            }
        }
    }

    /// Sends what the reader does not know: events first, then how the session stands after them, then what
    /// is being written.
    async fn catch_up(&mut self) -> Result<(), Ended> {
        let (latest, session, writing) = self.look();
        // What is told must be durable.
        self.app.store.settled().await.map_err(|_| Ended)?;
        while self.told.seq < latest {
            let (history, from) = (self.cell.history(), self.told.seq + 1);
            let range = from..=latest.min(self.told.seq + PIECE);
            let piece = blocking(move || history.read_some(range, Bodies::Whole, PIECE_BYTES)).await;
            if piece.is_empty() {
                return Err(Ended);
            }
            for event in piece {
                self.told.seq = event.seq;
                self.send("event", &json!(events::public(event))).await?;
            }
        }
        if session != self.told.session {
            self.send("session", &session).await?;
            self.told.session = session;
        }
        let (run, text) = writing.map(|(run, shown)| (run, shown.text)).unzip();
        if text.as_deref().unwrap_or_default() != self.told.text.as_deref().unwrap_or_default() {
            self.send("partial", &json!({"runId": run, "text": text.as_deref().unwrap_or_default()})).await?;
            self.told.text = text;
        }
        Ok(())
    }

    /// Looks at everything at one moment.
    fn look(&self) -> (u64, Value, Option<(RunId, Shown)>) {
        self.cell.with(|state| {
            let latest = state.meta.latest_seq;
            let activity = sessions::activity(state);
            let session = json!({"id": self.cell.id(), "latestSeq": latest, "activity": activity});
            let run = state.active.as_ref().map(|run| (run.id.clone(), self.app.runs.writing(&run.id)));
            (latest, session, run)
        })
    }

    async fn check_caller(&self) -> Result<(), Ended> {
        let (app, caller) = (Arc::clone(&self.app), self.caller.clone());
        if blocking(move || app.admits(&caller)).await { Ok(()) } else { Err(Ended) }
    }

    async fn send(&self, event: &str, data: &Value) -> Result<(), Ended> {
        // With a number on each frame, also a reader that saw no event yet knows where to go on.
        self.put(format!("event: {event}\nid: {}\ndata: {data}\n\n", self.told.seq).into()).await
    }

    async fn put(&self, frame: Bytes) -> Result<(), Ended> {
        match tokio::time::timeout(PATIENCE, self.reader.send(frame)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Ended),
        }
    }
}

/// Waits for a change that concerns a session's streams. Among too many to tell, each may be one of them.
async fn changed(changes: &mut Receiver<Change>, cell: &SessionCell) {
    while let Ok(Change(id)) = changes.recv().await {
        if id == *cell.id() {
            return;
        }
    }
}
