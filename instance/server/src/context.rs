//! What was said before, for an executor that does not remember it.

mod told;

use std::ops::RangeInclusive;

use remotelab_protocol::event::Known;
use remotelab_protocol::session::ResumePoint;
use remotelab_protocol::tool::Tool;
use remotelab_protocol::{Context, Event, Kind, Role};
use remotelab_store::SessionCell;
use remotelab_store::body::cut_middle;
use remotelab_store::history::{Bodies, History};

use crate::resume;
pub(crate) use told::{Room, cut, told};

const TEXT_CHARS: usize = 4_000;
const TOOL_INPUT_CHARS: usize = 2_500;
const STATUS_CHARS: usize = 1_000;
/// How much of a conversation is told.
const ROOM: Room = Room::of(24_000);

/// A session's history up to a moment, as far as an executor has to be told of it.
#[derive(Debug)]
pub(crate) struct Conversation {
    latest_seq: u64,
    /// What the executor remembers by itself.
    resume: Option<ResumePoint>,
    read: Option<Read>,
}

#[derive(Debug)]
struct Read {
    context: Context,
    said: String,
}

impl Conversation {
    /// Reads what a tool has to be told: everything that is live, or what came since it last took part.
    /// Blocks.
    pub(crate) fn read(cell: &SessionCell, tool: Option<&Tool>) -> Self {
        let (latest_seq, mark, resume) = cell.with(|state| {
            let session = &state.session;
            (state.meta.latest_seq, session.context_mark.clone(), resume::point(session, tool))
        });
        let history = cell.history();
        let (context, after) = match (&resume, mark) {
            (Some(point), _) => (Context::default(), point.through_seq),
            (None, Some(mark)) => (history.context(), mark.active_from_seq),
            (None, None) => (Context::default(), 0),
        };
        let live = after.saturating_add(1)..=latest_seq;
        let said = match &resume {
            Some(_) => said_by_others(&history, live),
            None => told(&history, live, ROOM, segment),
        };
        Self { latest_seq, resume, read: Some(Read { context, said }) }
    }

    /// That of a session in which nothing was said yet.
    pub(crate) fn empty() -> Self {
        let read = Read { context: Context::default(), said: String::new() };
        Self { latest_seq: 0, resume: None, read: Some(read) }
    }

    /// Notes only where the history stands.
    pub(crate) fn unread(cell: &SessionCell) -> Self {
        Self { latest_seq: cell.with(|state| state.meta.latest_seq), resume: None, read: None }
    }

    /// Tells whether it was read.
    pub(crate) fn is_read(&self) -> bool {
        self.read.is_some()
    }

    /// The last event it knows of.
    pub(crate) fn latest_seq(&self) -> u64 {
        self.latest_seq
    }

    /// What the executor remembers by itself; `None` when it has to be told everything.
    pub(crate) fn resume(&self) -> Option<&ResumePoint> {
        self.resume.as_ref()
    }

    /// What it has to be told, at most some 24,000 characters and the summary; `None` when that is nothing.
    pub(crate) fn text(&self) -> Option<String> {
        let Read { context, said } = self.read.as_ref()?;
        let parts = [
            headed("[Conversation summary]", &context.summary),
            Some(said.clone()).filter(|text| !text.is_empty()),
            headed("[Earlier tool activity index]", &context.tool_index),
        ];
        let text = parts.into_iter().flatten().collect::<Vec<_>>().join("\n\n");
        (!text.is_empty()).then_some(text)
    }
}

fn headed(heading: &str, text: &str) -> Option<String> {
    let text = text.trim();
    (!text.is_empty()).then(|| format!("{heading}\n{text}"))
}

/// Writes what one that goes on has not heard of. The files it made it knows.
fn said_by_others(history: &History, mut stretch: RangeInclusive<u64>) -> String {
    let is_said = |event: &Event| {
        event.as_message().is_some_and(|message| message.source.as_deref() != Some("result_file_assets"))
    };
    let looked_at = stretch.clone();
    let any = stretch.any(|seq| history.event(seq, Bodies::Preview).as_ref().is_some_and(is_said));
    if any { told(history, looked_at, ROOM, segment) } else { String::new() }
}

/// Keeps the head and the tail of a conversation that is too long.
pub(crate) fn cut_weighted(text: &str) -> String {
    cut(text, ROOM)
}

/// Writes an event as a part of a conversation if somebody says something in it.
pub(crate) fn spoken(event: &Event) -> Option<String> {
    let Kind::Known(known) = &event.kind else { return None };
    let speaks = matches!(known, Known::Message(_) | Known::TemplateContext(_) | Known::Status { .. });
    speaks.then(|| segment(event)).flatten()
}

fn segment(event: &Event) -> Option<String> {
    let Kind::Known(known) = &event.kind else {
        return None;
    };
    let text = match known {
        Known::Message(message) => {
            let speaker = if event.role == Some(Role::User) { "User" } else { "Assistant" };
            let files: Vec<&str> =
                message.attachments.iter().map(remotelab_protocol::Attachment::display_name).collect();
            let files =
                if files.is_empty() { String::new() } else { format!("[Files: {}]\n", files.join(", ")) };
            format!("[{speaker}]\n{files}{}", cut_middle(&message.content, TEXT_CHARS))
        }
        Known::ToolUse { tool_name, tool_input } => {
            format!("[Assistant tool call: {tool_name}]\n{}", cut_middle(tool_input, TOOL_INPUT_CHARS))
        }
        Known::ToolResult { tool_name, output, exit_code } => {
            format!("[Tool result: {tool_name}, exit {exit_code}]\n{}", cut_middle(output, TEXT_CHARS))
        }
        Known::FileChange { file_path, change_type } => format!("[File change: {change_type}] {file_path}"),
        Known::TemplateContext(fields) => {
            let text = |key: &str| fields.get(key).and_then(serde_json::Value::as_str).unwrap_or_default();
            let warning = match text("templateFreshness") {
                "stale" | "source_missing" => {
                    "\n(What it was made from has changed since; check before relying on it.)"
                }
                _ => "",
            };
            let content = cut_middle(text("content"), TEXT_CHARS);
            format!("[Applied template context: {}]{warning}\n{content}", text("templateName"))
        }
        Known::Status { content } if content.starts_with("error:") || content.contains("interrupted") => {
            format!("[System status]\n{}", cut_middle(content, STATUS_CHARS))
        }
        _ => return None,
    };
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use remotelab_protocol::event::Message;

    #[test]
    fn tells_speakers_tools_and_failures_and_nothing_else() {
        let said = |role, text: &str| {
            Event::message(role, Message { content: text.into(), ..Message::default() }, 0)
        };
        let events = [
            said(Role::User, "build fails"),
            Event::new(Known::Reasoning { content: "hm".into() }, 0),
            Event::new(Known::ToolUse { tool_name: "bash".into(), tool_input: "make".into() }, 0),
            Event::new(Known::ToolResult { tool_name: "bash".into(), output: "no".into(), exit_code: 2 }, 0),
            Event::new(Known::FileChange { file_path: "a.c".into(), change_type: "update".into() }, 0),
            Event::new(Known::Status { content: "thinking".into() }, 0),
            Event::new(Known::Status { content: "error: broke".into() }, 0),
            said(Role::Assistant, "sorry"),
        ];
        let written = |how: fn(&Event) -> Option<String>| {
            events.iter().filter_map(how).collect::<Vec<_>>().join("\n\n")
        };
        assert_eq!(
            written(segment),
            "[User]\nbuild fails\n\n[Assistant tool call: bash]\nmake\n\n[Tool result: bash, exit 2]\nno\n\n\
             [File change: update] a.c\n\n[System status]\nerror: broke\n\n[Assistant]\nsorry"
        );
        assert_eq!(
            written(spoken),
            "[User]\nbuild fails\n\n[System status]\nerror: broke\n\n[Assistant]\nsorry"
        );
    }
}
