//! The task card: what a session is about, kept short enough to be told at every turn.

use serde_json::{Map, Value, json};

use crate::session::one_line;

const SUMMARY_CHARS: usize = 360;
const GOAL_CHARS: usize = 240;
const ITEM_CHARS: usize = 180;
const ITEMS: usize = 5;

/// The lists of a card, each with the other names under which executors write it.
const LISTS: &[(&str, &[&str])] = &[
    ("background", &["context"]),
    ("rawMaterials", &["materials", "raw_materials", "inputs"]),
    ("assumptions", &[]),
    ("knownConclusions", &["conclusions", "known_conclusions", "findings"]),
    ("reusablePatterns", &["patterns", "reusable_patterns"]),
    ("nextSteps", &["plan", "next_steps", "steps"]),
    ("memory", &["notes"]),
    ("needsFromUser", &["openQuestions", "open_questions", "questions", "needs_from_user"]),
];

/// Brings a card into the stored form; `None` when it says nothing.
#[must_use]
pub fn normalised(given: &Value) -> Option<Value> {
    let given = given.as_object()?;
    let text = |names: &[&str], max| {
        names.iter().find_map(|name| one_line(given.get(*name)?.as_str()?, max)).unwrap_or_default()
    };
    let summary = text(&["summary"], SUMMARY_CHARS);
    let goal = text(&["goal", "objective"], GOAL_CHARS);
    let lists: Vec<(&str, Vec<String>)> =
        LISTS.iter().map(|(name, aliases)| (*name, list(given, name, aliases))).collect();
    let count =
        |wanted: &str| lists.iter().find(|(name, _)| *name == wanted).map_or(0, |(_, list)| list.len());
    if summary.is_empty() && goal.is_empty() && lists.iter().all(|(_, list)| list.is_empty()) {
        return None;
    }
    let is_project = count("rawMaterials") >= 3 || count("nextSteps") >= 2 || count("background") >= 2;
    let mode = match given.get("mode").and_then(Value::as_str) {
        Some(mode @ ("task" | "project")) => mode,
        _ if is_project => "project",
        _ => "task",
    };
    let mut card = json!({"version": 1, "mode": mode, "summary": summary, "goal": goal});
    for (name, list) in lists {
        card[name] = list.into();
    }
    Some(card)
}

/// Returns the card of the last `<task_card>…</task_card>` in a text.
#[must_use]
pub fn in_text(text: &str) -> Option<Value> {
    let (_, rest) = text.rsplit_once("<task_card>")?;
    let (json, _) = rest.split_once("</task_card>")?;
    normalised(&serde_json::from_str(json.trim()).ok()?)
}

fn list(given: &Map<String, Value>, name: &str, aliases: &[&str]) -> Vec<String> {
    let names = std::iter::once(&name).chain(aliases);
    let items = names.filter_map(|name| given.get(*name)).find_map(|value| match value {
        Value::Array(items) => Some(items.clone()),
        Value::String(_) => Some(vec![value.clone()]),
        _ => None,
    });
    let mut kept: Vec<String> = Vec::new();
    for item in items.unwrap_or_default() {
        let Some(line) = item.as_str().and_then(|text| one_line(text, ITEM_CHARS)) else { continue };
        if kept.len() < ITEMS && !kept.contains(&line) {
            kept.push(line);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_card_is_brought_into_its_form() {
        let given = json!({"objective": " Clean  March ", "materials": ["a.csv", "a.csv", 3, "b.csv", "c.csv"],
            "plan": "export", "mode": "odyssey"});
        assert_eq!(
            normalised(&given).unwrap(),
            json!({"version": 1, "mode": "project", "summary": "", "goal": "Clean March", "background": [],
                "rawMaterials": ["a.csv", "b.csv", "c.csv"], "assumptions": [], "knownConclusions": [],
                "reusablePatterns": [], "nextSteps": ["export"], "memory": [], "needsFromUser": []})
        );
        assert_eq!(normalised(&json!({"summary": " ", "background": []})), None);
        assert_eq!(normalised(&json!(["summary"])), None);
    }

    #[test]
    fn an_answer_may_carry_a_card() {
        let text = "Done. <private><task_card>{\"goal\":\"x\"}</task_card></private>";
        assert_eq!(in_text(text).unwrap()["goal"], "x");
        assert_eq!(in_text("<task_card>{</task_card>"), None);
        assert_eq!(in_text("no card"), None);
    }

    proptest! {
        #[test]
        fn a_normal_card_stays_as_it_is(summary in "\\PC{0,400}", items in prop::collection::vec("\\PC{0,200}", 0..8)) {
            let given = json!({"summary": summary, "nextSteps": items});
            if let Some(card) = normalised(&given) {
                prop_assert_eq!(normalised(&card), Some(card.clone()));
                prop_assert!(card["nextSteps"].as_array().unwrap().len() <= ITEMS);
            }
        }
    }
}
