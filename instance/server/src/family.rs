//! Which session was started by which, and what follows from that for a run that calls the server.

use std::iter;
use std::sync::Arc;

use remotelab_config::run_tokens::RunScope;
use remotelab_protocol::{Run, RunId, Session, SessionId, source};
use remotelab_store::SessionCell;
use serde_json::Value;

use crate::app::App;
use crate::auth::caller::OfRun;
use crate::sessions;

/// The field of a session's record that names the session which spawned it.
pub(crate) const PARENT: &str = "delegatedFromSessionId";

/// How many sessions may have spawned one another, the first apart, and how many of one may be at work.
pub(crate) const DEPTH: usize = 3;
pub(crate) const OPEN_CHILDREN: usize = 20;

/// No record is believed that tells of more generations.
const GENERATIONS: usize = 64;

impl App {
    /// Returns a run that calls, if it is under way. Blocks.
    pub(crate) fn caller_of(&self, run: &RunId) -> Option<OfRun> {
        let run = self.under_way(run)?;
        let is_fed =
            |session: &Session| source::is_mail(&session.source_id) || sessions::is_visitors(session);
        let is_fed = self.store.session(&run.session_id)?.with(|state| is_fed(&state.session));
        let scope = if is_fed { RunScope::Session } else { self.auth.run_tokens().scope() };
        Some(OfRun { run: run.id, session: run.session_id, scope })
    }

    /// Returns the record of a run that is not over. Blocks.
    pub(crate) fn under_way(&self, run: &RunId) -> Option<Run> {
        self.store.run(run).ok().flatten().filter(|run| !run.state.is_terminal())
    }

    /// Tells whether a run may work in a session: its own, or one that came of it.
    pub(crate) fn reaches(&self, of: &OfRun, session: &SessionId) -> bool {
        of.scope == RunScope::Owner
            || *session == of.session
            || self.ancestors(session).any(|cell| *cell.id() == of.session)
    }

    /// Tells how many sessions spawned one another to come to this one.
    pub(crate) fn depth(&self, session: &SessionId) -> usize {
        self.ancestors(session).count()
    }

    /// Counts the sessions that one spawned and that are at work.
    pub(crate) fn open_children(&self, parent: &SessionId) -> usize {
        let is_open = |cell: &Arc<SessionCell>| {
            cell.with(|state| {
                state.session.active_run_id.is_some() && parent_of(&state.session).as_ref() == Some(parent)
            })
        };
        self.store.sessions().iter().filter(|cell| is_open(cell)).count()
    }

    fn ancestors(&self, session: &SessionId) -> impl Iterator<Item = Arc<SessionCell>> {
        let above = |cell: &SessionCell| {
            let parent = cell.with(|state| parent_of(&state.session))?;
            self.store.session(&parent)
        };
        let first = self.store.session(session).and_then(|cell| above(&cell));
        iter::successors(first, move |cell| above(cell)).take(GENERATIONS)
    }
}

fn parent_of(session: &Session) -> Option<SessionId> {
    SessionId::parse(session.rest.get(PARENT).and_then(Value::as_str)?).ok()
}
