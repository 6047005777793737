//! HTML mail as readable text. Nothing is fetched, nothing is run.

/// Lines are folded by whoever shows them.
const WIDTH: usize = 2_000;

/// Deeper nesting than this is refused rather than rendered: rendering recurses.
const MAX_DEPTH: usize = 400;

/// More markup than this is not rendered.
const MAX_BYTES: usize = 2 * 1024 * 1024;

/// Renders HTML as text, block quotes marked with `>`. `None` when it is too large or too deep.
pub(crate) fn to_text(html: &str) -> Option<String> {
    if html.len() > MAX_BYTES || is_too_deep(html) {
        return None;
    }
    let text = html2text::config::plain_no_decorate()
        .allow_width_overflow()
        .no_table_borders()
        .string_from_read(html.as_bytes(), WIDTH)
        .ok()?;
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    Some(super::block(&lines))
}

/// Tells whether elements nest deeper than [`MAX_DEPTH`]. A closing tag counts only for an element
/// that is open, as in a browser.
fn is_too_deep(html: &str) -> bool {
    let mut open: Vec<&str> = Vec::new();
    for (at, _) in html.match_indices('<') {
        let rest = &html[at + 1..];
        if let Some(closing) = rest.strip_prefix('/') {
            let name = tag_name(closing);
            if let Some(at) = open.iter().rposition(|tag| tag.eq_ignore_ascii_case(name)) {
                open.truncate(at);
            }
        } else if !tag_name(rest).is_empty() && !is_void(tag_name(rest)) {
            open.push(tag_name(rest));
            if open.len() > MAX_DEPTH {
                return true;
            }
        }
    }
    false
}

fn tag_name(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(text.len());
    &text[..end]
}

fn is_void(name: &str) -> bool {
    const VOID: [&str; 13] =
        ["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "p", "source", "wbr"];
    VOID.iter().any(|void| name.eq_ignore_ascii_case(void))
}

#[cfg(test)]
mod tests {
    use super::to_text;
    use proptest::prelude::*;

    #[test]
    fn keeps_blocks_apart_and_marks_quotes() {
        let html = "<html><head><style>p{color:red}</style></head><body><p>Hello &amp; welcome</p>\
            <p>Second</p><script>alert(1)</script><blockquote type=cite>Old words</blockquote></body></html>";
        assert_eq!(to_text(html).unwrap(), "Hello & welcome\n\nSecond\n\n> Old words");
    }

    #[test]
    fn refuses_what_would_exhaust_the_stack() {
        assert_eq!(to_text(&"<div>".repeat(100_000)), None);
        assert_eq!(to_text(&"<div></x>".repeat(100_000)), None);
        assert!(to_text(&"<div>x</div>".repeat(10_000)).is_some());
    }

    proptest! {
        #[test]
        fn any_markup_ends(html in "[<>/a-z =\"&;!-]{0,300}") {
            let _ = to_text(&html);
        }
    }
}
