//! The second form of an answer: HTML made of its Markdown, for readers that show it.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use ammonia::Builder;
use comrak::Options;

/// A longer text goes out as plain text alone (bytes).
const LONGEST: usize = 200 * 1024;

/// What may stand in a mail of ours, whatever the text says: nothing that is fetched or that runs.
static CLEANER: LazyLock<Builder<'static>> = LazyLock::new(|| {
    let mut builder = Builder::empty();
    builder
        .tags(HashSet::from([
            "p",
            "h1",
            "h2",
            "h3",
            "h4",
            "h5",
            "h6",
            "ul",
            "ol",
            "li",
            "blockquote",
            "pre",
            "code",
            "em",
            "strong",
            "del",
            "a",
            "table",
            "thead",
            "tbody",
            "tr",
            "th",
            "td",
            "hr",
            "br",
        ]))
        .tag_attributes(HashMap::from([
            ("a", HashSet::from(["href", "title"])),
            ("ol", HashSet::from(["start"])),
            ("th", HashSet::from(["align"])),
            ("td", HashSet::from(["align"])),
        ]))
        .url_schemes(HashSet::from(["https", "http", "mailto"]))
        .url_relative(ammonia::UrlRelative::Deny)
        .link_rel(Some("noopener noreferrer"));
    builder
});

/// Turns an answer into HTML; `None` when it is too long for that.
pub(crate) fn html(text: &str) -> Option<String> {
    if text.len() > LONGEST {
        return None;
    }
    let mut options = Options::default();
    options.extension.table = true;
    options.extension.strikethrough = true;
    options.extension.autolink = true;
    // Lines stay lines, as in the plain form.
    options.render.hardbreaks = true;
    let body = CLEANER.clean(&comrak::markdown_to_html(text, &options)).to_string();
    Some(format!(
        "<!DOCTYPE html>\n<html><head><meta charset=\"utf-8\"></head>\n\
         <body style=\"font-family:sans-serif;font-size:15px;line-height:1.45\">\n{body}</body></html>\n"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn shows_structure_and_fetches_nothing() {
        let html = html("# Sums\n\n- one\n- **two**\n\n![x](https://evil.test/x.png)<script>alert(1)</script>\n<https://a.test>")
            .unwrap();
        assert!(html.contains("<h1>Sums</h1>") && html.contains("<strong>two</strong>"), "{html}");
        assert!(html.contains("href=\"https://a.test\""), "{html}");
        assert!(!html.contains("<img") && !html.contains("<script"), "{html}");
        assert_eq!(super::html(&"x".repeat(LONGEST + 1)), None);
    }

    proptest! {
        #[test]
        fn nothing_runs_or_is_fetched(text in "(<|>|script|img|src=|on|javascript:|\\[|\\]|\\(|\\)|!|\"|'|\n|[a-z]){0,60}") {
            let html = html(&text).unwrap().to_lowercase();
            prop_assert!(!html.contains("<script") && !html.contains("<img") && !html.contains("href=\"javascript"));
        }
    }
}
