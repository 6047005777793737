//! The display view: what a person reads of a session's events, with the work folded away.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::event::{Body, Known};
use crate::{Attachment, Event, Kind, Role};

/// One entry of the display view.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Entry {
    /// A stored event, shown as it is.
    Event(Box<Event>),
    /// Work, folded.
    Block(Block),
    /// The files of a turn.
    Delivery(Delivery),
}

/// A run of hidden events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename = "thinking_block", rename_all = "camelCase")]
pub struct Block {
    /// Sequence number of its first event.
    pub seq: u64,
    /// Sequence number of its first event.
    pub block_start_seq: u64,
    /// Sequence number of its last event.
    pub block_end_seq: u64,
    /// `running` or `completed`.
    pub state: BlockState,
    /// A line about it, in English.
    pub label: String,
    /// How many events it holds.
    pub hidden_event_count: usize,
    /// The tools that were called, in order of first call.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tool_names: Vec<String>,
}

/// Whether a block still grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum BlockState {
    /// It grows.
    Running,
    /// It is complete.
    Completed,
}

/// The files that a turn's assistant messages carry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename = "attachment_delivery", rename_all = "camelCase")]
pub struct Delivery {
    /// Sequence number of the turn's last event.
    pub seq: u64,
    /// The assistant.
    pub role: Role,
    /// Unix milliseconds of the turn's last event.
    pub timestamp: i64,
    /// What tells this delivery from another.
    pub delivery_key: String,
    /// The files.
    pub attachments: Vec<Attachment>,
    /// The same files under their older name.
    pub images: Vec<Attachment>,
}

/// Turns stored events, in order and with their bodies, into the display view.
///
/// `running` says that the last turn is still being worked on: it then is one running block.
#[must_use]
pub fn view(events: &[Event], running: bool) -> Vec<Entry> {
    let (before, turns) = at_first_turn(events);
    let mut entries: Vec<Entry> = before.iter().filter(|event| is_visible(event)).map(shown).collect();
    add_turns(turns, running, &mut entries);
    entries
}

/// Turns a part of a session's stored events into the display view, as [`view`] does all of them. A part
/// may begin within a turn, whose rest is then shown like a turn without its message.
#[must_use]
pub fn page(events: &[Event], running: bool) -> Vec<Entry> {
    if events.first().is_none_or(|first| first.seq <= 1) {
        return view(events, running);
    }
    let (rest, turns) = at_first_turn(events);
    let mut entries = Vec::new();
    turn(rest, running && turns.is_empty(), &mut entries);
    add_turns(turns, running, &mut entries);
    entries
}

/// Returns the stored events of a block, as the block route sends them.
#[must_use]
pub fn block(events: &[Event], start_seq: u64, end_seq: u64) -> Vec<Event> {
    let (mut kept, _) = without_attachments(
        events.iter().filter(|event| (start_seq..=end_seq).contains(&event.seq) && !is_ignored(event)),
    );
    kept.iter_mut().for_each(clean);
    kept
}

fn at_first_turn(events: &[Event]) -> (&[Event], &[Event]) {
    let first = events.iter().position(|event| event.is_message_of(Role::User)).unwrap_or(events.len());
    events.split_at(first)
}

fn add_turns(mut rest: &[Event], running: bool, entries: &mut Vec<Entry>) {
    while let Some((user, after)) = rest.split_first() {
        let (body, next) = at_first_turn(after);
        entries.push(shown(user));
        turn(body, running && next.is_empty(), entries);
        rest = next;
    }
}

fn turn(body: &[Event], running: bool, entries: &mut Vec<Entry>) {
    let Some(last) = body.iter().rev().find(|event| !is_ignored(event)) else {
        return;
    };
    let (events, attachments) = without_attachments(body.iter().filter(|event| !is_ignored(event)));
    if running {
        entries.extend(folded(&events, BlockState::Running).map(Entry::Block));
    } else {
        finished_turn(&events, entries);
    }
    if !attachments.is_empty() {
        let keys: Vec<String> = attachments.iter().map(Attachment::identity).collect();
        entries.push(Entry::Delivery(Delivery {
            seq: last.seq,
            role: Role::Assistant,
            timestamp: last.timestamp,
            delivery_key: keys.join("|"),
            images: attachments.clone(),
            attachments,
        }));
    }
}

fn finished_turn(events: &[Event], entries: &mut Vec<Entry>) {
    let Some(last_hidden) = events.iter().rposition(is_hidden) else {
        entries.extend(events.iter().filter(|event| is_visible(event)).map(shown));
        return;
    };
    let (work, tail) = events.split_at(last_hidden + 1);
    if tail.iter().any(is_visible) {
        entries.extend(folded(work, BlockState::Completed).map(Entry::Block));
        entries.extend(tail.iter().filter(|event| is_visible(event)).map(shown));
        return;
    }
    for run in events.chunk_by(|a, b| is_hidden(a) == is_hidden(b)) {
        if is_hidden(&run[0]) {
            entries.extend(folded(run, BlockState::Completed).map(Entry::Block));
        } else {
            entries.extend(run.iter().filter(|event| is_visible(event)).map(shown));
        }
    }
}

fn folded(events: &[Event], state: BlockState) -> Option<Block> {
    let (first, last) = (events.first()?, events.last()?);
    let mut seen = BTreeSet::new();
    let tool_names: Vec<String> = events
        .iter()
        .filter_map(|event| match &event.kind {
            Kind::Known(Known::ToolUse { tool_name, .. }) => Some(tool_name.clone()),
            _ => None,
        })
        .filter(|name| seen.insert(name.clone()))
        .collect();
    let label = match (state, tool_names.is_empty()) {
        (BlockState::Running, true) => "Thinking…".to_owned(),
        (BlockState::Completed, true) => "Thought".to_owned(),
        (BlockState::Running, false) => format!("Thinking · using {}", tool_names.join(", ")),
        (BlockState::Completed, false) => format!("Thought · used {}", tool_names.join(", ")),
    };
    Some(Block {
        seq: first.seq,
        block_start_seq: first.seq,
        block_end_seq: last.seq,
        state,
        label,
        hidden_event_count: events.len(),
        tool_names,
    })
}

/// Takes the files out of assistant messages; messages that held nothing else go.
fn without_attachments<'a>(events: impl Iterator<Item = &'a Event>) -> (Vec<Event>, Vec<Attachment>) {
    let (mut kept, mut files) = (Vec::new(), Vec::<Attachment>::new());
    for event in events {
        let carries = event.role == Some(Role::Assistant)
            && event.as_message().is_some_and(|message| !message.attachments.is_empty());
        if !carries {
            kept.push(event.clone());
            continue;
        }
        let mut event = event.clone();
        let Kind::Known(Known::Message(message)) = &mut event.kind else {
            continue;
        };
        message.images.clear();
        for file in message.attachments.drain(..) {
            if !files.iter().any(|known| known.identity() == file.identity()) {
                files.push(file.public());
            }
        }
        if !message.content.trim().is_empty() {
            kept.push(event);
        }
    }
    (kept, files)
}

fn shown(event: &Event) -> Entry {
    let mut event = event.clone();
    clean(&mut event);
    Entry::Event(Box::new(event))
}

/// Removes what only the server needs.
fn clean(event: &mut Event) {
    event.body = Body::default();
    if let Kind::Known(Known::Message(message)) = &mut event.kind {
        for files in [&mut message.attachments, &mut message.images] {
            for file in files {
                *file = file.public();
            }
        }
    }
}

fn is_hidden(event: &Event) -> bool {
    matches!(
        event.kind,
        Kind::Known(
            Known::Reasoning { .. }
                | Known::ManagerContext { .. }
                | Known::ToolUse { .. }
                | Known::ToolResult { .. }
                | Known::FileChange { .. }
        )
    )
}

fn is_visible(event: &Event) -> bool {
    match &event.kind {
        Kind::Known(Known::Status { content }) => !content.trim().is_empty() && !is_ignored(event),
        Kind::Known(
            Known::Message(_) | Known::ContextBarrier { .. } | Known::ContextOperation(_) | Known::Usage(_),
        ) => true,
        _ => false,
    }
}

fn is_ignored(event: &Event) -> bool {
    matches!(&event.kind, Kind::Known(Known::Status { content })
        if ["thinking", "completed"].iter().any(|word| content.trim().eq_ignore_ascii_case(word)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Message;
    use proptest::prelude::*;

    fn say(role: Role, text: &str) -> Event {
        Event::message(role, Message { content: text.into(), ..Message::default() }, 7)
    }

    fn tool(name: &str) -> Event {
        Event::new(Known::ToolUse { tool_name: name.into(), tool_input: "x".into() }, 7)
    }

    fn status(text: &str) -> Event {
        Event::new(Known::Status { content: text.into() }, 7)
    }

    fn numbered(events: Vec<Event>) -> Vec<Event> {
        events.into_iter().zip(1..).map(|(event, seq)| Event { seq, ..event }).collect()
    }

    /// Writes a view as one word per entry.
    fn sketch(entries: &[Entry]) -> Vec<String> {
        entries
            .iter()
            .map(|entry| match entry {
                Entry::Event(event) => format!("{}:{}", event.seq, event.type_name()),
                Entry::Block(block) => format!(
                    "{}-{}:{}({})",
                    block.block_start_seq, block.block_end_seq, block.label, block.hidden_event_count
                ),
                Entry::Delivery(delivery) => {
                    format!("{}:files{}", delivery.seq, delivery.attachments.len())
                }
            })
            .collect()
    }

    #[test]
    fn folds_the_work_of_a_finished_turn_and_shows_its_tail() {
        let events = numbered(vec![
            status("Session started"),
            say(Role::User, "go"),
            status("thinking"),
            say(Role::Assistant, "looking"),
            tool("bash"),
            tool("bash"),
            tool("web"),
            say(Role::Assistant, "done"),
            status("completed"),
            status("error: x"),
        ]);
        assert_eq!(
            sketch(&view(&events, false)),
            ["1:status", "2:message", "4-7:Thought · used bash, web(4)", "8:message", "10:status"]
        );
        assert_eq!(
            sketch(&view(&events, true)),
            ["1:status", "2:message", "4-10:Thinking · using bash, web(6)"]
        );
    }

    /// Results of some executors bear a number in the place of the tool's name.
    #[test]
    fn runtime_weakness_40_only_uses_name_the_tools_of_a_block() {
        let result =
            |name: &str| Known::ToolResult { tool_name: name.into(), output: "x".into(), exit_code: 0 };
        let events = numbered(vec![
            say(Role::User, "go"),
            tool("bash"),
            Event::new(result("toolu_01"), 7),
            say(Role::Assistant, "done"),
        ]);
        assert_eq!(sketch(&view(&events, false)), ["1:message", "2-3:Thought · used bash(2)", "4:message"]);
    }

    #[test]
    fn a_part_that_begins_within_a_turn_folds_the_rest_of_it() {
        let mut events = numbered(vec![
            say(Role::User, "go"),
            tool("bash"),
            say(Role::Assistant, "done"),
            say(Role::User, "more"),
            tool("web"),
        ]);
        assert_eq!(page(&events, true), view(&events, true));
        let rest = events.split_off(1);
        assert_eq!(
            sketch(&page(&rest, false)),
            ["2-2:Thought · used bash(1)", "3:message", "4:message", "5-5:Thought · used web(1)"]
        );
        assert_eq!(sketch(&page(&rest[..2], true)), ["2-3:Thinking · using bash(2)"]);
    }

    #[test]
    fn keeps_order_when_nothing_visible_follows_the_work() {
        let events = numbered(vec![
            say(Role::User, "go"),
            say(Role::Assistant, "plan"),
            tool("bash"),
            status("completed"),
        ]);
        assert_eq!(sketch(&view(&events, false)), ["1:message", "2:message", "3-3:Thought · used bash(1)"]);
    }

    #[test]
    fn files_of_a_turn_are_delivered_once_at_its_end() {
        let file = Attachment {
            filename: Some("a.txt".into()),
            mime_type: "text/plain".into(),
            saved_path: Some("/host/a".into()),
            ..Attachment::default()
        };
        let with_file = |text: &str| {
            let message = Message {
                content: text.into(),
                attachments: vec![file.clone()],
                images: vec![file.clone()],
                ..Message::default()
            };
            Event::message(Role::Assistant, message, 7)
        };
        let entries = view(&numbered(vec![say(Role::User, "go"), with_file("here"), with_file(" ")]), false);
        assert_eq!(sketch(&entries), ["1:message", "2:message", "3:files1"]);
        let text = serde_json::to_string(&entries).unwrap();
        assert!(!text.contains("/host/a") && !text.contains("savedPath"));
    }

    fn any_event() -> impl Strategy<Value = Event> {
        prop_oneof![
            Just(say(Role::User, "u")),
            Just(say(Role::Assistant, "a")),
            Just(tool("bash")),
            Just(status("thinking")),
            Just(status("error: x")),
            Just(Event::new(Known::Reasoning { content: "r".into() }, 1)),
        ]
    }

    proptest! {
        /// Every user message shows, entries keep their order, and no event is in two entries.
        #[test]
        fn nothing_is_lost_or_doubled(events in proptest::collection::vec(any_event(), 0..40), running: bool) {
            let events = numbered(events);
            let entries = view(&events, running);
            let mut covered = Vec::new();
            for entry in &entries {
                match entry {
                    Entry::Event(event) => covered.push(event.seq),
                    Entry::Block(block) => covered.extend(events.iter().filter(|e| (block.block_start_seq..=block.block_end_seq).contains(&e.seq) && !is_ignored(e)).map(|e| e.seq)),
                    Entry::Delivery(_) => {}
                }
            }
            prop_assert!(covered.windows(2).all(|pair| pair[0] < pair[1]));
            let first_user = events.iter().position(|e| e.is_message_of(Role::User)).unwrap_or(events.len());
            let expected: Vec<u64> = events.iter().enumerate().filter(|(index, e)| if *index < first_user { is_visible(e) } else { !is_ignored(e) }).map(|(_, e)| e.seq).collect();
            prop_assert_eq!(covered, expected);
        }
    }
}
