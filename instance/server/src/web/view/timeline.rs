//! The transcript: display entries as the page shows them.

use std::hash::{DefaultHasher, Hash, Hasher};

use askama::Template;
use remotelab_protocol::display::{Block, BlockState, Entry};
use remotelab_protocol::event::{Known, Message, Usage};
use remotelab_protocol::reply::visible_text;
use remotelab_protocol::{Event, Kind, Role};
use serde_json::{Map, Value};

use super::{FileCard, Time, Viewer, time};
use crate::web::icons;
use crate::web::words::{Words, fill};

/// Turns the text of the event with a sequence number into safe HTML; the server keeps what it made.
pub type Render<'a> = &'a dyn Fn(u64, &str) -> String;

/// Longer messages cannot be sent again from the page, in bytes.
const LONGEST_RETRY: usize = 16 * 1024;

/// A page of the transcript.
#[derive(Clone, Debug)]
pub struct Timeline {
    pub(crate) session: String,
    pub(crate) entries: Vec<Shown>,
    /// The sequence number before which there is more.
    pub(crate) earlier: Option<u64>,
    pub(crate) words: &'static Words,
}

/// An entry, drawn. Equal `rev` of equal `key` means that nothing changed.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    pub(crate) key: String,
    pub(crate) rev: String,
    pub(crate) kind: &'static str,
    pub(crate) html: String,
}

#[derive(Template)]
#[template(path = "parts/entry.html")]
struct Body<'a> {
    item: Item,
    session: &'a str,
    words: &'static Words,
}

enum Item {
    Day(Time),
    User { text: String, files: Vec<FileCard>, time: Time },
    Assistant { html: String, files: Vec<FileCard>, time: Time },
    Work { range: String, label: String, steps: String, tools: String },
    Failed { reason: String, detail: String, retry: Option<Retry>, time: Time },
    Stopped(Time),
    Note(String),
    Files { files: Vec<FileCard>, count: String },
    Usage { text: String, detail: String },
}

/// A message to send again, under an id that makes pressing twice harmless.
struct Retry {
    text: String,
    request_id: String,
}

impl Timeline {
    /// Draws entries of a session's display view, in order. `earlier` says that there is more before them.
    ///
    /// A running block is left out: [`super::Running`] tells of it at the end of the page.
    #[must_use]
    pub fn of(session: &str, entries: &[Entry], earlier: bool, render: Render<'_>, viewer: &Viewer) -> Self {
        let words = viewer.words();
        let mut page = Self {
            session: session.to_owned(),
            entries: Vec::with_capacity(entries.len() + 4),
            earlier: entries.first().map(seq).filter(|_| earlier),
            words,
        };
        let mut day = None;
        for (index, entry) in entries.iter().enumerate() {
            let at = timestamp(entry);
            if let Some(at) = at
                && day.replace(time::date(at, viewer)).is_none_or(|last| last != time::date(at, viewer))
            {
                page.push("day", seq(entry), Item::Day(Time::day(at, viewer)));
            }
            let drawn = match entry {
                Entry::Event(event) => {
                    item_of_event(event, &entries[..index], index + 1 == entries.len(), render, viewer)
                }
                Entry::Block(block) if block.state == BlockState::Running => None,
                Entry::Block(block) => {
                    let before = entries[..index].iter().rev().find_map(timestamp);
                    let after = entries[index + 1..].iter().find_map(timestamp);
                    Some(("work", work(block, before, after, words)))
                }
                Entry::Delivery(delivery) => {
                    let files: Vec<_> = delivery.attachments.iter().map(FileCard::of).collect();
                    Some(("delivery", Item::Files { count: words.thread.files.of(files.len()), files }))
                }
            };
            if let Some((kind, item)) = drawn {
                page.push(kind, seq(entry), item);
            }
        }
        page
    }

    fn push(&mut self, kind: &'static str, seq: u64, item: Item) {
        let body = Body { item, session: &self.session, words: self.words };
        let html = body.render().expect("writing to a string cannot fail");
        let mut hasher = DefaultHasher::new();
        html.hash(&mut hasher);
        self.entries.push(Shown {
            key: format!("{seq}-{kind}"),
            rev: format!("{:x}", hasher.finish()),
            kind,
            html,
        });
    }
}

fn item_of_event(
    event: &Event,
    before: &[Entry],
    last: bool,
    render: Render<'_>,
    viewer: &Viewer,
) -> Option<(&'static str, Item)> {
    let words = viewer.words();
    let Kind::Known(kind) = &event.kind else {
        return None;
    };
    match kind {
        Known::Message(message) => message_item(event, message, render, viewer),
        Known::Status { content } if is_told_otherwise(content) => None,
        Known::Status { content } => Some(status_item(event, content, before, last, viewer)),
        Known::Usage(usage) => Some(("usage", usage_item(usage, words)?)),
        Known::ContextBarrier { .. } => Some(("note", Item::Note(words.thread.context.clone()))),
        Known::ContextOperation(fields) => Some(("note", Item::Note(operation(fields, words)?))),
        _ => None,
    }
}

fn message_item(
    event: &Event,
    message: &Message,
    render: Render<'_>,
    viewer: &Viewer,
) -> Option<(&'static str, Item)> {
    let files: Vec<_> = message.attachments.iter().map(FileCard::of).collect();
    let time = Time::clock(event.timestamp, viewer);
    let text = visible_text(&message.content);
    if text.is_empty() && files.is_empty() {
        return None;
    }
    Some(if event.role == Some(Role::User) {
        ("user", Item::User { text, files, time })
    } else {
        ("assistant", Item::Assistant { html: render(event.seq, &message.content), files, time })
    })
}

fn status_item(
    event: &Event,
    content: &str,
    before: &[Entry],
    last: bool,
    viewer: &Viewer,
) -> (&'static str, Item) {
    let time = Time::clock(event.timestamp, viewer);
    let content = content.trim();
    if let Some(text) = content.strip_prefix("error:") {
        let (reason, detail) = reason(text.trim());
        let retry = last.then(|| retry(event.seq, before)).flatten();
        ("failed", Item::Failed { reason, detail, retry, time })
    } else if content == "cancelled" {
        ("stopped", Item::Stopped(time))
    } else {
        ("note", Item::Note(content.to_owned()))
    }
}

/// Lines for other clients about what [`operation`] or the running row tells here.
fn is_told_otherwise(content: &str) -> bool {
    const LINES: [&str; 3] =
        ["Assistant self-check:", "Summarising the conversation so far", "The conversation was summarised"];
    LINES.iter().any(|line| content.trim_start().starts_with(line))
}

/// Says what was done about a turn or the context; nothing about what is only under way, and nothing twice.
fn operation(fields: &Map<String, Value>, words: &Words) -> Option<String> {
    let field = |name: &str| fields.get(name).and_then(Value::as_str).unwrap_or_default();
    let words = &words.thread;
    let known = match (field("operation"), field("phase")) {
        ("continue_turn", "skipped") => &words.checked,
        ("continue_turn", "applied") => &words.check_continued,
        ("continue_turn", "failed") => &words.check_failed,
        // The line in the transcript says that it was summarised, an error why it was not.
        ("continue_turn" | "compact_context", _) => return None,
        _ => {
            let text = ["title", "summary"].into_iter().map(field).find(|text| !text.is_empty())?;
            return Some(text.to_owned());
        }
    };
    Some(known.clone())
}

/// Splits a failure into its first line and, when it says much more, all of it.
fn reason(text: &str) -> (String, String) {
    const LONGEST: usize = 240;
    let first = text.lines().next().unwrap_or_default();
    if first.chars().count() <= LONGEST && first.len() == text.len() {
        return (first.to_owned(), String::new());
    }
    (super::steps::cut(first, LONGEST), text.to_owned())
}

fn retry(seq: u64, before: &[Entry]) -> Option<Retry> {
    let message = before.iter().rev().find_map(|entry| match entry {
        Entry::Event(event) if event.is_message_of(Role::User) => event.as_message(),
        _ => None,
    })?;
    (message.attachments.is_empty() && message.content.len() <= LONGEST_RETRY)
        .then(|| Retry { text: message.content.clone(), request_id: format!("retry_{seq}") })
}

fn work(block: &Block, before: Option<i64>, after: Option<i64>, words: &Words) -> Item {
    let took = before.zip(after).map(|(start, end)| end - start).filter(|ms| *ms >= 1000);
    Item::Work {
        range: format!("{}-{}", block.block_start_seq, block.block_end_seq),
        label: took.map_or_else(
            || words.thread.worked.clone(),
            |ms| fill(&words.thread.worked_for, &[("time", &time::length(ms, words))]),
        ),
        steps: words.thread.steps.of(block.hidden_event_count),
        tools: if block.tool_names.is_empty() {
            String::new()
        } else {
            fill(&words.thread.used, &[("tools", &block.tool_names.join(", "))])
        },
    }
}

fn usage_item(usage: &Usage, words: &Words) -> Option<Item> {
    let tokens = usage.context_tokens.or(usage.input_tokens)?;
    let text = match usage.context_window_tokens.filter(|window| *window >= tokens) {
        Some(window) => fill(
            &words.thread.usage_of,
            &[("n", &short(tokens)), ("percent", &(tokens * 100 / window).to_string())],
        ),
        None => fill(&words.thread.usage, &[("n", &short(tokens))]),
    };
    let figure = |figure: Option<u64>| figure.map_or_else(|| "–".to_owned(), short);
    let detail = fill(
        &words.thread.usage_detail,
        &[("input", &figure(usage.input_tokens)), ("output", &figure(usage.output_tokens))],
    );
    Some(Item::Usage { text, detail })
}

/// Writes a count of tokens: `950`, `12.3k`.
fn short(tokens: u64) -> String {
    match tokens {
        0..1000 => tokens.to_string(),
        1000..100_000 => format!("{}.{}k", tokens / 1000, tokens % 1000 / 100),
        _ => format!("{}k", tokens / 1000),
    }
}

fn seq(entry: &Entry) -> u64 {
    match entry {
        Entry::Event(event) => event.seq,
        Entry::Block(block) => block.seq,
        Entry::Delivery(delivery) => delivery.seq,
    }
}

fn timestamp(entry: &Entry) -> Option<i64> {
    match entry {
        Entry::Event(event) => Some(event.timestamp),
        Entry::Block(_) => None,
        Entry::Delivery(delivery) => Some(delivery.timestamp),
    }
}
