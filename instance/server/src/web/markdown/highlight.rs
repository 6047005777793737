//! Colours for code, as a handful of classes that the style sheet knows.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use comrak::adapters::SyntaxHighlighterAdapter;
use syntect::parsing::{ParseState, Scope, ScopeStack, SyntaxReference, SyntaxSet};

/// Longer blocks stay plain, in bytes.
const LONGEST_BLOCK: usize = 16 * 1024;
/// What one message may spend on colours, in bytes of code.
const BUDGET: usize = 64 * 1024;
/// Longer lines are data rather than code and slow to match.
const LONGEST_LINE: usize = 1000;

/// About 10 MB when loaded, so only once somebody shows code.
static GRAMMARS: LazyLock<SyntaxSet> = LazyLock::new(two_face::syntax::extra_newlines);

/// Scope prefixes and their class; the innermost scope that has one decides.
static CLASSES: LazyLock<Vec<(Scope, &'static str)>> = LazyLock::new(|| {
    [
        ("comment", "c"),
        ("constant.character.escape", "e"),
        ("string", "s"),
        ("constant", "n"),
        ("keyword", "k"),
        ("storage", "k"),
        ("entity.name.function", "f"),
        ("support.function", "f"),
        ("variable.function", "f"),
        ("entity.name.tag", "k"),
        ("entity.name", "t"),
        ("support.type", "t"),
        ("support.class", "t"),
        ("entity.other.attribute-name", "a"),
        ("meta.mapping.key", "a"),
        ("markup.inserted", "i"),
        ("markup.deleted", "d"),
        ("markup.heading", "k"),
        ("meta.diff.header", "c"),
        ("meta.diff.range", "f"),
    ]
    .into_iter()
    .filter_map(|(scope, class)| Some((Scope::new(scope).ok()?, class)))
    .collect()
});

/// Writes the code blocks of one message.
#[derive(Debug, Default)]
pub(super) struct Highlighter {
    spent: AtomicUsize,
}

impl SyntaxHighlighterAdapter for Highlighter {
    fn write_highlighted(&self, output: &mut dyn fmt::Write, lang: Option<&str>, code: &str) -> fmt::Result {
        let coloured =
            lang.and_then(grammar).filter(|_| self.affords(code)).and_then(|grammar| colour(grammar, code));
        match coloured {
            Some(html) => output.write_str(&html),
            None => output.write_str(&escaped(code)),
        }
    }

    fn write_pre_tag(
        &self,
        output: &mut dyn fmt::Write,
        _: HashMap<&'static str, Cow<'_, str>>,
    ) -> fmt::Result {
        // The language is only known at the next call, so the tag is closed there.
        output.write_str("<pre")
    }

    fn write_code_tag(
        &self,
        output: &mut dyn fmt::Write,
        attributes: HashMap<&'static str, Cow<'_, str>>,
    ) -> fmt::Result {
        let class = attributes.get("class").map_or("", AsRef::as_ref);
        if let Some(lang) = class.strip_prefix("language-") {
            write!(output, " data-lang=\"{}\"", escaped(lang))?;
        }
        output.write_str(" tabindex=\"0\"><code>")
    }
}

impl Highlighter {
    fn affords(&self, code: &str) -> bool {
        code.len() <= LONGEST_BLOCK
            && code.lines().all(|line| line.len() <= LONGEST_LINE)
            && self.spent.fetch_add(code.len(), Ordering::Relaxed) + code.len() <= BUDGET
    }
}

fn grammar(lang: &str) -> Option<&'static SyntaxReference> {
    let token = match lang.to_ascii_lowercase().as_str() {
        "" | "text" | "txt" | "plain" | "plaintext" | "output" => return None,
        "shell" | "console" | "sh" | "zsh" => "bash".to_owned(),
        "jsonc" | "json5" => "json".to_owned(),
        other => other.to_owned(),
    };
    GRAMMARS.find_syntax_by_token(&token)
}

/// `None` when the grammar fails on the text; it is then shown plainly.
fn colour(grammar: &SyntaxReference, code: &str) -> Option<String> {
    let mut state = ParseState::new(grammar);
    let mut stack = ScopeStack::new();
    let mut html = String::with_capacity(code.len() * 2);
    let mut open = None;
    for line in code.split_inclusive('\n') {
        let mut written = 0;
        for (at, change) in state.parse_line(line, &GRAMMARS).ok()? {
            push(&mut html, &mut open, class_of(&stack), line.get(written..at)?);
            written = at;
            stack.apply(&change).ok()?;
        }
        push(&mut html, &mut open, class_of(&stack), line.get(written..)?);
    }
    if open.is_some() {
        html.push_str("</span>");
    }
    Some(html)
}

fn push(html: &mut String, open: &mut Option<&'static str>, class: Option<&'static str>, text: &str) {
    if text.is_empty() {
        return;
    }
    // Blank text has no colour to change.
    if *open != class && !(text.trim().is_empty() && open.is_none()) {
        if open.is_some() {
            html.push_str("</span>");
        }
        if let Some(class) = class {
            html.push_str("<span class=\"hl-");
            html.push_str(class);
            html.push_str("\">");
        }
        *open = class;
    }
    super::escape(text, html);
}

fn class_of(stack: &ScopeStack) -> Option<&'static str> {
    stack.as_slice().iter().rev().find_map(|scope| {
        CLASSES.iter().find(|(prefix, _)| prefix.is_prefix_of(*scope)).map(|(_, class)| *class)
    })
}

fn escaped(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    super::escape(text, &mut html);
    html
}
