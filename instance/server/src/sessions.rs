//! Finding and listing sessions.

mod body;
mod create;
mod page;

use std::sync::Arc;

use remotelab_config::paths::expand;
use remotelab_protocol::{Activity, Session, SessionId};
use remotelab_store::SessionCell;
use remotelab_store::session::State;
use serde_json::Value;

use crate::app::Shared;

pub(crate) use body::{Detail, body};
pub(crate) use create::{Error, create, source_context};
pub(crate) use page::{Page, page};

/// The longest group, in characters.
pub(crate) const GROUP_CHARS: usize = 32;
/// The longest description, in characters.
pub(crate) const DESCRIPTION_CHARS: usize = 160;

/// Returns a session's state by id.
pub(crate) fn find(app: &Shared, id: &SessionId) -> Option<Arc<SessionCell>> {
    app.store.session(id)
}

/// Which sessions a list shows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    pub(crate) archived: bool,
    pub(crate) include_visitors: bool,
    pub(crate) template_id: Option<String>,
    pub(crate) source_id: Option<String>,
    pub(crate) folder: Option<String>,
}

/// Returns the sessions of a list in order, and how many are archived.
pub(crate) fn list(app: &Shared, filter: &Filter) -> (Vec<State>, usize) {
    let mut shown = Vec::new();
    let mut archived = 0;
    for cell in app.store.sessions() {
        let chosen = cell.with(|state| {
            let session = &state.session;
            if !is_listed(session, filter) {
                return None;
            }
            archived += usize::from(session.archived);
            matches(app, session, filter).then(|| state.clone())
        });
        shown.extend(chosen);
    }
    shown.sort_by_cached_key(|state| state.session.list_key());
    (shown, archived)
}

/// Tells what a session is doing.
pub(crate) fn activity(state: &State) -> Activity {
    Activity::of(state.active.as_ref(), &state.session)
}

/// Tells whether a session belongs to a visitor of an app.
pub(crate) fn is_visitors(session: &Session) -> bool {
    session.rest.get("visitorId").and_then(Value::as_str).is_some_and(|id| !id.is_empty())
}

/// Tells whether a list may show a session at all.
fn is_listed(session: &Session, filter: &Filter) -> bool {
    !session.is_hidden() && (filter.include_visitors || !is_visitors(session))
}

fn matches(app: &Shared, session: &Session, filter: &Filter) -> bool {
    let template = || session.rest.get("templateId").and_then(Value::as_str);
    // Sessions store `~` or an absolute path; both name the same folder.
    let same_folder = |wanted: &str| {
        expand(wanted, &app.settings.work_home) == expand(&session.folder, &app.settings.work_home)
    };
    session.archived == filter.archived
        && filter.source_id.as_deref().is_none_or(|wanted| wanted == session.source_id)
        && filter.template_id.as_deref().is_none_or(|wanted| template() == Some(wanted))
        && filter.folder.as_deref().is_none_or(same_folder)
}
