//! What holds for any bytes. The fuzz targets look for bytes for which it does not, the tests replay
//! the corpus.

use remotelab_protocol::display::{self, Entry};
use remotelab_protocol::event::{Known, Message};
use remotelab_protocol::queue::{self, Queued};
use remotelab_protocol::{Attachment, Event, Kind, Role, reply, title};

/// An event that can be read is written so that it reads the same again.
pub fn event(data: &[u8]) {
    let Ok(event) = serde_json::from_slice::<Event>(data) else { return };
    let rewritten = |event: &Event| {
        let text = serde_json::to_string(event).expect("an event is always JSON");
        serde_json::from_str::<Event>(&text).expect("what was written can be read")
    };
    let again = rewritten(&event);
    // A field that is there twice makes the type unknown; written once, it is known.
    if matches!(event.kind, Kind::Known(_)) {
        assert_eq!(again, event);
    }
    assert_eq!(rewritten(&again), again);
}

/// Each byte adds an event. Entries keep the order, every user message shows, all other work is shown
/// or folded exactly once, each file of a turn is delivered once, and no path of the host gets out.
pub fn display(data: &[u8]) {
    let events: Vec<Event> =
        data.iter().zip(1..).map(|(&byte, seq)| Event { seq, ..event_of(byte) }).collect();
    for running in [false, true] {
        let entries = display::view(&events, running);
        let mut covered = Vec::new();
        let mut delivered = Vec::new();
        for entry in &entries {
            match entry {
                Entry::Event(event) => covered.push(event.seq),
                Entry::Block(block) => {
                    let unfolded = display::block(&events, block.block_start_seq, block.block_end_seq);
                    assert_eq!(unfolded.len(), block.hidden_event_count);
                    covered.extend(unfolded.iter().map(|event| event.seq));
                }
                Entry::Delivery(delivery) => {
                    delivered.extend(delivery.attachments.iter().map(|file| (delivery.seq, file.identity())));
                }
            }
        }
        assert!(covered.is_sorted_by(|a, b| a < b), "{covered:?}");
        assert_eq!(covered, expected(&events));
        assert_eq!(turns_of(&events, delivered), files_of_turns(&events));
        let text = serde_json::to_string(&entries).expect("a view is always JSON");
        assert!(!text.contains("/host/") && !text.contains("savedPath"));
    }
}

/// What stands between the marks never shows, whatever is around it; nothing is added.
pub fn reply(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let visible = reply::visible_text(&text);
    assert!(visible.len() <= text.len());
    let lower = text.to_ascii_lowercase();
    if !["<private>", "<hide>"].iter().any(|mark| lower.contains(mark)) {
        assert_eq!(visible, text.trim());
    }
    for tag in ["private", "hide"] {
        let hidden = text.replace('/', "");
        assert_eq!(reply::visible_text(&format!("a<{tag}>{hidden}</{tag}>b")), "ab");
        assert_eq!(reply::visible_text(&format!("a<{tag}>{hidden}")), "a");
    }
}

/// The lines are name, group, source and source's name. A title is one line, short where it is made up,
/// and part of what was given.
pub fn title(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let temporary = title::temporary(&text);
    assert!(temporary.chars().count() <= 37 && !temporary.contains('\n'), "{temporary:?}");
    let collapsed = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(collapsed.starts_with(temporary.trim_end_matches('…')), "{temporary:?}");

    let mut lines = text.split('\n');
    let given = title::Given {
        name: lines.next(),
        group: lines.next(),
        source_id: lines.next(),
        source_name: lines.next(),
        external_trigger_id: lines.next(),
    };
    let (initial, replaceable) = title::initial(&given);
    assert!(!initial.trim().is_empty());
    assert!(replaceable || given.name.is_some_and(|name| name.contains(&initial)), "{initial:?}");
}

/// The lines are queued messages. None is lost, their order stays, and what is remembered is bounded.
pub fn queue(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let queue: Vec<Queued> = text.lines().zip(0..).map(|(line, at)| queued(line, at)).collect();
    let Some(batch) = queue::batch(&queue) else {
        assert!(queue.is_empty());
        return;
    };
    let ids: Vec<String> = queue.iter().map(|item| item.request_id.clone()).collect();
    assert_eq!(batch.request_ids, ids);
    assert_eq!(batch.attachments.len(), queue.iter().map(|item| item.images.len()).sum::<usize>());
    let mut rest = batch.transcript_text.as_str();
    for item in &queue {
        assert!(batch.prompt_text.contains(&item.text));
        let at = rest.find(&item.text).expect("every message is in the transcript, in order");
        rest = &rest[at + item.text.len()..];
    }
    let mut remembered = Vec::new();
    for _ in 0..2 {
        queue::remember(&mut remembered, &ids);
        assert!(remembered.len() <= queue::REMEMBERED);
        assert!(ids.ends_with(&remembered) || ids.len() > queue::REMEMBERED);
    }
}

fn event_of(byte: u8) -> Event {
    let text = |on: bool, text: &str| if on { text.to_owned() } else { String::from(" ") };
    let said = |role, bits: u8| {
        let attachments: Vec<Attachment> = (0..bits & 3).map(file).collect();
        let content = text(bits & 4 == 0, "words");
        Event::message(
            role,
            Message { content, images: attachments.clone(), attachments, ..Message::default() },
            7,
        )
    };
    let status = |content: &str| Event::new(Known::Status { content: content.into() }, 7);
    match byte % 10 {
        0 => said(Role::User, byte / 10),
        1 | 2 => said(Role::Assistant, byte / 10),
        3 => Event::new(Known::Reasoning { content: "r".into() }, 7),
        4 => {
            Event::new(Known::ToolUse { tool_name: format!("tool{}", byte / 100), tool_input: "x".into() }, 7)
        }
        5 => Event::new(Known::ToolResult { tool_name: "bash".into(), output: "y".into(), exit_code: 0 }, 7),
        6 => status("thinking"),
        7 => status(" Completed "),
        8 => status("error: x"),
        _ => Event::new(Known::ManagerContext { content: "m".into() }, 7),
    }
}

fn file(number: u8) -> Attachment {
    Attachment {
        filename: Some(format!("{number}.txt")),
        mime_type: "text/plain".into(),
        saved_path: Some("/host/x".into()),
        ..Attachment::default()
    }
}

/// The events that a view has to account for: before the first turn what is said, then everything but
/// the words for "still going" and messages that held files alone.
fn expected(events: &[Event]) -> Vec<u64> {
    let first_user = events.iter().position(|event| event.is_message_of(Role::User)).unwrap_or(events.len());
    let accounted = |(at, event): (usize, &Event)| {
        let kept = match &event.kind {
            Kind::Known(Known::Status { content }) => content == "error: x",
            Kind::Known(Known::Message(message)) => {
                at < first_user
                    || event.role != Some(Role::Assistant)
                    || message.attachments.is_empty()
                    || !message.content.trim().is_empty()
            }
            _ => at >= first_user,
        };
        kept.then_some(event.seq)
    };
    events.iter().enumerate().filter_map(accounted).collect()
}

/// The files that assistants hand over, each once a turn: number of the turn and file.
fn files_of_turns(events: &[Event]) -> Vec<(usize, String)> {
    let mut turn = 0;
    let mut files: Vec<(usize, String)> = Vec::new();
    for event in events {
        turn += usize::from(event.is_message_of(Role::User));
        let handed_over = event.as_message().filter(|_| turn > 0 && event.role == Some(Role::Assistant));
        for file in handed_over.into_iter().flat_map(|message| &message.attachments) {
            let file = (turn, file.identity());
            if !files.contains(&file) {
                files.push(file);
            }
        }
    }
    files
}

fn turns_of(events: &[Event], delivered: Vec<(u64, String)>) -> Vec<(usize, String)> {
    let turn =
        |seq: u64| events.iter().filter(|event| event.seq <= seq && event.is_message_of(Role::User)).count();
    delivered.into_iter().map(|(seq, file)| (turn(seq), file)).collect()
}

fn queued(line: &str, at: usize) -> Queued {
    Queued {
        request_id: format!("q-{at}"),
        text: line.to_owned(),
        images: if line.contains('+') { vec![file(0)] } else { Vec::new() },
        tool: line.starts_with('t').then(|| line.to_owned()),
        thinking: line.ends_with('?'),
        source_context: line.contains('{').then(|| line.into()),
        ..Queued::default()
    }
}
