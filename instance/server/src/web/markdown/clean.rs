//! The allow-list that every rendered text passes last, whatever wrote it.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use ammonia::Builder;

static CLEANER: LazyLock<Builder<'static>> = LazyLock::new(|| {
    let mut builder = Builder::empty();
    builder
        .tags(HashSet::from([
            "p",
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
            "span",
            "input",
        ]))
        .tag_attributes(HashMap::from([
            ("a", HashSet::from(["href", "title"])),
            ("ol", HashSet::from(["start"])),
            ("pre", HashSet::from(["data-lang", "tabindex"])),
            ("span", HashSet::from(["class"])),
            ("th", HashSet::from(["align"])),
            ("td", HashSet::from(["align"])),
            ("input", HashSet::from(["checked", "disabled"])),
        ]))
        .tag_attribute_values(HashMap::from([(
            "input",
            HashMap::from([("type", HashSet::from(["checkbox"]))]),
        )]))
        .set_tag_attribute_value("a", "target", "_blank")
        .url_schemes(HashSet::from(["https", "http", "mailto", "tel"]))
        .url_relative(ammonia::UrlRelative::PassThrough)
        .link_rel(Some("noopener noreferrer nofollow"))
        .attribute_filter(|_, attribute, value| match attribute {
            // Other classes would let an answer dress up as the page.
            "class" => value.starts_with("hl-").then_some(Cow::Borrowed(value)),
            _ => Some(Cow::Borrowed(value)),
        });
    builder
});

/// Keeps what is allowed.
pub(super) fn clean(html: &str) -> String {
    CLEANER.clean(html).to_string()
}
