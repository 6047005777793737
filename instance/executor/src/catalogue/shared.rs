//! Tools that all instances of a machine share: folders with a card, `TOOL.md`.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use remotelab_config::{Env, InstancePaths, atomic, paths};
use remotelab_protocol::tool::{RuntimeFamily, Tool};
use serde_json::{Map, Value, json};

use super::custom;

const CARD: &str = "TOOL.md";
/// The most that is read of a card, in bytes.
const CARD_MAX: u64 = 256 << 10;
/// The most folders that are looked at.
const FOLDERS_MAX: usize = 500;
/// Kinds of overlay, in order of preference.
const OVERLAYS: [&str; 4] = ["yaml", "yml", "json", "md"];

/// What an executor that is a shared tool is told about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedTool {
    /// Its folder.
    pub folder: PathBuf,
    /// Its card, `TOOL.md`.
    pub card: PathBuf,
    /// This instance's own additions to it, where there are any.
    pub overlay: Option<PathBuf>,
}

/// Where shared tools and what this instance says about them are.
#[derive(Clone, Debug)]
pub(super) struct Places {
    tools: PathBuf,
    enabled: PathBuf,
    overlays: PathBuf,
}

/// What was found.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Found {
    pub(super) tools: Vec<(Tool, SharedTool)>,
    /// A line about each that cannot be used.
    pub(super) problems: Vec<String>,
}

impl Places {
    pub(super) fn new(env: &Env, instance: &InstancePaths, home: &Path) -> Self {
        let place =
            |key: &str, default: PathBuf| env.get(key).map_or(default, |text| paths::expand(text, home));
        Self {
            tools: place("REMOTELAB_SHARED_TOOLS_DIR", home.join(".remotelab/shared-tools")),
            enabled: place("REMOTELAB_TOOLS_ENABLED_FILE", instance.config().join("tools-enabled.md")),
            overlays: place("REMOTELAB_TOOL_OVERLAYS_DIR", instance.config().join("tool-overlays")),
        }
    }

    /// Reads the cards, in the order of their folders' names. An allow-list that cannot be read allows
    /// nothing.
    pub(super) fn find(&self) -> Found {
        let mut found = Found::default();
        let allowed = match atomic::read(&self.enabled) {
            Ok(list) => Allowed::parse(&String::from_utf8_lossy(&list.unwrap_or_default())),
            Err(error) => {
                found.problems.push(error.to_string());
                return found;
            }
        };
        for folder in self.folders() {
            let card = folder.join(CARD);
            match read_card(&card).map(|text| text.map(|text| read(&text, &folder))) {
                Ok(None) => {}
                Ok(Some(Ok(tool))) if allowed.has(&tool.id) => {
                    let overlay = self.overlay(&tool.id);
                    found.tools.push((tool, SharedTool { folder, card, overlay }));
                }
                Ok(Some(Ok(_))) => {}
                Ok(Some(Err(problem))) => found.problems.push(format!("{}: {problem}", card.display())),
                Err(error) => found.problems.push(format!("{}: {error}", card.display())),
            }
        }
        found
    }

    fn folders(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.tools).into_iter().flatten().flatten();
        let mut folders: Vec<_> = entries.map(|entry| entry.path()).take(FOLDERS_MAX).collect();
        folders.sort_unstable();
        folders
    }

    fn overlay(&self, id: &str) -> Option<PathBuf> {
        let mut candidates = OVERLAYS.iter().map(|kind| self.overlays.join(format!("{id}.{kind}")));
        candidates.find(|path| path.is_file())
    }
}

/// Which shared tools an instance has.
#[derive(Debug, PartialEq, Eq)]
enum Allowed {
    All,
    Only(Vec<String>),
}

impl Allowed {
    /// Reads the list items of a Markdown text: `- id`, with whatever explanation after it.
    fn parse(text: &str) -> Self {
        let items: Vec<String> = text.lines().filter_map(item).collect();
        if items.is_empty() || items.iter().any(|item| item == "*" || item.eq_ignore_ascii_case("all")) {
            Self::All
        } else {
            Self::Only(items)
        }
    }

    fn has(&self, id: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(ids) => ids.iter().any(|allowed| allowed == id),
        }
    }
}

fn item(line: &str) -> Option<String> {
    let rest = line.trim_start().strip_prefix(['-', '*', '+'])?;
    let word = rest.strip_prefix([' ', '\t'])?.split_whitespace().next()?;
    let id = word.trim_matches(['`', '"', '\'', ':', ',', ';']);
    (!id.is_empty()).then(|| id.to_owned())
}

/// Reads a card's text; `None` when the folder has none.
fn read_card(path: &Path) -> io::Result<Option<String>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.take(CARD_MAX).read_to_end(&mut bytes)?;
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

/// Reads a card: its front matter is an entry as in `tools.json`, the text below it may name the tool.
fn read(card: &str, folder: &Path) -> Result<Tool, String> {
    let (mut entry, body) = front_matter(card).ok_or("no front matter")?;
    let folder_name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let command = entry.get("command").and_then(Value::as_str).ok_or("no command")?.to_owned();
    if !entry.get("id").and_then(Value::as_str).is_some_and(custom::is_id) {
        entry.insert("id".into(), custom::slug(folder_name).into());
    }
    if !entry.contains_key("name") {
        let heading = body.lines().find_map(|line| line.strip_prefix("# ")).map(str::trim);
        entry.insert("name".into(), heading.filter(|text| !text.is_empty()).unwrap_or(folder_name).into());
    }
    if !entry.contains_key("runtimeFamily")
        && let Some(family) = inferred_family(&command)
    {
        entry.insert("runtimeFamily".into(), family.into());
    }
    if command.starts_with("./") || command.starts_with("../") {
        entry.insert("command".into(), folder.join(&command).display().to_string().into());
    }
    let mut tool = custom::read_entry(&Value::Object(entry))?;
    tool.reasoning = tool.reasoning.or_else(|| tool.runtime_family.map(reasoning));
    Ok(tool)
}

fn inferred_family(command: &str) -> Option<&'static str> {
    match Path::new(command).file_name()?.to_str()? {
        "codex" => Some("codex-json"),
        "claude" => Some("claude-stream-json"),
        _ => None,
    }
}

fn reasoning(family: RuntimeFamily) -> Value {
    match family {
        RuntimeFamily::CodexJson => json!({
            "kind": "enum",
            "label": "Thinking",
            "levels": ["low", "medium", "high", "xhigh"],
            "default": "low",
        }),
        RuntimeFamily::ClaudeStreamJson => json!({"kind": "toggle", "label": "Thinking"}),
    }
}

/// Splits a card at its `---` lines; values are plain, quoted, `true` or `false`.
fn front_matter(card: &str) -> Option<(Map<String, Value>, &str)> {
    let text = card.trim_start_matches('\u{feff}').trim_start();
    let text = text.strip_prefix("---")?;
    let (first, text) = text.split_once('\n')?;
    if !first.trim().is_empty() {
        return None;
    }
    let mut fields = Map::new();
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        at += line.len();
        if line.trim_end() == "---" {
            return Some((fields, &text[at..]));
        }
        if let Some((key, value)) = field(line) {
            fields.insert(key.to_owned(), value);
        }
    }
    None
}

fn field(line: &str) -> Option<(&str, Value)> {
    let (key, value) = line.trim().split_once(':')?;
    let (key, value) = (key.trim(), value.trim());
    if key.starts_with('#') || value.is_empty() {
        return None;
    }
    let quoted = |mark: char| value.strip_prefix(mark)?.strip_suffix(mark);
    Some((
        key,
        match (quoted('"').or_else(|| quoted('\'')), value) {
            (Some(text), _) => text.into(),
            (None, "true") => true.into(),
            (None, "false") => false.into(),
            (None, text) => text.into(),
        },
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn places(root: &Path) -> Places {
        Places {
            tools: root.join("tools"),
            enabled: root.join("enabled.md"),
            overlays: root.join("overlays"),
        }
    }

    fn share(root: &Path, name: &str, card: &str) -> PathBuf {
        let folder = root.join("tools").join(name);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(CARD), card).unwrap();
        folder
    }

    const REVIEW: &str = "---\nid: review-helper\ncommand: ./run-review\n---\n";

    #[test]
    fn cards_become_tools() {
        let root = tempfile::tempdir().unwrap();
        let folder = share(
            root.path(),
            "review",
            "---\nid: review-helper\ncommand: ./run-review\nruntimeFamily: codex-json\nvisibility: private\n\
             promptMode: 'bare-user'\nflattenPrompt: true\n# a remark: yes\n---\n\ntext\n# Review Helper\n# More\n",
        );
        share(root.path(), "My Tool", "---\ncommand: \"claude\"\n---\n");
        fs::create_dir_all(root.path().join("tools/no-card")).unwrap();
        fs::create_dir_all(root.path().join("overlays")).unwrap();
        fs::write(root.path().join("overlays/review-helper.md"), "be brief").unwrap();
        fs::write(root.path().join("overlays/review-helper.json"), "{}").unwrap();

        let found = places(root.path()).find();

        let mine = root.path().join("tools/My Tool");
        assert_eq!(found.problems, Vec::<String>::new());
        assert_eq!(
            found.tools,
            [
                (
                    Tool {
                        id: "my-tool".into(),
                        name: "My Tool".into(),
                        command: "claude".into(),
                        runtime_family: Some(RuntimeFamily::ClaudeStreamJson),
                        models: Some(Vec::new()),
                        reasoning: Some(json!({"kind": "toggle", "label": "Thinking"})),
                        ..Tool::default()
                    },
                    SharedTool { card: mine.join(CARD), folder: mine, overlay: None }
                ),
                (
                    Tool {
                        id: "review-helper".into(),
                        name: "Review Helper".into(),
                        command: folder.join("./run-review").display().to_string(),
                        runtime_family: Some(RuntimeFamily::CodexJson),
                        visibility: Some("private".into()),
                        prompt_mode: Some("bare-user".into()),
                        flatten_prompt: true,
                        models: Some(Vec::new()),
                        reasoning: Some(reasoning(RuntimeFamily::CodexJson)),
                        ..Tool::default()
                    },
                    SharedTool {
                        card: folder.join(CARD),
                        folder,
                        overlay: Some(root.path().join("overlays/review-helper.json")),
                    }
                ),
            ]
        );
    }

    #[test]
    fn an_instance_has_the_tools_that_its_list_names() {
        let root = tempfile::tempdir().unwrap();
        share(root.path(), "a", "---\ncommand: a\n---\n");
        share(root.path(), "b", "---\ncommand: b\n---\n");
        let enabled = |list: &str| {
            fs::write(root.path().join("enabled.md"), list).unwrap();
            let found = places(root.path()).find();
            found.tools.into_iter().map(|(tool, _)| tool.id).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(enabled("# Tools\n\n- `b` – the second\n"), "b");
        assert_eq!(enabled("* a\n* c\n"), "a");
        assert_eq!(enabled("- unknown\n"), "");
        for everything in ["", "# Tools\nnone listed\n", "- *\n", "- a\n- all\n"] {
            assert_eq!(enabled(everything), "a b", "{everything:?}");
        }

        fs::remove_file(root.path().join("enabled.md")).unwrap();
        fs::create_dir(root.path().join("enabled.md")).unwrap();
        let found = places(root.path()).find();
        assert_eq!((found.tools, found.problems.len()), (Vec::new(), 1));
    }

    #[test]
    fn bad_cards_are_named_and_skipped() {
        let root = tempfile::tempdir().unwrap();
        for (name, card) in [
            ("1", "# no front matter\n"),
            ("2", "---\ncommand: open\n"),
            ("3", "---\nname: x\n---\n"),
            ("4", "---\ncommand: x\nruntimeFamily: quantum\n---\n"),
            ("5", REVIEW),
        ] {
            share(root.path(), name, card);
        }
        let found = places(root.path()).find();
        let problem = |name: &str, text: &str| {
            format!("{}: {text}", root.path().join("tools").join(name).join(CARD).display())
        };
        assert_eq!(
            found.problems,
            [
                problem("1", "no front matter"),
                problem("2", "no front matter"),
                problem("3", "no command"),
                problem("4", "unknown runtimeFamily \"quantum\""),
            ]
        );
        assert_eq!(found.tools.len(), 1);
    }

    proptest! {
        #[test]
        fn any_card_is_read_without_panic(card in "(---\n)?[-a-z:#'\" \n]{0,120}(---\n)?\\PC{0,20}") {
            let _ = read(&card, Path::new("/tools/x"));
            let _ = Allowed::parse(&card);
        }
    }
}
