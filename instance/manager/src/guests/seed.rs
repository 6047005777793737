//! What a new guest starts with: a note in its memory, the owner's public tools, a tool to begin with.

use serde_json::{Value, json};

/// Tools that are part of the product.
const BUILT_IN: [&str; 5] = ["codex", "claude", "copilot", "cline", "kilo-code"];

/// Writes the guest's first note.
pub(crate) fn bootstrap(name: &str, hostname: &str) -> String {
    let mut note = format!(
        "# Guest instance\n\n\
         - Instance: `{name}`\n\
         - Purpose: an isolated guest workspace on a shared machine.\n\
         - Boundary: login, memory, history, runs and sessions stay inside this instance.\n\
         - Default stance: it must work out of the box; assume nothing of the owner's memory or \
         configuration.\n"
    );
    if !hostname.is_empty() {
        note.push_str(&format!("- Public host name: `{hostname}`\n"));
    }
    note
}

/// What the owner has, as far as guests start from it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Owner {
    /// `tools.json`.
    pub(crate) tools: Value,
    /// `ui-runtime-selection.json`.
    pub(crate) selection: Value,
    /// The model of the `codex` configuration.
    pub(crate) codex_model: Option<String>,
    /// Whether `codex` is installed.
    pub(crate) has_codex: bool,
}

/// Picks the tools that may be copied: plain `codex` variants and micro-agents. Everything else may
/// name private programs or paths.
pub(crate) fn tools(owner: &Owner) -> Vec<Value> {
    let mut picked: Vec<Value> = Vec::new();
    for tool in owner.tools.as_array().into_iter().flatten() {
        let is_codex = tool["command"] == "codex" && tool["runtimeFamily"] == "codex-json";
        let is_micro_agent = tool["id"] == MICRO_AGENT || tool["toolProfile"] == MICRO_AGENT;
        let is_new = !picked.iter().any(|other| other["id"] == tool["id"]);
        if tool["id"].is_string() && (is_codex || is_micro_agent) && is_new {
            picked.push(tool.clone());
        }
    }
    picked
}

const MICRO_AGENT: &str = "micro-agent";

/// Chooses the tool, model and effort to begin with. `None` leaves the choice to the instance: the owner
/// has chosen nothing and `codex`, the usual beginning, is not installed.
pub(crate) fn selection(owner: &Owner, tools: &[Value], now: &str) -> Option<Value> {
    let listed = |id: &str| tools.iter().find(|tool| tool["id"] == id);
    let available = |id: &str| BUILT_IN.contains(&id) || listed(id).is_some();
    let chosen = owner.selection["selectedTool"].as_str().filter(|id| available(id));
    let id = match chosen {
        Some(id) => id,
        None if listed(MICRO_AGENT).is_some() => MICRO_AGENT,
        None if owner.has_codex => "codex",
        None => return None,
    };
    let mut candidate = if chosen.is_some() { owner.selection.clone() } else { Value::Null };
    if id == MICRO_AGENT && candidate.is_object() {
        // An effort that suits the owner's own micro-agent says nothing about the copy.
        candidate["selectedEffort"] = Value::Null;
    }
    Some(described(id, listed(id).unwrap_or(&Value::Null), &candidate, owner, now))
}

/// Chooses anew for a guest that has chosen before: its choice stays as far as its tools allow.
pub(crate) fn renewed_selection(owner: &Owner, own: &Value, tools: &[Value], now: &str) -> Option<Value> {
    let listed = |id: &str| tools.iter().find(|tool| tool["id"] == id);
    match own["selectedTool"].as_str().filter(|id| BUILT_IN.contains(id) || listed(id).is_some()) {
        Some(id) => Some(described(id, listed(id).unwrap_or(&Value::Null), own, owner, now)),
        None => selection(owner, tools, now),
    }
}

/// The guest's tools, with the owner's copies in place of those of their ids or behind them.
pub(crate) fn merged(own: &Value, copied: &[Value]) -> Vec<Value> {
    let mut all = own.as_array().cloned().unwrap_or_default();
    for tool in copied {
        match all.iter_mut().find(|other| other["id"] == tool["id"]) {
            Some(other) => other.clone_from(tool),
            None => all.push(tool.clone()),
        }
    }
    all
}

/// Whether two choices differ in nothing but their time.
pub(crate) fn is_same(a: &Value, b: &Value) -> bool {
    let timeless = |choice: &Value| {
        let mut choice = choice.clone();
        if let Some(choice) = choice.as_object_mut() {
            choice.shift_remove("updatedAt");
        }
        choice
    };
    timeless(a) == timeless(b)
}

fn described(id: &str, tool: &Value, candidate: &Value, owner: &Owner, now: &str) -> Value {
    let kind = reasoning_kind(id, tool);
    let model = model(id, tool, candidate, owner);
    let effort = match kind {
        "enum" => effort(tool, candidate, &model),
        _ => String::new(),
    };
    let thinking = kind == "toggle" && candidate["thinkingEnabled"] == true;
    json!({
        "selectedTool": id,
        "selectedModel": model,
        "selectedEffort": effort,
        "thinkingEnabled": thinking,
        "reasoningKind": kind,
        "updatedAt": now,
    })
}

fn reasoning_kind(id: &str, tool: &Value) -> &'static str {
    match tool["reasoning"]["kind"].as_str() {
        Some("enum") => return "enum",
        Some("toggle") => return "toggle",
        Some("none") => return "none",
        _ => {}
    }
    match (id, tool["runtimeFamily"].as_str()) {
        ("codex", _) | (_, Some("codex-json")) => "enum",
        ("claude", _) | (_, Some("claude-stream-json")) => "toggle",
        _ => "none",
    }
}

fn model(id: &str, tool: &Value, candidate: &Value, owner: &Owner) -> String {
    let listed: Vec<&str> = models(tool).filter_map(model_id).collect();
    let wanted = candidate["selectedModel"].as_str().filter(|model| !model.is_empty());
    match wanted.filter(|model| listed.is_empty() || listed.contains(model)) {
        Some(model) => model.to_owned(),
        None if id == "codex" && owner.codex_model.is_some() => owner.codex_model.clone().unwrap_or_default(),
        None => listed.first().copied().unwrap_or_default().to_owned(),
    }
}

fn effort(tool: &Value, candidate: &Value, model: &str) -> String {
    let levels: Vec<&str> =
        tool["reasoning"]["levels"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let allowed = |effort: &&str| !effort.is_empty() && (levels.is_empty() || levels.contains(effort));
    let of_model = models(tool)
        .find(|listed| model_id(listed) == Some(model))
        .and_then(|listed| listed["defaultReasoning"].as_str().or_else(|| listed["defaultEffort"].as_str()));
    candidate["selectedEffort"]
        .as_str()
        .filter(allowed)
        .or(of_model)
        .or(tool["reasoning"]["default"].as_str())
        .or(levels.first().copied())
        .unwrap_or_default()
        .to_owned()
}

fn models(tool: &Value) -> impl Iterator<Item = &Value> {
    tool["models"].as_array().into_iter().flatten()
}

fn model_id(model: &Value) -> Option<&str> {
    model.as_str().or_else(|| model["id"].as_str())
}

/// Finds the first `model = "…"` line of a `codex` configuration.
pub(crate) fn codex_model(config: &str) -> Option<String> {
    config.lines().find_map(|line| {
        let value = line.trim().strip_prefix("model")?.trim_start().strip_prefix('=')?;
        let model = value.trim().strip_prefix('"')?.split('"').next()?;
        (!model.is_empty()).then(|| model.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-03-26T14:56:25.198Z";

    fn chosen(owner: &Owner) -> Option<Value> {
        selection(owner, &tools(owner), NOW)
    }

    #[test]
    fn private_tools_are_not_copied() {
        let owner = Owner {
            tools: json!([
                {"id": "mine", "command": "/home/op/secret", "runtimeFamily": "codex-json"},
                {"id": "fast", "command": "codex", "runtimeFamily": "codex-json", "models": ["m1"]},
                {"id": "fast", "command": "codex", "runtimeFamily": "codex-json"},
                {"id": "micro-agent", "command": "x"},
                {"command": "codex", "runtimeFamily": "codex-json"},
                7
            ]),
            ..Owner::default()
        };
        let ids: Vec<Value> = tools(&owner).iter().map(|tool| tool["id"].clone()).collect();
        assert_eq!(ids, [json!("fast"), json!("micro-agent")]);
        assert_eq!(tools(&owner)[0]["models"], json!(["m1"]));
        assert!(tools(&Owner::default()).is_empty());
    }

    #[test]
    fn the_owners_choice_is_taken_where_the_guest_has_the_tool() {
        let owner = Owner {
            selection: json!({"selectedTool": "claude", "selectedModel": "opus",
                "selectedEffort": "high", "thinkingEnabled": true}),
            ..Owner::default()
        };
        assert_eq!(
            chosen(&owner).unwrap(),
            json!({"selectedTool": "claude", "selectedModel": "opus", "selectedEffort": "",
                "thinkingEnabled": true, "reasoningKind": "toggle", "updatedAt": NOW})
        );
    }

    #[test]
    fn otherwise_a_micro_agent_or_codex_begins() {
        let codex = Owner { has_codex: true, codex_model: Some("gpt-5.4".into()), ..Owner::default() };
        assert_eq!(
            chosen(&codex).unwrap(),
            json!({"selectedTool": "codex", "selectedModel": "gpt-5.4", "selectedEffort": "",
                "thinkingEnabled": false, "reasoningKind": "enum", "updatedAt": NOW})
        );
        let micro = Owner {
            selection: json!({"selectedTool": "private"}),
            tools: json!([{"id": "micro-agent", "models": [{"id": "gpt-5.4", "defaultReasoning": "medium"}],
                "reasoning": {"kind": "enum", "levels": ["low", "medium"]}}]),
            ..codex
        };
        let selection = chosen(&micro).unwrap();
        assert_eq!(selection["selectedTool"], "micro-agent");
        assert_eq!(selection["selectedModel"], "gpt-5.4");
        assert_eq!(selection["selectedEffort"], "medium");
        assert_eq!(chosen(&Owner::default()), None);
    }

    #[test]
    fn a_guests_own_choice_and_tools_stay() {
        let owner = Owner {
            tools: json!([{"id": "micro-agent", "command": "new"}, {"id": "x", "command": "/private"}]),
            selection: json!({"selectedTool": "claude"}),
            ..Owner::default()
        };
        let own = json!([{"id": "mine"}, {"id": "micro-agent", "command": "old"}]);
        let all = merged(&own, &tools(&owner));
        assert_eq!(all, [json!({"id": "mine"}), json!({"id": "micro-agent", "command": "new"})]);
        let mine = json!({"selectedTool": "mine", "selectedModel": "m", "updatedAt": "1"});
        assert_eq!(renewed_selection(&owner, &mine, &all, NOW).unwrap()["selectedTool"], "mine");
        let gone = json!({"selectedTool": "gone"});
        let chosen = renewed_selection(&owner, &gone, &all, NOW).unwrap();
        assert_eq!(chosen["selectedTool"], "claude");
        let again = renewed_selection(&owner, &chosen, &all, "later").unwrap();
        assert!(is_same(&chosen, &again) && chosen != again);
    }

    #[test]
    fn finds_the_model_of_codex() {
        let config = "# model = \"no\"\nmodel_provider = \"x\"\nmodel = \"gpt-5.4\"\n";
        assert_eq!(codex_model(config).as_deref(), Some("gpt-5.4"));
        assert_eq!(codex_model("model = gpt"), None);
    }

    #[test]
    fn the_note_names_the_guest() {
        assert!(bootstrap("trial1", "").contains("`trial1`"));
        assert!(!bootstrap("trial1", "").contains("host name"));
        assert!(bootstrap("trial1", "t.example.com").contains("`t.example.com`"));
    }
}
