//! Choosing the answer among a session's events, as connectors do.

use crate::{Event, Role};

/// What hidden blocks are named.
const TAGS: [&str; 2] = ["private", "hide"];

/// Which events an answer may come from.
#[derive(Clone, Copy, Debug)]
pub enum Of<'a> {
    /// Those of a run.
    Run(&'a str),
    /// Those of a request.
    Request(&'a str),
}

/// Returns the answer's text: the last assistant message that says something, hidden parts removed; a
/// bare to-do list only when there is nothing else.
#[must_use]
pub fn choose(events: &[Event], of: Of<'_>) -> Option<String> {
    let mut checklist = None;
    for text in events.iter().rev().filter(|event| belongs(event, of)).filter_map(said) {
        if is_checklist(&text) {
            checklist.get_or_insert(text);
        } else {
            return Some(text);
        }
    }
    checklist
}

/// The answer among the events that were looked at so far, in their order; for whom they are too many to be
/// held at once.
#[derive(Clone, Debug, Default)]
pub struct Choice {
    reply: Option<Chosen>,
    checklist: Option<Chosen>,
}

/// An answer, and the event that says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// The text, hidden parts removed.
    pub text: String,
    /// The event's number.
    pub seq: u64,
}

impl Choice {
    /// Looks at the next event that the answer may come from.
    pub fn look(&mut self, event: &Event) {
        if let Some(text) = said(event) {
            let place = if is_checklist(&text) { &mut self.checklist } else { &mut self.reply };
            *place = Some(Chosen { text, seq: event.seq });
        }
    }

    /// Returns what [`choose`] would, of the same events.
    #[must_use]
    pub fn chosen(self) -> Option<Chosen> {
        self.reply.or(self.checklist)
    }
}

/// Removes `<private>…</private>` and `<hide>…</hide>`; an unclosed block hides the rest.
#[must_use]
pub fn visible_text(text: &str) -> String {
    let mut rest = text;
    let mut visible = String::with_capacity(text.len());
    while let Some((start, tag)) = next_open(rest) {
        visible.push_str(&rest[..start]);
        let inside = &rest[start + tag.len() + 2..];
        rest =
            find_ignoring_case(inside, &format!("</{tag}>")).map_or("", |end| &inside[end + tag.len() + 3..]);
    }
    visible.push_str(rest);
    visible.trim().to_owned()
}

/// As [`visible_text`], of a text that is still being written: the beginning of a tag does not show either.
#[must_use]
pub fn visible_so_far(text: &str) -> String {
    let mut visible = visible_text(text);
    if let Some(at) = visible.rfind('<') {
        let begun = visible[at..].to_ascii_lowercase();
        if TAGS.iter().any(|tag| format!("<{tag}>").starts_with(&begun)) {
            visible.truncate(visible[..at].trim_end().len());
        }
    }
    visible
}

/// Returns the tag of the hidden block that is open at the end of a text.
#[must_use]
pub fn open_at_end(text: &str) -> Option<&'static str> {
    let mut rest = text;
    while let Some((start, tag)) = next_open(rest) {
        let inside = &rest[start + tag.len() + 2..];
        match find_ignoring_case(inside, &format!("</{tag}>")) {
            Some(end) => rest = &inside[end + tag.len() + 3..],
            None => return Some(tag),
        }
    }
    None
}

/// Returns what an event says to a person.
fn said(event: &Event) -> Option<String> {
    let message = event.as_message().filter(|_| event.role == Some(Role::Assistant))?;
    let text = visible_text(&message.content);
    (!text.is_empty() && message.message_kind.as_deref() != Some("todo_list")).then_some(text)
}

fn belongs(event: &Event, of: Of<'_>) -> bool {
    match of {
        Of::Run(id) => event.run_id.as_deref() == Some(id),
        Of::Request(id) => event.request_id.as_deref() == Some(id),
    }
}

fn is_checklist(text: &str) -> bool {
    let mark = |line: &str| ["[x] ", "[X] ", "[ ] "].iter().any(|mark| line.starts_with(mark));
    text.lines().map(str::trim).filter(|line| !line.is_empty()).all(mark)
}

/// Looks at each `<` once: a search for one tag and then the other would read the whole rest for the one
/// that is not there, again after every block.
fn next_open(text: &str) -> Option<(usize, &'static str)> {
    text.match_indices('<').find_map(|(at, _)| {
        let opened = &text.as_bytes()[at + 1..];
        let is_opened = |tag: &&str| {
            opened.get(..tag.len()).is_some_and(|name| name.eq_ignore_ascii_case(tag.as_bytes()))
                && opened.get(tag.len()) == Some(&b'>')
        };
        TAGS.into_iter().find(is_opened).map(|tag| (at, tag))
    })
}

fn find_ignoring_case(text: &str, needle: &str) -> Option<usize> {
    let (text, needle) = (text.as_bytes(), needle.as_bytes());
    text.windows(needle.len()).position(|window| window.eq_ignore_ascii_case(needle))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Message;
    use proptest::prelude::*;

    fn said(run: &str, text: &str, kind: Option<&str>) -> Event {
        let message =
            Message { content: text.into(), message_kind: kind.map(str::to_owned), ..Message::default() };
        Event { run_id: Some(run.into()), ..Event::message(Role::Assistant, message, 0) }
    }

    #[test]
    fn takes_the_last_message_that_says_something() {
        let events = [
            said("a", "first", None),
            said("a", "final <private>secret</private>answer", None),
            said("a", "[x] one\n[ ] two", None),
            said("a", "[x] one", Some("todo_list")),
            said("a", "<hide>{}</hide>", None),
            said("b", "another run", None),
        ];
        assert_eq!(choose(&events, Of::Run("a")).as_deref(), Some("final answer"));
        assert_eq!(choose(&events[2..5], Of::Run("a")).as_deref(), Some("[x] one\n[ ] two"));
        assert_eq!(choose(&events, Of::Run("c")), None);
        for (from, to, expected) in
            [(0, 5, Some("final answer")), (2, 5, Some("[x] one\n[ ] two")), (3, 5, None)]
        {
            let mut choice = Choice::default();
            events[from..to].iter().for_each(|event| choice.look(event));
            assert_eq!(choice.chosen().map(|chosen| chosen.text).as_deref(), expected);
        }
    }

    #[test]
    fn hidden_blocks_go_even_when_unclosed() {
        assert_eq!(visible_text("a<HIDE>b</hide>c<private>d"), "ac");
        assert_eq!(visible_text("a < b </private>"), "a < b </private>");
    }

    #[test]
    fn what_is_being_written_shows_no_part_of_a_tag() {
        for (text, visible) in [
            ("a <", "a"),
            ("a <Priv", "a"),
            ("a <b", "a <b"),
            ("a <hide>secret", "a"),
            ("a <hide>secret</hi", "a"),
            ("a <hide>secret</hide> b", "a  b"),
        ] {
            assert_eq!(visible_so_far(text), visible, "{text}");
        }
        assert_eq!(open_at_end("a<hide>b</hide>c<PRIVATE>d</hide>"), Some("private"));
        assert_eq!(open_at_end("a<hide>b</hide></private>"), None);
    }

    #[test]
    fn many_hidden_blocks_cost_one_pass() {
        assert_eq!(visible_text(&"x<hide></hide>".repeat(100_000)), "x".repeat(100_000));
    }

    proptest! {
        #[test]
        fn never_panics_and_never_grows(text in "(<private>|</private>|<hide>|é|x|<|>){0,20}") {
            prop_assert!(visible_text(&text).len() <= text.len());
        }
    }
}
