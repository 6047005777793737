//! Choosing and reading the text of a mail.

use mail_parser::{ContentType, MessagePart, MimeHeaders, PartType};

use crate::text;

/// Shorter plain texts may be a stub beside an HTML part.
const STUB_CHARS: usize = 120;

/// Longest text kept for a session; the raw mail holds the rest.
const MAX_CHARS: usize = 150_000;

/// Returns the readable text: the plain part unless it is empty or says "look at the HTML".
pub(super) fn text(message: &mail_parser::Message<'_>) -> String {
    let plain = join(message.text_bodies().filter_map(plain_text));
    let html =
        || {
            join(message.html_bodies().filter_map(|part| match &part.body {
                PartType::Html(html) => Some(text::to_text(html).unwrap_or_else(|| {
                    "(HTML mail that cannot be shown as text; it is attached)".to_owned()
                })),
                _ => None,
            }))
        };
    let chosen = if plain.trim().is_empty() || is_stub(&plain) {
        Some(html()).filter(|text| !text.is_empty()).unwrap_or(plain)
    } else {
        plain
    };
    let chosen = chosen.replace("\r\n", "\n").replace('\r', "\n").replace('\0', "");
    match chosen.char_indices().nth(MAX_CHARS) {
        Some((end, _)) => format!("{}\n[…]", &chosen[..end]),
        None => chosen,
    }
}

/// Returns whether the mail has text of its own in HTML only, too large to show.
pub(super) fn has_unshown_html(part: &MessagePart<'_>) -> bool {
    matches!(&part.body, PartType::Html(html) if text::to_text(html).is_none())
}

fn plain_text(part: &MessagePart<'_>) -> Option<String> {
    let PartType::Text(content) = &part.body else {
        return None;
    };
    let kind = part.content_type();
    let says = |name, value: &str| {
        kind.and_then(|kind: &ContentType<'_>| kind.attribute(name))
            .is_some_and(|text| text.eq_ignore_ascii_case(value))
    };
    if says("format", "flowed") {
        return Some(text::unflow(content, says("delsp", "yes")));
    }
    Some(content.clone().into_owned())
}

fn is_stub(plain: &str) -> bool {
    let plain = plain.trim().to_lowercase();
    plain.chars().count() <= STUB_CHARS
        && plain.contains("html")
        && ["view", "support", "enable", "require"].iter().any(|word| plain.contains(word))
}

fn join(texts: impl Iterator<Item = String>) -> String {
    texts.filter(|text| !text.trim().is_empty()).collect::<Vec<_>>().join("\n\n")
}
