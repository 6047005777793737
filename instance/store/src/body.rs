//! Long texts leave their event and live in a file of their own.

use remotelab_protocol::Event;

/// What stands where the middle of a long text was cut.
pub const CUT_MARK: &str = "[... truncated by RemoteLab ...]";

/// A text that was moved out of its event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// The file's name without extension: `evt_000000005_content`.
    pub reference: String,
    /// The whole text.
    pub text: String,
}

/// Sets the event's body bookkeeping; a text over its type's limit is replaced by a preview and
/// returned. The event must have its sequence number.
pub fn externalise(event: &mut Event) -> Option<Moved> {
    let (field, text) = event.body_text()?;
    let limits = Limits::of(event.type_name());
    let available = !text.is_empty();
    if !available || utf16_len(text) <= limits.inline {
        event.body.body_available = Some(available);
        event.body.body_loaded = Some(true);
        return None;
    }
    let moved = Moved { reference: format!("evt_{:09}_{field}", event.seq), text: text.to_owned() };
    event.body.body_available = Some(true);
    event.body.body_loaded = Some(false);
    event.body.body_field = Some(field.to_owned());
    event.body.body_ref = Some(moved.reference.clone());
    event.body.body_bytes = Some(moved.text.len() as u64);
    event.set_body_text(cut_middle(&moved.text, limits.preview));
    Some(moved)
}

/// Puts a whole text back into its event.
pub fn inline(event: &mut Event, text: String) {
    event.set_body_text(text);
    event.body.body_loaded = Some(true);
}

/// Cuts a text in the middle to a number of characters: 60 % head, 40 % tail.
#[must_use]
pub fn cut_middle(text: &str, max_chars: usize) -> String {
    let total = text.chars().count();
    if total <= max_chars {
        return text.to_owned();
    }
    let room = max_chars.saturating_sub(CUT_MARK.len() + 2);
    let head = room * 3 / 5;
    let tail = room - head;
    let start: String = text.chars().take(head).collect();
    let end: String = text.chars().skip(total - tail).collect();
    format!("{start}\n{CUT_MARK}\n{end}")
}

struct Limits {
    /// Longest text that stays in its event, in UTF-16 units.
    inline: usize,
    /// Length of the preview of a longer one, in characters.
    preview: usize,
}

impl Limits {
    fn of(event_type: &str) -> Self {
        let (inline, preview) = match event_type {
            "reasoning" => (0, 1_600),
            "template_context" => (4_096, 1_600),
            "tool_use" => (2_048, 800),
            "tool_result" => (4_096, 1_200),
            _ => (65_536, 1_600),
        };
        Self { inline, preview }
    }
}

fn utf16_len(text: &str) -> usize {
    text.chars().map(char::len_utf16).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use remotelab_protocol::event::Known;

    fn result(output: &str) -> Event {
        let kind = Known::ToolResult { tool_name: "bash".into(), output: output.into(), exit_code: 0 };
        Event { seq: 29, ..Event::new(kind, 0) }
    }

    #[test]
    fn short_texts_stay_and_long_ones_leave_a_preview() {
        let mut short = result("ok");
        assert_eq!(externalise(&mut short), None);
        assert_eq!((short.body.body_available, short.body.body_loaded), (Some(true), Some(true)));

        let text = "x".repeat(20_000);
        let mut long = result(&text);
        let moved = externalise(&mut long).unwrap();
        assert_eq!(moved, Moved { reference: "evt_000000029_output".into(), text: text.clone() });
        assert_eq!((long.body.body_loaded, long.body.body_bytes), (Some(false), Some(20_000)));
        assert_eq!(long.body_text().unwrap().1.chars().count(), 1_200);
        inline(&mut long, text.clone());
        assert_eq!(long.body_text().unwrap().1, text);
    }

    #[test]
    fn reasoning_always_leaves_and_empty_never() {
        let mut thought = Event { seq: 5, ..Event::new(Known::Reasoning { content: "a".into() }, 0) };
        assert_eq!(externalise(&mut thought).unwrap().reference, "evt_000000005_content");
        let mut empty = result("");
        assert_eq!(externalise(&mut empty), None);
        assert_eq!(empty.body.body_available, Some(false));
    }

    /// Characters that are two units elsewhere are one here: a cut leaves each of them whole.
    #[test]
    fn runtime_weakness_45_a_cut_splits_no_character() {
        let text = "\u{1f9ee}".repeat(3_000);
        let cut = cut_middle(&text, 1_200);
        assert_eq!(cut.chars().count(), 1_200);
        let (head, tail) = cut.split_once(&format!("\n{CUT_MARK}\n")).unwrap();
        assert!(head.chars().chain(tail.chars()).all(|c| c == '\u{1f9ee}'));
        // The limit counts the units of older tools, so that both move the same texts out.
        let mut at_limit = result(&"\u{1f9ee}".repeat(2_048));
        assert_eq!(externalise(&mut at_limit), None);
        assert!(externalise(&mut result(&"\u{1f9ee}".repeat(2_049))).is_some());
    }

    proptest! {
        #[test]
        fn a_cut_is_never_longer_than_asked(text in "\\PC{0,300}", max in 40..200_usize) {
            prop_assert!(cut_middle(&text, max).chars().count() <= max.max(text.chars().count().min(max)));
        }
    }
}
