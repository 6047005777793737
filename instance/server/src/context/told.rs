//! Telling a stretch of history that may be longer than is told: its beginning and its end.

use std::collections::VecDeque;
use std::ops::RangeInclusive;

use remotelab_protocol::Event;
use remotelab_store::body::CUT_MARK;
use remotelab_store::history::{Bodies, History};

/// How much of a stretch is told, in characters.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    /// Of its beginning, when it is longer than both.
    head: usize,
    /// Of its end: what was said last counts most.
    tail: usize,
}

impl Room {
    /// Divides so many characters.
    pub(crate) const fn of(total: usize) -> Self {
        let head = total * 35 / 100;
        Self { head, tail: total - head }
    }
}

/// Tells a stretch, each event as `segment` writes it. No more of a long one is read than is told, and one event
/// at a time: texts may be large.
pub(crate) fn told(
    history: &History,
    stretch: RangeInclusive<u64>,
    room: Room,
    segment: impl Fn(&Event) -> Option<String>,
) -> String {
    // What is not read yet.
    let (mut first, mut last) = stretch.into_inner();
    let (mut head, mut tail) = (Vec::new(), VecDeque::new());
    let mut left = room.head;
    while first <= last && left > 0 {
        if let Some(text) = read(history, first, &segment) {
            left = left.saturating_sub(text.chars().count());
            head.push(text);
        }
        first += 1;
    }
    let mut left = room.tail;
    while first <= last && left > 0 {
        if let Some(text) = read(history, last, &segment) {
            left = left.saturating_sub(text.chars().count());
            tail.push_front(text);
        }
        last -= 1;
    }
    head.extend(tail);
    cut(&head.join("\n\n"), room)
}

/// Keeps the head and the tail of what is too long.
pub(crate) fn cut(text: &str, room: Room) -> String {
    let total = text.chars().count();
    if total <= room.head + room.tail {
        return text.to_owned();
    }
    let start: String = text.chars().take(room.head).collect();
    let end: String = text.chars().skip(total - room.tail).collect();
    format!("{start}\n{CUT_MARK}\n{end}")
}

/// Reads an event's whole text only when it is told.
fn read(history: &History, seq: u64, segment: &impl Fn(&Event) -> Option<String>) -> Option<String> {
    let event = history.read(seq..=seq, Bodies::Preview).pop()?;
    let preview = segment(&event)?;
    let whole = (event.body.body_loaded == Some(false)).then(|| history.event(seq, Bodies::Whole)).flatten();
    Some(whole.as_ref().and_then(segment).unwrap_or(preview))
}

#[cfg(test)]
mod tests {
    use super::*;
    use remotelab_protocol::event::{Known, Message};
    use remotelab_protocol::{Kind, Role, Session};

    fn said(event: &Event) -> Option<String> {
        match &event.kind {
            Kind::Known(Known::Message(message)) => Some(message.content.clone()),
            _ => None,
        }
    }

    /// What is told is the same as if all had been read.
    #[test]
    fn of_a_long_stretch_only_what_is_told_is_read() {
        const ROOM: Room = Room::of(4_000);
        let root = tempfile::tempdir().unwrap();
        let paths = remotelab_config::InstancePaths::below(root.path());
        let store = remotelab_store::Store::open(&paths).unwrap().0;
        let (cell, _) = store.find_or_insert(Session::new("~".into(), "codex".into(), ""));
        let history = cell.history();
        for number in 1..=700_usize {
            let content = format!("{number} {}", "长".repeat(number * 37 % 90));
            let event = match number % 3 {
                0 => Event::new(Known::Reasoning { content }, 0),
                _ => Event::message(Role::User, Message { content, ..Message::default() }, 0),
            };
            let (_, commit) = cell.change(|draft| draft.append(event));
            if number % 100 == 0 {
                commit.wait().unwrap();
            }
            let latest = number as u64;
            for first in [1, 20, latest].into_iter().filter(|_| number % 41 == 0) {
                let all = history.read(first..=latest, Bodies::Whole);
                let all = all.iter().filter_map(said).collect::<Vec<_>>().join("\n\n");
                assert_eq!(
                    told(&history, first..=latest, ROOM, said),
                    cut(&all, ROOM),
                    "{first} to {latest}"
                );
            }
        }
        store.carry_out().wait().unwrap();
        // Nobody looks at the middle.
        let before = told(&history, 1..=700, ROOM, said);
        for number in 200..500 {
            let file = format!("chat-history/{}/events/{number:09}.json", cell.id());
            std::fs::remove_file(paths.config().join(file)).unwrap();
        }
        assert_eq!(told(&history, 1..=700, ROOM, said), before);
        assert!(before.starts_with("1 ") && before.contains("\n\n700 "));
        let nothing = RangeInclusive::new(u64::MAX, 700);
        assert_eq!(told(&history, nothing, ROOM, said), "");
    }

    #[test]
    fn what_is_too_long_is_cut_in_the_middle() {
        let long = "长".repeat(30_000);
        assert!(cut(&long, Room::of(1_000)).chars().count() < 1_100);
    }
}
