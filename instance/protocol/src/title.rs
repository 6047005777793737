//! Titles that the product gives by itself.

use crate::session::UNTITLED;

/// What a temporary title holds: 12 ideographs, or 36 letters, which say about as much.
const TEMPORARY_WEIGHT: usize = 36;

/// Separators that may stand between a label and the rest of a title.
const SEPARATORS: &[char] = &[' ', '-', '–', '—', ':', '：', '|', '/', '·', '•', '，', ',', '.', '\t', '\n'];

const STOP_WORDS: &[&str] =
    &["a", "an", "and", "at", "about", "by", "for", "from", "in", "of", "on", "or", "the", "to", "with"];

const GENERIC_WORDS: &[&str] = &[
    "app",
    "apps",
    "assistant",
    "automation",
    "bot",
    "bots",
    "chat",
    "chats",
    "connector",
    "connectors",
    "conversation",
    "conversations",
    "direct",
    "dm",
    "email",
    "emails",
    "feishu",
    "github",
    "group",
    "groups",
    "inbound",
    "issue",
    "issues",
    "lark",
    "mail",
    "main",
    "message",
    "messages",
    "new",
    "p2p",
    "pr",
    "pull",
    "request",
    "reply",
    "replies",
    "room",
    "rooms",
    "session",
    "sessions",
    "source",
    "sources",
    "thread",
    "threads",
    "topic",
    "topics",
    "voice",
    "会话",
    "新会话",
    "机器人",
    "线程",
    "群",
    "群聊",
    "聊天",
    "私聊",
    "话题",
    "语音",
    "连接器",
    "邮件",
    "邮箱",
    "回复",
    "飞书",
    "对话",
    "新对话",
];

/// Returns the temporary title made of a session's first message, cut between words where it can be.
#[must_use]
pub fn temporary(text: &str) -> String {
    let collapsed = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut weight = 0;
    let fits = |&(_, c): &(usize, char)| {
        weight += if c < '\u{2e80}' { 1 } else { 3 };
        weight <= TEMPORARY_WEIGHT
    };
    let end = collapsed.char_indices().take_while(fits).last().map_or(0, |(index, c)| index + c.len_utf8());
    if end == collapsed.len() {
        return collapsed;
    }
    let cut = &collapsed[..end];
    let between_words = cut.rfind(' ').filter(|&space| space * 2 > end && !collapsed[end..].starts_with(' '));
    format!("{}…", cut[..between_words.unwrap_or(end)].trim_end())
}

/// Removes the group's name from the start or the end of a title.
#[must_use]
pub fn without_group(title: &str, group: Option<&str>) -> String {
    let group = group.unwrap_or_default().trim().to_lowercase();
    let shorter = without_label(title, &group).map(str::trim).filter(|rest| !rest.is_empty());
    shorter.unwrap_or(title).to_owned()
}

/// What a new session's title is made of.
#[derive(Clone, Copy, Debug, Default)]
pub struct Given<'a> {
    /// The title that was given.
    pub name: Option<&'a str>,
    /// The source that was given.
    pub source_id: Option<&'a str>,
    /// The source's name that was given.
    pub source_name: Option<&'a str>,
    /// The group that was given.
    pub group: Option<&'a str>,
    /// The connector's key that was given.
    pub external_trigger_id: Option<&'a str>,
}

/// Returns the initial title, and whether it may still be replaced automatically.
#[must_use]
pub fn initial(given: &Given<'_>) -> (String, bool) {
    let name = given.name.map(str::trim).filter(|name| !name.is_empty());
    let kept = match name {
        Some(name) if is_connector(given) => meaningful(name, given),
        other => other.map(str::to_owned),
    };
    match kept {
        Some(name) => (name, false),
        None => (UNTITLED.to_owned(), true),
    }
}

fn is_connector(given: &Given<'_>) -> bool {
    let not_chat = |text: &str| !text.trim().is_empty() && !text.trim().eq_ignore_ascii_case("chat");
    match (given.source_id, given.source_name) {
        (None, None) => given.external_trigger_id.is_some(),
        (id, name) => id.is_some_and(not_chat) || name.is_some_and(not_chat),
    }
}

/// Strips labels from both ends and keeps what still tells something.
fn meaningful(name: &str, given: &Given<'_>) -> Option<String> {
    let labels: Vec<String> = [given.group, given.source_name]
        .into_iter()
        .flatten()
        .map(|label| label.trim().to_lowercase())
        .filter(|label| !label.is_empty())
        .collect();
    let mut rest = name.trim();
    while let Some(shorter) = labels.iter().find_map(|label| without_label(rest, label)) {
        rest = shorter;
    }
    let rest = rest.trim_matches(|c: char| c.is_whitespace() || SEPARATORS.contains(&c));
    let informs = rest
        .split(|c: char| SEPARATORS.contains(&c) || c == '#')
        .any(|token| is_informative(&token.to_lowercase(), &labels));
    informs.then(|| rest.to_owned())
}

fn is_informative(token: &str, labels: &[String]) -> bool {
    !STOP_WORDS.contains(&token)
        && !GENERIC_WORDS.contains(&token)
        && !labels.iter().any(|label| label == token)
        && (token.chars().count() >= 2 || token.chars().any(char::is_numeric))
}

/// Removes a label with its separators from the start or the end; `None` when it is at neither.
fn without_label<'a>(text: &'a str, label: &str) -> Option<&'a str> {
    let text = text.trim_matches(SEPARATORS);
    let last = label.chars().count().checked_sub(1)?;
    let (at, c) = text.char_indices().nth(last)?;
    let (head, after) = text.split_at(at + c.len_utf8());
    if head.to_lowercase() == label && (after.is_empty() || after.starts_with(SEPARATORS)) {
        return Some(after.trim_start_matches(SEPARATORS));
    }
    let (at, _) = text.char_indices().nth_back(last)?;
    let (before, tail) = text.split_at(at);
    if tail.to_lowercase() == label && (before.is_empty() || before.ends_with(SEPARATORS)) {
        return Some(before.trim_end_matches(SEPARATORS));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn titled(name: &str) -> (String, bool) {
        initial(&Given {
            name: Some(name),
            source_id: Some("github"),
            source_name: Some("GitHub"),
            group: Some("GitHub"),
            external_trigger_id: Some("x"),
        })
    }

    #[test]
    fn connector_titles_are_kept_only_when_they_tell_something() {
        assert_eq!(titled("GitHub issue"), (UNTITLED.into(), true));
        assert_eq!(
            titled("owner/repo#123 macOS build failure"),
            ("owner/repo#123 macOS build failure".into(), false)
        );
        assert_eq!(titled("GitHub: owner/repo - GitHub"), ("owner/repo".into(), false));
        assert_eq!(titled("  "), (UNTITLED.into(), true));
        assert_eq!(titled("GitHub \u{b}\u{b}"), (UNTITLED.into(), true));
        let plain = initial(&Given { name: Some("GitHub issue"), ..Given::default() });
        assert_eq!(plain, ("GitHub issue".into(), false));
        assert_eq!(initial(&Given::default()), (UNTITLED.into(), true));
    }

    #[test]
    fn a_title_of_many_labels_costs_one_pass() {
        let name = "GitHub ".repeat(50_000) + "owner/repo";
        assert_eq!(titled(&name), ("owner/repo".into(), false));
    }

    #[test]
    fn temporary_titles_are_cut_between_words() {
        assert_eq!(temporary("  hello\nworld "), "hello world");
        assert_eq!(
            temporary("Please compare the two price lists and more"),
            "Please compare the two price lists…"
        );
        assert_eq!(temporary(&"x".repeat(40)), format!("{}…", "x".repeat(36)));
        assert_eq!(temporary("请帮我清理三月份的销售数据表"), "请帮我清理三月份的销售数…");
        assert_eq!(temporary(""), "");
    }

    proptest! {
        #[test]
        fn never_panics(name in "\\PC{0,60}", label in "\\PC{0,12}") {
            let _ = temporary(&name);
            let _ = initial(&Given { name: Some(&name), source_id: Some("x"), group: Some(&label), source_name: Some(&label), external_trigger_id: None });
        }
    }
}
