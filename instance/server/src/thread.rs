//! Putting a session's page together: the last turns, what runs now, what may be asked next.

use std::sync::Arc;

use remotelab_config::paths::{expand, shorten};
use remotelab_protocol::event::Known;
use remotelab_protocol::{Event, Kind, Role, display};
use remotelab_store::SessionCell;
use remotelab_store::history::{Bodies, History};
use remotelab_store::session::State;

use crate::app::App;
use crate::sessions::{self, Filter};
use crate::web::markdown;
use crate::web::view::{
    Composer, Running, SessionList, SessionPage, SessionRow, Steps, Timeline, ToolChoice, Viewer,
};
use remotelab_executor::demo;

/// How many stored events a page is made of at most.
const WINDOW: u64 = 200;
/// How many events a folded block shows at most, and how many bytes of their whole texts; of the others it shows
/// the beginnings.
const STEPS: u64 = 5_000;
const WHOLE_BYTES: u64 = 8 << 20;
/// How many archived sessions are listed at most.
const ARCHIVED: usize = 500;

impl App {
    /// Builds the page of a session; `before` shows what stands before a sequence number. Blocks.
    pub(crate) fn session_page(
        &self,
        cell: &SessionCell,
        before: Option<u64>,
        form_token: &str,
        viewer: &Viewer,
    ) -> SessionPage {
        let state = cell.snapshot();
        let activity = sessions::activity(&state);
        let timeline = self.timeline(cell, &state, before, viewer);
        let running = if before.is_none() {
            let work = work_so_far(&cell.history(), state.meta.latest_seq);
            let running = Running::of(&activity, &work, &|_, text| self.rendered.html(text), viewer);
            running.map(|running| running.with_writing(self.writing(cell), viewer))
        } else {
            None
        };
        let tools = self.tool_choices(&state.session.tool);
        let mut session = state.session;
        session.folder =
            shorten(&expand(&session.folder, &self.settings.work_home), &self.settings.work_home);
        SessionPage::of(&session, &activity, timeline, running, tools, form_token, viewer)
    }

    /// Builds the turns of a session, or those before a sequence number. Blocks.
    pub(crate) fn timeline(
        &self,
        cell: &SessionCell,
        state: &State,
        before: Option<u64>,
        viewer: &Viewer,
    ) -> Timeline {
        let latest = before
            .map_or(state.meta.latest_seq, |before| before.saturating_sub(1).min(state.meta.latest_seq));
        let (events, earlier) = window(&cell.history(), latest);
        let running = before.is_none() && sessions::activity(state).is_running();
        let entries = display::view(&events, running);
        Timeline::of(cell.id().as_str(), &entries, earlier, &|_, text| self.rendered.html(text), viewer)
    }

    /// Draws the text that is being written in a session; `None` when none is. Blocks.
    pub(crate) fn writing(&self, cell: &SessionCell) -> Option<String> {
        let run = cell.with(|state| state.active.as_ref().map(|run| run.id.clone()))?;
        let text = self.runs.writing(&run).text;
        (!text.is_empty()).then(|| markdown::render_draft(&text))
    }

    /// Builds the steps of a folded block. Blocks.
    pub(crate) fn steps(&self, cell: &SessionCell, start: u64, end: u64, viewer: &Viewer) -> Steps {
        let history = cell.history();
        let mut events = history.read(start..=end.min(start.saturating_add(STEPS - 1)), Bodies::Preview);
        load_some(&history, &mut events, |_| true);
        let mut events = display::block(&events, start, end);
        events.retain(is_a_persons_business);
        Steps::of(&events, &|_, text| self.rendered.html(text), viewer)
    }

    /// Builds the list of sessions.
    pub(crate) fn session_list(self: &Arc<Self>, selected: Option<&str>, viewer: &Viewer) -> SessionList {
        let (states, _) = sessions::list(self, &Filter::default());
        let rows = states.iter().map(|state| row(state, viewer));
        SessionList::of(rows.collect(), selected, viewer)
    }

    /// Builds the list of what was put away, as far as a page bears it.
    pub(crate) fn archived_list(self: &Arc<Self>, viewer: &Viewer) -> SessionList {
        let filter = Filter { archived: true, ..Filter::default() };
        let page = sessions::page(self, &filter, None, ARCHIVED);
        let rows = page.states.iter().map(|state| row(state, viewer));
        SessionList::archived(rows.collect(), viewer)
    }

    /// Builds the field for a new task, with the executor that was used last.
    pub(crate) fn first_composer(&self, form_token: &str, viewer: &Viewer) -> Composer {
        let tool = self.default_tool();
        Composer::first(self.tool_choices(&tool), &tool, form_token, viewer)
    }

    /// The executor for a session when nobody chose one: the last choice, else the first that works.
    pub(crate) fn default_tool(&self) -> String {
        let tools = self.catalogue.list();
        let selected = crate::selection::load(&self.settings.paths).map(|selection| selection.selected_tool);
        let usable = |id: &str| tools.iter().any(|tool| tool.id == id && tool.available);
        selected
            .filter(|id| usable(id))
            .or_else(|| tools.iter().find(|tool| tool.available).map(|tool| tool.id.clone()))
            .unwrap_or_else(|| demo::ID.to_owned())
    }

    fn tool_choices(&self, current: &str) -> Vec<ToolChoice> {
        ToolChoice::list(&self.catalogue.list(), demo::ID, current)
    }
}

fn row(state: &State, viewer: &Viewer) -> SessionRow {
    let activity = sessions::activity(state);
    SessionRow::of(&state.session, &activity, &state.meta, state.session.last_run_state, viewer)
}

/// Reads the last events up to a number, from the start of a turn on; tells whether there is more.
fn window(history: &History, latest: u64) -> (Vec<Event>, bool) {
    let start = latest.saturating_sub(WINDOW - 1).max(1);
    let mut events = history.read(start..=latest, Bodies::Preview);
    if start > 1 {
        let turn = events.iter().position(|event| event.is_message_of(Role::User)).unwrap_or(0);
        events.drain(..turn);
    }
    load_some(history, &mut events, |event| event.as_message().is_some());
    let earlier = events.first().is_some_and(|event| event.seq > 1);
    events.retain(is_a_persons_business);
    (events, earlier)
}

/// Reads the whole texts of events, from the last one on, for as long as they are not too much together.
fn load_some(history: &History, events: &mut [Event], is_wanted: impl Fn(&Event) -> bool) {
    let mut bytes = 0;
    for event in events.iter_mut().rev().filter(|event| is_wanted(event)) {
        bytes += event.body.body_bytes.unwrap_or_default();
        if bytes > WHOLE_BYTES {
            return;
        }
        history.load(event, Bodies::Whole);
    }
}

/// Returns what the turn under way has brought so far.
fn work_so_far(history: &History, latest: u64) -> Vec<Event> {
    let start = latest.saturating_sub(WINDOW - 1).max(1);
    let events = history.read(start..=latest, Bodies::Preview);
    let turn = events.iter().rposition(|event| event.is_message_of(Role::User)).map_or(0, |index| index + 1);
    let first = events.get(turn).map_or(latest + 1, |event| event.seq);
    let mut work = display::block(&events, first, latest);
    work.retain(is_a_persons_business);
    work
}

/// What the server told the executor, and the ids that executors give themselves, are no steps of the work.
fn is_a_persons_business(event: &Event) -> bool {
    const TECHNICAL: [&str; 3] = ["Session started (", "Thread started (", "System: "];
    match &event.kind {
        Kind::Known(Known::ManagerContext { .. }) => false,
        Kind::Known(Known::Status { content }) => !TECHNICAL.iter().any(|start| content.starts_with(start)),
        _ => true,
    }
}
