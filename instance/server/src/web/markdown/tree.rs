//! What is changed on the parsed tree before it is written as HTML.

use comrak::Arena;
use comrak::arena_tree::NodeEdge;
use comrak::nodes::{AstNode, NodeLink, NodeValue};

/// Deeper trees cost more than they tell.
const DEEPEST: usize = 100;

/// The lowest heading of the page around a message.
const PAGE_LEVEL: u8 = 2;

/// Schemes that a link may have.
const SCHEMES: &[&str] = &["https", "http", "mailto", "tel"];

/// Paths of this product that an answer may link to.
const PRODUCT_PATHS: &[&str] = &["api/media/", "api/assets/", "share/", "s/"];

/// Turns bare `[x]` lines, as executors write their plans, into list items.
pub(super) fn with_checklists(text: &str) -> String {
    let mut fenced = false;
    let mut lines = Vec::new();
    for line in text.lines() {
        let start = line.trim_start();
        if start.starts_with("```") || start.starts_with("~~~") {
            fenced = !fenced;
        }
        let mark = ["[x] ", "[X] ", "[ ] "].iter().any(|mark| line.starts_with(mark));
        lines.push(if mark && !fenced { format!("- {line}") } else { line.to_owned() });
    }
    lines.join("\n")
}

/// Lowers headings below those of the page, turns pictures into links, raw HTML into text, and removes
/// links that lead nowhere safe. `false` when the tree is too deep to show.
pub(super) fn adapt<'a>(arena: &'a Arena<'a>, root: &'a AstNode<'a>) -> bool {
    let mut depth = 0_usize;
    for edge in root.traverse() {
        match edge {
            NodeEdge::Start(_) => depth += 1,
            NodeEdge::End(_) => depth -= 1,
        }
        if depth > DEEPEST {
            return false;
        }
    }
    let nodes: Vec<_> = root.descendants().collect();
    let mut level = PAGE_LEVEL;
    for node in nodes {
        adapt_node(arena, node, &mut level);
    }
    true
}

fn adapt_node<'a>(arena: &'a Arena<'a>, node: &'a AstNode<'a>, level: &mut u8) {
    let value = node.data().value.clone();
    match value {
        NodeValue::Heading(mut heading) => {
            // No level is skipped on the way down, so that the outline of the page stays whole.
            heading.level = (heading.level + PAGE_LEVEL).min(*level + 1).min(6);
            *level = heading.level;
            node.data_mut().value = NodeValue::Heading(heading);
        }
        NodeValue::HtmlBlock(html) => {
            node.data_mut().value = NodeValue::Paragraph;
            node.append(text_node(arena, html.literal.trim_end().to_owned()));
        }
        NodeValue::Image(link) => adapt_link(arena, node, *link, true),
        NodeValue::Link(link) => adapt_link(arena, node, *link, false),
        _ => {}
    }
}

fn adapt_link<'a>(arena: &'a Arena<'a>, node: &'a AstNode<'a>, mut link: NodeLink, image: bool) {
    let Some(url) = allowed(&link.url) else {
        for child in node.children().collect::<Vec<_>>() {
            node.insert_before(child);
        }
        node.detach();
        return;
    };
    let text = text_of(node);
    if let Some(host) = host(&url)
        && (image || pretends(&text, host))
    {
        let label = if text.trim().is_empty() { host.to_owned() } else { format!(" ({host})") };
        node.append(text_node(arena, label));
    }
    link.url = url;
    node.data_mut().value = NodeValue::Link(Box::new(link));
}

fn text_node<'a>(arena: &'a Arena<'a>, text: String) -> &'a AstNode<'a> {
    arena.alloc(NodeValue::Text(text.into()).into())
}

fn text_of<'a>(node: &'a AstNode<'a>) -> String {
    let mut text = String::new();
    for node in node.descendants() {
        match &node.data().value {
            NodeValue::Text(part) => text.push_str(part),
            NodeValue::Code(code) => text.push_str(&code.literal),
            _ => {}
        }
    }
    text
}

/// Returns the address a link may keep: an outside one with a harmless scheme, or a path of this
/// product, relative to its base.
fn allowed(url: &str) -> Option<String> {
    if let Some((scheme, _)) = url.split_once(':') {
        let scheme = scheme.to_ascii_lowercase();
        return SCHEMES.contains(&scheme.as_str()).then(|| url.to_owned());
    }
    let path = url.strip_prefix('/').unwrap_or(url);
    let known = PRODUCT_PATHS.iter().any(|start| path.starts_with(start));
    (known && !path.contains("..")).then(|| path.to_owned())
}

fn host(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    authority.rsplit('@').next()
}

/// Tells whether a link's text looks like an address elsewhere.
fn pretends(text: &str, host: &str) -> bool {
    let text = text.trim();
    let shown = self::host(text).unwrap_or_else(|| text.split('/').next().unwrap_or_default());
    let bare = |host: &str| host.trim_start_matches("www.").to_ascii_lowercase();
    // `src/main.rs` and `v1.2` are names; a host has letters around its last dot.
    let is_host = !text.contains(char::is_whitespace)
        && shown.rsplit_once('.').is_some_and(|(name, last)| {
            !name.is_empty() && last.len() > 1 && last.bytes().all(|b| b.is_ascii_alphabetic())
        });
    is_host && bare(shown) != bare(host)
}
