//! Adding an executor to `tools.json`, or changing it. Rows and fields that are not ours stay as they are.

use std::sync::{Mutex, PoisonError};

use remotelab_config::{InstancePaths, atomic};
use remotelab_protocol::tool::{RuntimeFamily, Tool};
use serde::Deserialize;
use serde_json::{Map, Value, json};

const SHELL_CHARACTERS: &[char] =
    &[';', '|', '&', '$', '`', '\\', '(', ')', '{', '}', '<', '>', '\n', '\r', '\0'];
const CODEX_LEVELS: [&str; 4] = ["low", "medium", "high", "xhigh"];

/// Why an executor was not saved.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("Invalid command: must not contain shell metacharacters")]
    Command,
    #[error("runtimeFamily must be one of: claude-stream-json, codex-json")]
    Family,
    #[error("Command \"{command}\" is already handled by builtin tool \"{id}\"")]
    Builtin { command: String, id: String },
    #[error("Reasoning kind \"{kind}\" is not supported by {family}")]
    Kind { kind: String, family: &'static str },
    #[error("Reasoning levels are required for enum reasoning")]
    Levels,
    #[error("tools.json is not a list; repair it or move it away, then save again")]
    Damaged,
    #[error("the executor cannot be stored at the moment")]
    File(#[from] atomic::Error),
}

/// An executor as somebody asks for it.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Wanted {
    name: Option<String>,
    command: String,
    runtime_family: Value,
    models: Option<Vec<Value>>,
    reasoning: Option<Map<String, Value>>,
}

/// Writes an executor into `tools.json` and returns its id. `known` are the tools that there are. Blocks.
pub(crate) fn save(paths: &InstancePaths, known: &[Tool], wanted: &Wanted) -> Result<String, Error> {
    static WRITING: Mutex<()> = Mutex::new(());
    let row = row(wanted, known)?;
    // The file is read, changed and replaced; two at once would lose one of the changes.
    let _writing = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
    let bytes = atomic::read(&paths.tools())?.unwrap_or_else(|| b"[]".to_vec());
    let mut rows: Vec<Value> = serde_json::from_slice(&bytes).map_err(|_| Error::Damaged)?;
    let id = upsert(&mut rows, row, known);
    atomic::write_json(&paths.tools(), &rows)?;
    Ok(id)
}

/// Checks what is wanted and makes it a row of the file, without an id.
fn row(wanted: &Wanted, known: &[Tool]) -> Result<Map<String, Value>, Error> {
    let command = wanted.command.trim();
    if command.is_empty() || command.contains(SHELL_CHARACTERS) {
        return Err(Error::Command);
    }
    let family: RuntimeFamily =
        serde_json::from_value(wanted.runtime_family.clone()).map_err(|_| Error::Family)?;
    if let Some(tool) = known.iter().find(|tool| tool.builtin && tool.command == command) {
        return Err(Error::Builtin { command: command.to_owned(), id: tool.id.clone() });
    }
    let mut row = Map::new();
    if let Some(name) = wanted.name.as_deref().map(str::trim).filter(|name| !name.is_empty()) {
        row.insert("name".into(), name.into());
    }
    row.insert("command".into(), command.into());
    row.insert("runtimeFamily".into(), json!(family));
    row.insert("models".into(), models(wanted.models.as_deref().unwrap_or_default()).into());
    row.insert("reasoning".into(), reasoning(wanted.reasoning.as_ref(), family)?);
    Ok(row)
}

fn models(given: &[Value]) -> Vec<Value> {
    let mut models: Vec<Value> = Vec::new();
    for model in given {
        let text =
            |key: &str| model.get(key).and_then(Value::as_str).map(str::trim).filter(|t| !t.is_empty());
        let Some(id) = model.as_str().map(str::trim).filter(|id| !id.is_empty()).or_else(|| text("id"))
        else {
            continue;
        };
        if models.iter().any(|known| known["id"] == id) {
            continue;
        }
        let mut kept = json!({"id": id, "label": text("label").unwrap_or(id)});
        if let Some(level) = text("defaultReasoning").or_else(|| text("defaultEffort")) {
            kept["defaultReasoning"] = level.into();
        }
        models.push(kept);
    }
    models
}

fn reasoning(given: Option<&Map<String, Value>>, family: RuntimeFamily) -> Result<Value, Error> {
    let (usual, family) = match family {
        RuntimeFamily::CodexJson => ("enum", "codex-json"),
        RuntimeFamily::ClaudeStreamJson => ("toggle", "claude-stream-json"),
    };
    let text = |key: &str| given?.get(key)?.as_str().map(str::trim).filter(|text| !text.is_empty());
    let kind = text("kind").unwrap_or(usual);
    if kind != usual && kind != "none" {
        return Err(Error::Kind { kind: kind.to_owned(), family });
    }
    let mut reasoning = json!({"kind": kind, "label": text("label").unwrap_or("Thinking")});
    if kind == "enum" {
        let levels: Vec<&str> = match given {
            None => CODEX_LEVELS.to_vec(),
            Some(given) => {
                let levels = given.get("levels").and_then(Value::as_array).into_iter().flatten();
                levels.filter_map(Value::as_str).map(str::trim).filter(|level| !level.is_empty()).collect()
            }
        };
        let first = *levels.first().ok_or(Error::Levels)?;
        let default = text("default").filter(|default| levels.contains(default)).unwrap_or(first);
        reasoning["levels"] = json!(levels);
        reasoning["default"] = default.into();
    }
    Ok(reasoning)
}

/// Changes the row of the same command, or adds one under a free id. Returns the id.
fn upsert(rows: &mut Vec<Value>, wanted: Map<String, Value>, known: &[Tool]) -> String {
    let command = wanted["command"].as_str().unwrap_or_default().to_owned();
    let same = |row: &&mut Value| row["command"].as_str().map(str::trim) == Some(command.as_str());
    let existing = rows.iter_mut().find(same).and_then(Value::as_object_mut);
    // A row that the catalogue passes over, as its id is taken, needs a new id.
    let in_use = known.iter().find(|tool| !tool.builtin && tool.command == command).map(|tool| &tool.id);
    if let Some(row) = existing {
        row.extend(wanted);
        if let Some(id) = in_use {
            row.insert("id".into(), id.as_str().into());
            return id.clone();
        }
        let id = row.get("id").and_then(Value::as_str).map(str::to_owned);
        let free = |id: &String| is_id(id) && !known.iter().any(|tool| tool.id == *id);
        let id = id.filter(free).unwrap_or_else(|| free_id(&command, known, &[]));
        row.insert("id".into(), id.as_str().into());
        return id;
    }
    let id = free_id(&command, known, rows);
    let mut row = Map::from_iter([("id".to_owned(), Value::from(id.as_str()))]);
    row.extend(wanted);
    rows.push(Value::Object(row));
    id
}

fn free_id(command: &str, known: &[Tool], rows: &[Value]) -> String {
    let words: Vec<&str> = command.split(|c: char| !c.is_ascii_alphanumeric()).collect();
    let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
    let slug = if words.is_empty() { "tool".to_owned() } else { words.join("-").to_lowercase() };
    let taken = |id: &str| known.iter().any(|tool| tool.id == id) || rows.iter().any(|row| row["id"] == id);
    let numbered = (2..).map(|number| format!("{slug}-{number}"));
    std::iter::once(slug.clone()).chain(numbered).find(|id| !taken(id)).unwrap_or(slug)
}

fn is_id(id: &str) -> bool {
    !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(body: Value) -> Wanted {
        serde_json::from_value(body).unwrap()
    }

    #[test]
    fn a_new_executor_gets_a_free_id_and_a_known_one_keeps_its_other_fields() {
        let root = tempfile::tempdir().unwrap();
        let paths = InstancePaths::below(root.path());
        atomic::create_private_dir(paths.config()).unwrap();
        let mine = json!({"id": "mine", "command": "/opt/My Agent", "promptMode": "bare-user", "later": [1]});
        atomic::write_json(&paths.tools(), &json!([mine, 7, {"id": "opt-b", "command": "b"}])).unwrap();
        let body = |command: &str| {
            wanted(json!({"command": command, "runtimeFamily": "codex-json",
                "models": ["m", {"id": "n", "defaultEffort": "high"}, "m"], "reasoning": {"levels": ["a", "b"]}}))
        };
        assert_eq!(save(&paths, &[], &body("/opt/My Agent")).unwrap(), "mine");
        assert_eq!(save(&paths, &[], &body("/opt/b")).unwrap(), "opt-b-2");
        assert_eq!(save(&paths, &[], &body("数据")).unwrap(), "tool");
        let rows: Value = atomic::read_json(&paths.tools()).unwrap().unwrap();
        let common = json!({"runtimeFamily": "codex-json",
            "models": [{"id": "m", "label": "m"}, {"id": "n", "label": "n", "defaultReasoning": "high"}],
            "reasoning": {"kind": "enum", "label": "Thinking", "levels": ["a", "b"], "default": "a"}});
        let with = |mut row: Value| {
            row.as_object_mut().unwrap().extend(common.as_object().unwrap().clone());
            row
        };
        let expected = json!([
            with(mine),
            7,
            {"id": "opt-b", "command": "b"},
            with(json!({"id": "opt-b-2", "command": "/opt/b"})),
            with(json!({"id": "tool", "command": "数据"})),
        ]);
        assert_eq!(rows, expected);
    }

    #[test]
    fn a_damaged_file_is_not_overwritten() {
        let root = tempfile::tempdir().unwrap();
        let paths = InstancePaths::below(root.path());
        atomic::create_private_dir(paths.config()).unwrap();
        std::fs::write(paths.tools(), "{ broken").unwrap();
        let refused = save(&paths, &[], &wanted(json!({"command": "x", "runtimeFamily": "codex-json"})));
        assert!(matches!(refused, Err(Error::Damaged)));
        assert_eq!(std::fs::read_to_string(paths.tools()).unwrap(), "{ broken");
    }
}
