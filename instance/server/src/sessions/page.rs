//! A page of a list, at the cost of what it shows.

use remotelab_protocol::session::ListKey;
use remotelab_store::session::State;

use super::{Filter, is_listed, matches};
use crate::app::Shared;

/// Some sessions of a list, in its order.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) states: Vec<State>,
    /// How many archived sessions there are.
    pub(crate) archived: usize,
    /// After whom the next page begins; `None` on the last one.
    pub(crate) next: Option<ListKey>,
}

/// Returns the sessions that stand behind a place, at most `limit`. Only they are copied: of the others no
/// more than their places are looked at.
pub(crate) fn page(app: &Shared, filter: &Filter, after: Option<&ListKey>, limit: usize) -> Page {
    let mut archived = 0;
    let mut places = Vec::new();
    for cell in app.store.sessions() {
        let key = cell.with(|state| {
            let session = &state.session;
            if !is_listed(session, filter) {
                return None;
            }
            archived += usize::from(session.archived);
            matches(app, session, filter).then(|| session.list_key())
        });
        if let Some(key) = key.filter(|key| after.is_none_or(|after| key > after)) {
            places.push((key, cell));
        }
    }
    let is_last = places.len() <= limit;
    if !is_last {
        places.select_nth_unstable_by(limit, |(a, _), (b, _)| a.cmp(b));
        places.truncate(limit);
    }
    places.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    let next = places.last().filter(|_| !is_last).map(|(key, _)| key.clone());
    Page { states: places.iter().map(|(_, cell)| cell.snapshot()).collect(), archived, next }
}
