//! What holds for any bytes. The fuzz targets look for bytes for which it does not, the tests replay
//! the corpus.

use remotelab_server::readers;
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

/// The bytes are an executor's answer about a turn. What is taken of it is short, one line where it is shown in
/// one, and of the words that there are.
pub fn answer(data: &[u8]) {
    let Some(answer) = readers::answer(&String::from_utf8_lossy(data)) else { return };
    for (line, most) in [(&answer.title, 60), (&answer.group, 32), (&answer.description, 160)] {
        let Some(line) = line else { continue };
        assert!(!line.is_empty() && line.chars().count() <= most && !line.contains('\n'), "{line:?}");
        assert_eq!(line.trim(), line);
    }
    let states = ["parked", "waiting_user", "done"];
    assert!(answer.workflow_state.as_deref().is_none_or(|word| states.contains(&word)), "{answer:?}");
    let priorities = ["high", "medium", "low"];
    assert!(answer.workflow_priority.as_deref().is_none_or(|word| priorities.contains(&word)), "{answer:?}");
    assert!(answer.workflow_state.is_some() || answer.workflow_priority.is_none(), "{answer:?}");
    assert!(answer.continuation.is_none_or(|prompt| !prompt.is_empty() && prompt.chars().count() <= 4_000));
    if let Some(card) = &answer.task_card {
        let text = serde_json::to_string(card).expect("a card is always JSON");
        assert!(text.len() <= 64 << 10, "{} bytes", text.len());
    }
}

/// The lines are a length, a `Range` and an `If-Range`. A part lies within the file, and is what was asked for
/// only of the same file.
pub fn range(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut lines = text.split('\n');
    let mut line = || lines.next().unwrap_or_default();
    let length = line().parse().unwrap_or(10_u64);
    let (range, if_range) = (line().trim(), line().trim());
    let Some(part) = readers::range(range, Some(if_range).filter(|tag| !tag.is_empty()), "\"tag\"", length)
    else {
        return;
    };
    assert!(if_range.is_empty() || if_range == "\"tag\"", "{range:?} of another file");
    if let Some((first, last)) = part {
        assert!(first <= last && last < length, "{first}-{last} of {length}");
    }
}

/// The first line is a boundary, the rest a form. It is read to its end or refused, its texts are those that it
/// has, and no file of it gets a name with a folder.
pub fn form(data: &[u8]) {
    let (boundary, body) = data.split_at(data.iter().position(|&byte| byte == b'\n').unwrap_or(data.len()));
    let Some(message) = readers::form(&String::from_utf8_lossy(boundary), body) else { return };
    let texts = [&message.request_id, &message.tool, &message.model, &message.effort];
    let length: usize = texts.into_iter().flatten().map(String::len).sum();
    assert!(length + message.text.len() <= data.len(), "{message:?}");
    assert!(message.attachments.is_none_or(|list| list.is_array()));
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
