//! Which models and degrees of thinking an executor offers. Pure but for reading Codex' own list.

use std::path::Path;

use remotelab_config::atomic;
use remotelab_protocol::tool::{RuntimeFamily, Tool};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

const CODEX_LEVELS: [&str; 4] = ["low", "medium", "high", "xhigh"];
const CODEX_LEVEL: &str = "medium";
/// A longer list of models is not Codex'; bytes.
const CODEX_LIST_BYTES: u64 = 4 << 20;

/// What an executor offers, as the wire shows it.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Offer {
    models: Vec<Model>,
    effort_levels: Option<Vec<String>>,
    default_model: Option<String>,
    reasoning: Value,
}

#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Model {
    id: String,
    label: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    default_effort: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    effort_levels: Option<Vec<String>>,
}

/// Returns what an executor offers; `None` stands for an unknown one. Blocks.
pub(crate) fn of(tool: Option<&Tool>, codex_home: &Path) -> Offer {
    match tool {
        Some(tool) if tool.builtin && tool.id == "codex" => {
            codex(&codex_list(&codex_home.join("models_cache.json")))
        }
        Some(tool) if tool.builtin && tool.id == "claude" => claude(),
        Some(tool) if !tool.builtin => custom(tool),
        _ => nothing(),
    }
}

fn codex_list(path: &Path) -> Vec<u8> {
    if std::fs::metadata(path).is_ok_and(|about| about.is_file() && about.len() <= CODEX_LIST_BYTES) {
        atomic::read(path).ok().flatten().unwrap_or_default()
    } else {
        Vec::new()
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct CodexList {
    models: Vec<Value>,
}

#[derive(Deserialize)]
struct CodexModel {
    slug: String,
    #[serde(default)]
    display_name: Option<String>,
    #[serde(default)]
    visibility: Option<String>,
    #[serde(default)]
    default_reasoning_level: Option<String>,
    #[serde(default)]
    supported_reasoning_levels: Vec<CodexLevel>,
}

#[derive(Deserialize)]
struct CodexLevel {
    effort: String,
}

/// Reads Codex' list; a model that cannot be read costs only itself.
fn codex(list: &[u8]) -> Offer {
    let list: CodexList = serde_json::from_slice(list).unwrap_or_default();
    let known = list.models.into_iter().filter_map(|model| serde_json::from_value(model).ok());
    let mut levels: Vec<String> = Vec::new();
    let models: Vec<Model> = known
        .filter(|model: &CodexModel| model.visibility.as_deref() == Some("list") && !model.slug.is_empty())
        .map(|model| {
            let efforts: Vec<String> =
                model.supported_reasoning_levels.into_iter().map(|level| level.effort).collect();
            for effort in &efforts {
                if !levels.contains(effort) {
                    levels.push(effort.clone());
                }
            }
            Model {
                label: model.display_name.unwrap_or_else(|| model.slug.clone()),
                id: model.slug,
                default_effort: Some(model.default_reasoning_level.unwrap_or_else(|| CODEX_LEVEL.to_owned())),
                effort_levels: Some(efforts),
            }
        })
        .collect();
    if levels.is_empty() {
        levels = CODEX_LEVELS.map(str::to_owned).to_vec();
    }
    let default = if levels.iter().any(|level| level == CODEX_LEVEL) { CODEX_LEVEL } else { &levels[0] };
    let reasoning = json!({"kind": "enum", "label": "Reasoning", "levels": levels, "default": default});
    Offer { models, effort_levels: Some(levels), default_model: None, reasoning }
}

fn claude() -> Offer {
    let alias = |id: &str, label: &str| Model { id: id.into(), label: label.into(), ..Model::default() };
    Offer {
        models: vec![alias("sonnet", "Sonnet"), alias("opus", "Opus"), alias("haiku", "Haiku")],
        reasoning: json!({"kind": "toggle", "label": "Thinking"}),
        ..Offer::default()
    }
}

fn custom(tool: &Tool) -> Offer {
    let Some(family) = tool.runtime_family else {
        return nothing();
    };
    let models: Vec<Model> = tool.models.iter().flatten().filter_map(custom_model).collect();
    let reasoning = tool.reasoning.clone().unwrap_or_else(|| match family {
        RuntimeFamily::CodexJson => {
            json!({"kind": "enum", "label": "Thinking", "levels": CODEX_LEVELS, "default": CODEX_LEVELS[0]})
        }
        RuntimeFamily::ClaudeStreamJson => json!({"kind": "toggle", "label": "Thinking"}),
    });
    let levels = reasoning.get("levels").and_then(Value::as_array).filter(|_| reasoning["kind"] == "enum");
    let effort_levels =
        levels.map(|levels| levels.iter().filter_map(Value::as_str).map(str::to_owned).collect());
    let default_model = models.first().map(|model| model.id.clone());
    Offer { models, effort_levels, default_model, reasoning }
}

fn custom_model(model: &Value) -> Option<Model> {
    let text = |key: &str| model.get(key).and_then(Value::as_str).map(str::to_owned);
    let id = text("id")?;
    Some(Model {
        label: text("label").unwrap_or_else(|| id.clone()),
        default_effort: text("defaultReasoning").or_else(|| text("defaultEffort")),
        id,
        effort_levels: None,
    })
}

fn nothing() -> Offer {
    Offer { reasoning: json!({"kind": "none", "label": "Thinking"}), ..Offer::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(offer: &Offer) -> Value {
        serde_json::to_value(offer).unwrap()
    }

    #[test]
    fn codex_offers_what_its_list_shows() {
        let list = json!({"fetched_at": "x", "models": [
            {"slug": "big", "display_name": "Big", "visibility": "list", "default_reasoning_level": "high",
             "supported_reasoning_levels": [{"effort": "medium", "description": "d"}, {"effort": "high"}]},
            {"slug": "small", "display_name": "Small", "visibility": "list",
             "supported_reasoning_levels": [{"effort": "low"}, {"effort": "medium"}]},
            {"slug": "secret", "visibility": "hide"},
            {"odd": true},
        ]});
        assert_eq!(
            shown(&codex(list.to_string().as_bytes())),
            json!({
                "models": [
                    {"id": "big", "label": "Big", "defaultEffort": "high", "effortLevels": ["medium", "high"]},
                    {"id": "small", "label": "Small", "defaultEffort": "medium", "effortLevels": ["low", "medium"]},
                ],
                "effortLevels": ["medium", "high", "low"],
                "defaultModel": null,
                "reasoning": {"kind": "enum", "label": "Reasoning", "levels": ["medium", "high", "low"], "default": "medium"},
            })
        );
    }

    #[test]
    fn codex_without_a_list_offers_levels_only() {
        let levels = json!(["low", "medium", "high", "xhigh"]);
        let expected = json!({"models": [], "effortLevels": levels, "defaultModel": null,
            "reasoning": {"kind": "enum", "label": "Reasoning", "levels": levels, "default": "medium"}});
        for list in ["", "{", "[]", r#"{"models":7}"#] {
            assert_eq!(shown(&codex(list.as_bytes())), expected, "{list}");
        }
    }

    proptest! {
        #[test]
        fn any_list_is_read_without_panic(text in "[\\[\\]{}:,\"a-z_0-9 ]{0,200}") {
            let _ = codex(text.as_bytes());
            let _ = codex(format!(r#"{{"models":[{text}]}}"#).as_bytes());
        }
    }
}
