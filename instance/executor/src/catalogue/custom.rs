//! The entries of `tools.json`.

use remotelab_protocol::tool::{RuntimeFamily, Tool};
use serde_json::{Map, Value, json};

use super::builtin;

const MICRO_AGENT: &str = "micro-agent";

/// Reads the file's entries. Returns those that can be used and a line about each that cannot.
pub(super) fn parse(bytes: &[u8]) -> (Vec<Tool>, Vec<String>) {
    let entries = match serde_json::from_slice(bytes) {
        Ok(Value::Array(entries)) => entries,
        Ok(_) => return (Vec::new(), vec!["the file is not a list".into()]),
        Err(error) => return (Vec::new(), vec![format!("the file is not JSON: {error}")]),
    };
    let (mut tools, mut problems) = (Vec::<Tool>::new(), Vec::new());
    for (index, entry) in entries.iter().enumerate() {
        match read_entry(entry) {
            Ok(tool) if is_taken(&tool.id, &tools) => {
                problems.push(format!("entry {index}: id {} is taken", tool.id));
            }
            Ok(tool) => tools.push(tool),
            Err(problem) => problems.push(format!("entry {index}: {problem}")),
        }
    }
    (tools, problems)
}

fn is_taken(id: &str, tools: &[Tool]) -> bool {
    builtin::is_id(id) || tools.iter().any(|tool| tool.id == id)
}

/// Reads one entry.
pub(super) fn read_entry(entry: &Value) -> Result<Tool, String> {
    let entry = entry.as_object().ok_or("not an object")?;
    let command = text(entry, "command").ok_or("no command")?;
    let id = text(entry, "id").filter(|id| is_id(id)).map_or_else(|| slug(command), str::to_owned);
    if id.is_empty() {
        return Err(format!("no id can be made of command {command}"));
    }
    let family = family(entry)?;
    let reasoning = reasoning(entry, family)?;
    let tool = Tool {
        name: text(entry, "name").unwrap_or(&id).to_owned(),
        id,
        command: command.to_owned(),
        runtime_family: family,
        visibility: text(entry, "visibility").filter(|&word| word == "private").map(str::to_owned),
        tool_profile: text(entry, "toolProfile").filter(|&word| word == MICRO_AGENT).map(str::to_owned),
        prompt_mode: text(entry, "promptMode").filter(|&word| word == "bare-user").map(str::to_owned),
        flatten_prompt: entry.get("flattenPrompt") == Some(&Value::Bool(true)),
        resumes: family.is_some() && entry.get("resumes") == Some(&Value::Bool(true)),
        models: family.map(|_| models(entry)),
        reasoning,
        builtin: false,
        available: false,
    };
    Ok(micro_agent(tool))
}

fn family(entry: &Map<String, Value>) -> Result<Option<RuntimeFamily>, String> {
    match entry.get("runtimeFamily") {
        None | Some(Value::Null) => Ok(None),
        Some(word) => serde_json::from_value(word.clone())
            .map(Some)
            .map_err(|_| format!("unknown runtimeFamily {word}")),
    }
}

/// Reads how thinking is set; an entry without a family has no say in it.
fn reasoning(entry: &Map<String, Value>, family: Option<RuntimeFamily>) -> Result<Option<Value>, String> {
    let Some(family) = family else {
        return Ok(None);
    };
    let Some(given) = entry.get("reasoning").filter(|value| !value.is_null()) else {
        return Ok(None);
    };
    let kind = given.get("kind").and_then(Value::as_str);
    match (family, kind) {
        (_, Some("none"))
        | (RuntimeFamily::CodexJson, Some("enum"))
        | (RuntimeFamily::ClaudeStreamJson, Some("toggle")) => Ok(Some(given.clone())),
        _ => Err(format!("reasoning {given} does not fit the runtimeFamily")),
    }
}

/// Reads the models: objects with an id, or plain ids; doubles are dropped.
fn models(entry: &Map<String, Value>) -> Vec<Value> {
    let mut models = Vec::<Value>::new();
    for given in entry.get("models").and_then(Value::as_array).into_iter().flatten() {
        let model = match given {
            Value::String(id) => json!({"id": id.trim(), "label": id.trim()}),
            other => other.clone(),
        };
        let id = model.get("id").and_then(Value::as_str).unwrap_or_default();
        let is_new = !models.iter().any(|known| known["id"] == id);
        if !id.trim().is_empty() && is_new {
            models.push(model);
        }
    }
    models
}

/// The small codex agent always thinks by degrees and never changes its prompt.
fn micro_agent(mut tool: Tool) -> Tool {
    let is_micro = tool.tool_profile.is_some()
        || tool.id == MICRO_AGENT
        || tool.name.eq_ignore_ascii_case("micro agent");
    if tool.runtime_family != Some(RuntimeFamily::CodexJson) || tool.command != "codex" || !is_micro {
        return tool;
    }
    tool.tool_profile = Some(MICRO_AGENT.into());
    tool.prompt_mode = None;
    tool.flatten_prompt = false;
    tool.reasoning = Some(json!({
        "kind": "enum",
        "label": "Reasoning",
        "levels": ["low", "medium", "high", "xhigh"],
        "default": "medium",
    }));
    for model in tool.models.iter_mut().flatten() {
        if let Value::Object(fields) = model {
            fields.insert("defaultReasoning".into(), "medium".into());
        }
    }
    tool
}

fn text<'a>(entry: &'a Map<String, Value>, key: &str) -> Option<&'a str> {
    let text = entry.get(key)?.as_str()?.trim();
    (!text.is_empty()).then_some(text)
}

/// Tells whether a text can be an id.
pub(super) fn is_id(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// Makes an id of a command: `/opt/My Agent` becomes `opt-my-agent`.
pub(super) fn slug(command: &str) -> String {
    let words: Vec<_> = command
        .to_lowercase()
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect();
    words.join("-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_what_the_existing_server_wrote() {
        let file = json!([
            {"id": "fake-codex", "name": "Fake Codex", "command": "fake-codex", "runtimeFamily": "codex-json",
             "models": [{"id": "fake-model", "label": "Fake model"}, "plain", "plain", {"label": "no id"}],
             "reasoning": {"kind": "enum", "levels": ["low"]}, "promptMode": "bare-user", "flattenPrompt": true},
            {"command": "/opt/My Agent", "visibility": "private", "models": ["x"], "reasoning": {"kind": "enum"}},
        ]);
        let (tools, problems) = parse(file.to_string().as_bytes());
        assert_eq!(problems, Vec::<String>::new());
        assert_eq!(
            tools,
            [
                Tool {
                    id: "fake-codex".into(),
                    name: "Fake Codex".into(),
                    command: "fake-codex".into(),
                    runtime_family: Some(RuntimeFamily::CodexJson),
                    models: Some(vec![
                        json!({"id": "fake-model", "label": "Fake model"}),
                        json!({"id": "plain", "label": "plain"}),
                    ]),
                    reasoning: Some(json!({"kind": "enum", "levels": ["low"]})),
                    prompt_mode: Some("bare-user".into()),
                    flatten_prompt: true,
                    ..Tool::default()
                },
                Tool {
                    id: "opt-my-agent".into(),
                    name: "opt-my-agent".into(),
                    command: "/opt/My Agent".into(),
                    visibility: Some("private".into()),
                    ..Tool::default()
                },
            ]
        );
    }

    #[test]
    fn bad_entries_are_named_and_skipped() {
        let file = json!([
            7,
            {"name": "no command"},
            {"command": "a", "runtimeFamily": "quantum"},
            {"command": "b", "runtimeFamily": "codex-json", "reasoning": {"kind": "toggle"}},
            {"id": "codex", "command": "mine"},
            {"command": "good"},
            {"id": "good", "command": "other"},
        ]);
        let (tools, problems) = parse(file.to_string().as_bytes());
        assert_eq!(tools.len(), 1);
        assert_eq!(
            problems,
            [
                "entry 0: not an object",
                "entry 1: no command",
                "entry 2: unknown runtimeFamily \"quantum\"",
                "entry 3: reasoning {\"kind\":\"toggle\"} does not fit the runtimeFamily",
                "entry 4: id codex is taken",
                "entry 6: id good is taken",
            ]
        );
    }

    #[test]
    fn a_micro_agent_thinks_by_degrees() {
        let file = json!([{"name": "Micro Agent", "id": "micro-agent", "command": "codex", "runtimeFamily": "codex-json",
            "promptMode": "bare-user", "models": ["m"]}]);
        let tool = parse(file.to_string().as_bytes()).0.remove(0);
        assert_eq!(tool.prompt_mode, None);
        assert_eq!(tool.tool_profile.as_deref(), Some("micro-agent"));
        assert_eq!(tool.reasoning.unwrap()["default"], "medium");
        assert_eq!(tool.models.unwrap()[0]["defaultReasoning"], "medium");
    }

    proptest! {
        #[test]
        fn any_file_is_read_without_panic(text in "[\\[\\]{}:,\"a-z0-9 ]{0,200}") {
            let _ = parse(text.as_bytes());
        }
    }
}
