//! What holds for any bytes. The fuzz targets look for bytes for which it does not, the tests replay
//! the corpus.

use remotelab_server::web::{Language, assets, markdown};

const TAGS: &[&str] = &[
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
    "div",
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
    "label",
];

const ATTRIBUTES: &[&str] = &[
    "href",
    "title",
    "data-lang",
    "class",
    "align",
    "start",
    "tabindex",
    "target",
    "rel",
    "type",
    "checked",
    "disabled",
];

const LINKS: &[&str] = &["https:", "http:", "mailto:", "tel:", "api/", "s/", "share/"];

/// The bytes are a message. Its page holds nothing active: a browser that reads the tags finds only
/// those that are allowed, with attributes that are allowed.
pub fn markdown(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for html in [markdown::render(&text), markdown::plain(&text)] {
        assert!(html.len() <= 8 * text.len() + 4096, "{} bytes of {}", html.len(), text.len());
        let mut rest = html.as_str();
        while let Some((_, after)) = rest.split_once('<') {
            rest = tag(after).unwrap_or_else(|| panic!("{after:?} in {html}"));
        }
    }
}

/// The lines are a path, an `Accept-Encoding` and an `Accept-Language`. Only files of the page are
/// found, packed only for who asks for that.
pub fn accept(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut lines = text.split('\n');
    let mut line = || lines.next().unwrap_or_default();
    let (path, encoding, language) = (line(), line(), line());
    let _ = Language::from_accept(language).words();
    let versioned = assets::path(path);
    for path in [path, &versioned] {
        let Some(asset) = assets::find(path, encoding) else { continue };
        assert!(!path.contains("..") && !asset.bytes.is_empty(), "{path}");
        assert!(asset.content_encoding.is_none() || encoding.to_ascii_lowercase().contains("gzip"));
    }
}

/// Reads a tag behind its `<` and returns what follows it, as a browser would take it apart. Attributes
/// are `name="value"`; whatever is not is no HTML of ours.
fn tag(text: &str) -> Option<&str> {
    let name_at = usize::from(text.starts_with('/'));
    let name_end = text.find([' ', '>'])?;
    TAGS.contains(&text.get(name_at..name_end)?).then_some(())?;
    let mut rest = &text[name_end..];
    while let Some(attribute) = rest.strip_prefix(' ') {
        let (name, value) = attribute.split_once("=\"")?;
        let (value, after) = value.split_once('"')?;
        let is_link = || LINKS.iter().any(|start| value.to_ascii_lowercase().starts_with(start));
        (name_at == 0 && ATTRIBUTES.contains(&name) && (name != "href" || is_link())).then_some(())?;
        (name != "class" || value == "table" || value.starts_with("hl-")).then_some(())?;
        rest = after;
    }
    rest.strip_prefix('>')
}
