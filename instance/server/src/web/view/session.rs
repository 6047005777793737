//! Sessions: a row of the list, and the page of one.

use remotelab_protocol::queue::Queued;
use remotelab_protocol::session::{HistoryMeta, UNTITLED};
use remotelab_protocol::tool::Tool;
use remotelab_protocol::{Activity, RunState, Session};

use super::time::age;
use super::{FileCard, Running, Time, Timeline, Viewer};
use crate::web::words::Words;

/// What a row tells beside its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowState {
    /// Nothing under way.
    Idle,
    /// A run is under way.
    Running,
    /// A run is under way and messages wait.
    Queued,
    /// The last run failed.
    Failed,
    /// The last run was stopped.
    Stopped,
}

impl RowState {
    pub(crate) fn class(&self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Running => "running",
            Self::Queued => "queued",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
        }
    }
}

/// A row of the list.
#[derive(Clone, Debug)]
pub struct SessionRow {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) time: Option<Time>,
    pub(crate) state: RowState,
    pub(crate) word: String,
    /// Unix milliseconds of the last answer, by which the browser tells what is unread.
    pub(crate) answered_at: i64,
    pub(crate) pinned: bool,
    age: usize,
}

impl SessionRow {
    /// Makes the row of a session; `last` is how its last run ended, if one did.
    #[must_use]
    pub fn of(
        session: &Session,
        activity: &Activity,
        history: &HistoryMeta,
        last: Option<RunState>,
        viewer: &Viewer,
    ) -> Self {
        let words = viewer.words();
        let (state, word) = state(activity, last, words);
        let changed = [&session.updated_at, &session.created]
            .into_iter()
            .find_map(|text| remotelab_protocol::time::parse_iso(text))
            .map(|at| at.as_millisecond());
        let at = history.last_event_at.or(changed);
        Self {
            id: session.id.to_string(),
            name: title(&session.name, words),
            time: at.map(|at| Time::ago(at, viewer)),
            state,
            word,
            answered_at: history.last_assistant_message_at.unwrap_or_default(),
            pinned: session.pinned,
            age: at.map_or(3, |at| age(at, viewer)),
        }
    }
}

fn state(activity: &Activity, last: Option<RunState>, words: &Words) -> (RowState, String) {
    if activity.queue.count > 0 {
        (RowState::Queued, words.state.queued.of(activity.queue.count))
    } else if activity.is_running() {
        (RowState::Running, words.state.running.clone())
    } else {
        match last {
            Some(RunState::Failed) => (RowState::Failed, words.state.failed.clone()),
            Some(RunState::Cancelled) => (RowState::Stopped, words.state.stopped.clone()),
            _ => (RowState::Idle, String::new()),
        }
    }
}

fn title(name: &str, words: &Words) -> String {
    if name.trim().is_empty() || name == UNTITLED { words.session.untitled.clone() } else { name.to_owned() }
}

/// The list.
#[derive(Clone, Debug)]
pub struct SessionList {
    pub(crate) archived: bool,
    pub(crate) sections: Vec<Section>,
    pub(crate) selected: String,
    pub(crate) words: &'static Words,
}

#[derive(Clone, Debug)]
pub(crate) struct Section {
    pub(crate) heading: &'static str,
    pub(crate) rows: Vec<SessionRow>,
}

impl SessionList {
    /// Arranges rows, given in the server's order, under headings; `selected` is the open session's id.
    #[must_use]
    pub fn of(rows: Vec<SessionRow>, selected: Option<&str>, viewer: &Viewer) -> Self {
        let words = viewer.words();
        let list = &words.list;
        let headings = [&list.pinned, &list.today, &list.yesterday, &list.week, &list.older];
        let mut sections = headings.map(|heading| Section { heading, rows: Vec::new() });
        for row in rows {
            let section = if row.pinned { 0 } else { row.age + 1 };
            sections[section].rows.push(row);
        }
        Self {
            archived: false,
            sections: sections.into_iter().filter(|section| !section.rows.is_empty()).collect(),
            selected: selected.unwrap_or_default().to_owned(),
            words,
        }
    }

    /// Takes rows of what was put away, under no heading of their own.
    #[must_use]
    pub fn archived(rows: Vec<SessionRow>, viewer: &Viewer) -> Self {
        let section = (!rows.is_empty()).then_some(Section { heading: "", rows });
        Self {
            archived: true,
            sections: section.into_iter().collect(),
            selected: String::new(),
            words: viewer.words(),
        }
    }
}

/// An executor to choose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolChoice {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Whether it is the built-in demo.
    pub demo: bool,
}

impl ToolChoice {
    /// Lists the executors a person may choose: available, and of the private ones those of the product
    /// itself and the `current` one.
    #[must_use]
    pub fn list(tools: &[Tool], demo_id: &str, current: &str) -> Vec<Self> {
        tools
            .iter()
            .filter(|tool| tool.available)
            .filter(|tool| {
                tool.visibility.as_deref() != Some("private") || tool.builtin || tool.id == current
            })
            .map(|tool| Self { id: tool.id.clone(), name: tool.name.clone(), demo: tool.id == demo_id })
            .collect()
    }
}

/// The field in which a message is written.
#[derive(Clone, Debug)]
pub struct Composer {
    /// Where the form is posted without script, relative to the base.
    pub(crate) action: String,
    pub(crate) session: String,
    pub(crate) placeholder: &'static str,
    pub(crate) send: &'static str,
    pub(crate) disabled: bool,
    pub(crate) tools: Vec<ToolChoice>,
    pub(crate) tool: String,
    /// What the session asks of its executor, when it asks for anything.
    pub(crate) model: String,
    pub(crate) effort: String,
    /// Offered for a new task only.
    pub(crate) folder: Option<String>,
    pub(crate) form_token: String,
    pub(crate) words: &'static Words,
}

impl Composer {
    /// Makes the field for a new task. `form_token` proves that a form without script is ours; may be empty.
    #[must_use]
    pub fn first(tools: Vec<ToolChoice>, tool: &str, form_token: &str, viewer: &Viewer) -> Self {
        let words = viewer.words();
        Self {
            action: "ui/sessions".to_owned(),
            session: String::new(),
            placeholder: &words.composer.first,
            send: &words.composer.send,
            disabled: false,
            tools,
            tool: tool.to_owned(),
            model: String::new(),
            effort: String::new(),
            folder: Some("~".to_owned()),
            form_token: form_token.to_owned(),
            words,
        }
    }

    fn reply(
        session: &Session,
        busy: bool,
        tools: Vec<ToolChoice>,
        token: &str,
        words: &'static Words,
    ) -> Self {
        let composer = &words.composer;
        let (placeholder, send) = match (session.archived, busy) {
            (true, _) => (&composer.archived, &composer.send),
            (false, true) => (&composer.follow_up, &composer.enqueue),
            (false, false) => (&composer.reply, &composer.send),
        };
        Self {
            action: format!("ui/sessions/{}/messages", session.id),
            session: session.id.to_string(),
            placeholder,
            send,
            disabled: session.archived,
            tools,
            tool: session.tool.clone(),
            model: session.model.clone().unwrap_or_default(),
            effort: effort(session),
            folder: None,
            form_token: token.to_owned(),
            words,
        }
    }

    pub(crate) fn only_demo(&self) -> bool {
        !self.tools.is_empty() && self.tools.iter().all(|tool| tool.demo)
    }

    /// The name of the executor that is chosen.
    pub(crate) fn tool_name(&self) -> &str {
        let chosen = self.tools.iter().find(|tool| tool.id == self.tool);
        chosen.or(self.tools.first()).map_or("", |tool| tool.name.as_str())
    }
}

/// How hard a session asks its executor to think; `on` where that is a switch.
fn effort(session: &Session) -> String {
    let effort = session.effort.clone().filter(|effort| !effort.is_empty());
    effort.unwrap_or_else(|| if session.thinking == Some(true) { "on" } else { "" }.to_owned())
}

/// A message that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueItem {
    pub(crate) request_id: String,
    pub(crate) text: String,
    pub(crate) time: Option<Time>,
    pub(crate) files: Vec<FileCard>,
}

impl QueueItem {
    /// Makes the row of a queued message.
    #[must_use]
    pub fn of(item: &Queued, viewer: &Viewer) -> Self {
        let at = remotelab_protocol::time::parse_iso(&item.queued_at);
        Self {
            request_id: item.request_id.clone(),
            text: remotelab_protocol::reply::visible_text(&item.text),
            time: at.map(|at| Time::clock(at.as_millisecond(), viewer)),
            files: item.images.iter().map(FileCard::of).collect(),
        }
    }
}

/// Title and facts of the open session.
#[derive(Clone, Debug)]
pub struct SessionHead {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) detail: String,
    pub(crate) archived: bool,
    pub(crate) pinned: bool,
    pub(crate) state: RowState,
}

/// The page of one session.
#[derive(Clone, Debug)]
pub struct SessionPage {
    pub(crate) head: SessionHead,
    pub(crate) timeline: Timeline,
    pub(crate) running: Option<Running>,
    pub(crate) queue: Vec<QueueItem>,
    pub(crate) composer: Composer,
    /// Whether a message that comes now has to wait.
    pub(crate) busy: bool,
    pub(crate) words: &'static Words,
}

impl SessionPage {
    pub(crate) fn running_can_stop(&self) -> bool {
        self.running.as_ref().is_some_and(|running| running.can_stop && !running.stopping)
    }

    /// Makes the page. `running` is [`Running::of`] the running block's events.
    #[must_use]
    pub fn of(
        session: &Session,
        activity: &Activity,
        timeline: Timeline,
        running: Option<Running>,
        tools: Vec<ToolChoice>,
        form_token: &str,
        viewer: &Viewer,
    ) -> Self {
        let words = viewer.words();
        let tool = tools.iter().find(|tool| tool.id == session.tool);
        let tool_name = tool.map_or(session.tool.as_str(), |tool| tool.name.as_str());
        let folder = match session.folder.as_str() {
            "~" | "" => words.session.home_folder.as_str(),
            folder => folder,
        };
        let busy = activity.is_busy() || activity.queue.count > 0;
        let detail: Vec<&str> = [tool_name, folder].into_iter().filter(|text| !text.is_empty()).collect();
        Self {
            head: SessionHead {
                id: session.id.to_string(),
                name: title(&session.name, words),
                detail: detail.join(" · "),
                archived: session.archived,
                pinned: session.pinned,
                state: state(activity, None, words).0,
            },
            timeline,
            running,
            queue: session.follow_up_queue.iter().map(|item| QueueItem::of(item, viewer)).collect(),
            composer: Composer::reply(session, busy, tools, form_token, words),
            busy,
            words,
        }
    }
}
