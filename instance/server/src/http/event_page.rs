//! A page of a session's events, at the cost of what it shows.

use std::ops::RangeInclusive;
use std::sync::Arc;

use remotelab_protocol::Event;
use remotelab_protocol::display::{self, BlockState, Entry};
use remotelab_store::SessionCell;
use remotelab_store::history::{Bodies, History};
use serde_json::{Value, json};

use super::answer::Refusal;
use super::events::{self, EventsQuery};
use super::paging;
use crate::app::{Shared, blocking};

/// How many stored events a page is made of when no limit is given, and at most.
const MOST: usize = 1_000;
/// How long the texts of a page are together, in bytes. One event more than that is the most.
const TEXTS: u64 = 4 << 20;

/// Which page is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// What follows an event, the oldest first.
    After { seq: u64, limit: u64 },
    /// The last ones, or those before an event.
    Last { before: u64, limit: u64 },
}

impl Asked {
    /// Reads a query; `None` asks for all events.
    pub(super) fn of(query: &EventsQuery) -> Result<Option<Self>, Refusal> {
        let after = paging::seq("afterSeq", query.after_seq.as_deref())?;
        let before = paging::seq("before", query.before.as_deref())?;
        let limit = paging::limit(query.limit.as_deref(), MOST)?;
        let most = limit.unwrap_or(MOST) as u64;
        match (after, before) {
            (Some(_), Some(_)) => Err(Refusal::bad_request("afterSeq and before exclude each other")),
            (Some(seq), None) => Ok(Some(Self::After { seq, limit: most })),
            (None, None) if limit.is_none() => Ok(None),
            (None, before) => Ok(Some(Self::Last { before: before.unwrap_or(u64::MAX), limit: most })),
        }
    }

    /// The numbers of the page's events in a history that ends at `latest`.
    fn range(self, latest: u64) -> RangeInclusive<u64> {
        match self {
            Self::After { seq, limit } => {
                let seq = seq.min(latest);
                seq + 1..=latest.min(seq + limit)
            }
            Self::Last { before, limit } => {
                let end = latest.min(before.saturating_sub(1));
                end.saturating_sub(limit) + 1..=end
            }
        }
    }

    /// Reads the page's events, fewer where their texts are long. Blocks.
    fn events(self, history: &History, latest: u64, bodies: Bodies) -> Vec<Event> {
        let mut events = history.read(self.range(latest), Bodies::Preview);
        let mut room = TEXTS;
        let mut is_kept = |event: &mut Event| {
            let has_room = room > 0;
            if has_room {
                history.load(event, bodies);
                let length = event.body_text().map_or(0, |(_, text)| text.len());
                room = room.saturating_sub(length as u64);
            }
            has_room
        };
        match self {
            Self::After { .. } => {
                let end = events.iter_mut().position(|event| !is_kept(event)).unwrap_or(events.len());
                events.truncate(end);
            }
            Self::Last { .. } => {
                let start = events.iter_mut().rposition(|event| !is_kept(event)).map_or(0, |at| at + 1);
                events.drain(..start);
            }
        }
        events
    }
}

/// Reads a page; `raw` is the view of stored events.
pub(super) async fn read(
    app: &Shared,
    cell: &Arc<SessionCell>,
    asked: Asked,
    raw: bool,
) -> Result<Value, Refusal> {
    let (latest, running) = events::end(app, cell).await?;
    let history = cell.history();
    let bodies = if raw { Bodies::Whole } else { Bodies::Messages };
    let stored = blocking(move || asked.events(&history, latest, bodies)).await;
    let range = asked.range(latest);
    let first = stored.first().map_or(*range.start(), |event| event.seq);
    let last = stored.last().map_or(*range.end(), |event| event.seq);
    let (filter, events, going_on) = if raw {
        let events: Vec<_> = stored.into_iter().map(events::public).collect();
        ("all", json!(events), None)
    } else {
        let entries = display::page(&stored, running && last == latest);
        ("visible", json!(entries), entries.iter().find_map(going_on))
    };
    let (has_more, next) = match asked {
        // Work that goes on is told anew: its last words may turn out to be the answer.
        Asked::After { .. } => (last < latest, Some(going_on.map_or(last, |start| start - 1))),
        Asked::Last { .. } => (first > 1, Some(first).filter(|&first| first > 1)),
    };
    Ok(json!({
        "sessionId": cell.id(),
        "filter": filter,
        "events": events,
        "latestSeq": latest,
        "hasMore": has_more,
        "nextCursor": next,
    }))
}

/// Where a block begins that still grows.
fn going_on(entry: &Entry) -> Option<u64> {
    match entry {
        Entry::Block(block) if block.state == BlockState::Running => Some(block.block_start_seq),
        _ => None,
    }
}
