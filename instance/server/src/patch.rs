//! `PATCH /api/sessions/:id`: everything is checked before anything changes, and all of it changes at once.

use remotelab_protocol::session::{Session, one_line};
use remotelab_protocol::time;
use serde_json::{Map, Value};

use crate::clock::now_iso;
use crate::sessions::{DESCRIPTION_CHARS, GROUP_CHARS};

const AGREEMENTS: usize = 6;
const AGREEMENT_CHARS: usize = 240;

const STATES: &[(&str, &[&str])] = &[
    (
        "waiting_user",
        &["waiting_user", "waiting", "waiting_for_user", "waiting_on_user", "needs_user", "blocked_on_user"],
    ),
    ("done", &["done", "complete", "completed", "finished"]),
    ("parked", &["parked", "paused", "backlog", "todo", "deferred"]),
];

const PRIORITIES: &[(&str, &[&str])] = &[
    ("high", &["high", "urgent", "p1", "important"]),
    ("medium", &["medium", "normal", "p2", "default"]),
    ("low", &["low", "later", "p3", "minor"]),
];

/// A body's field has a value that it cannot have.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Invalid(&'static str);

/// Returns the session as the body wants it. Fields that the body does not name stay.
pub(crate) fn apply(session: &Session, body: &Map<String, Value>) -> Result<Session, Invalid> {
    let mut changed = session.clone();
    let mut touches = false;
    for (field, value) in body {
        touches |= set(&mut changed, field, value)?;
    }
    if touches && changed != *session {
        changed.updated_at = now_iso();
    }
    Ok(changed)
}

/// Sets one field; tells whether it counts for sorting.
fn set(session: &mut Session, field: &str, value: &Value) -> Result<bool, Invalid> {
    match field {
        "name" => {
            if let Some(name) = value.as_str().map(str::trim).filter(|name| !name.is_empty()) {
                session.name = name.to_owned();
                session.auto_rename_pending = false;
            }
        }
        "archived" => {
            let archived = value.as_bool().ok_or(Invalid("archived must be a boolean"))?;
            archive(session, archived);
            return Ok(false);
        }
        "pinned" => {
            let pinned = value.as_bool().ok_or(Invalid("pinned must be a boolean"))?;
            session.pinned = pinned && !session.archived;
        }
        "group" => session.group = line(value, GROUP_CHARS, "group must be a string or null")?,
        "description" => {
            session.description = line(value, DESCRIPTION_CHARS, "description must be a string or null")?;
        }
        "sidebarOrder" => session.sidebar_order = sidebar_order(value)?,
        "activeAgreements" => session.active_agreements = agreements(value)?,
        "workflowState" => {
            session.workflow_state =
                word(value, STATES, "workflowState must be parked, waiting_user, or done")?;
        }
        "workflowPriority" => {
            session.workflow_priority =
                word(value, PRIORITIES, "workflowPriority must be high, medium, or low")?;
        }
        "lastReviewedAt" => {
            session.last_reviewed_at = timestamp(value)?;
            return Ok(false);
        }
        "entryMode" => session.entry_mode = entry_mode(value)?,
        "tool" => {
            let tool = value.as_str().ok_or(Invalid("tool must be a string"))?.trim();
            if !tool.is_empty() {
                session.tool = tool.to_owned();
            }
        }
        "model" => {
            session.model = Some(value.as_str().ok_or(Invalid("model must be a string"))?.trim().to_owned());
        }
        "effort" => {
            session.effort =
                Some(value.as_str().ok_or(Invalid("effort must be a string"))?.trim().to_owned());
        }
        "thinking" => {
            session.thinking = Some(value.as_bool().ok_or(Invalid("thinking must be a boolean"))?);
        }
        _ => return Ok(false),
    }
    Ok(true)
}

fn archive(session: &mut Session, archived: bool) {
    if archived && !session.archived {
        session.archived_at = Some(now_iso());
        session.pinned = false;
    } else if !archived {
        session.archived_at = None;
    }
    session.archived = archived;
}

fn line(value: &Value, max_chars: usize, message: &'static str) -> Result<Option<String>, Invalid> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(one_line(text, max_chars)),
        _ => Err(Invalid(message)),
    }
}

fn sidebar_order(value: &Value) -> Result<Option<u64>, Invalid> {
    match value {
        Value::Null => Ok(None),
        _ => match value.as_u64() {
            Some(order) if order >= 1 => Ok(Some(order)),
            _ => Err(Invalid("sidebarOrder must be a positive integer or null")),
        },
    }
}

fn agreements(value: &Value) -> Result<Option<Vec<String>>, Invalid> {
    let items = match value {
        Value::Null => return Ok(None),
        Value::Array(items) => items,
        _ => {
            return Err(Invalid("activeAgreements must be an array of strings or null"));
        }
    };
    let mut kept: Vec<String> = Vec::new();
    for item in items {
        let text = item.as_str().ok_or(Invalid("activeAgreements must contain only strings"))?;
        let Some(text) = one_line(text, AGREEMENT_CHARS) else {
            continue;
        };
        let known = kept.iter().any(|other| other.to_lowercase() == text.to_lowercase());
        if !known && kept.len() < AGREEMENTS {
            kept.push(text);
        }
    }
    Ok(Some(kept).filter(|kept| !kept.is_empty()))
}

/// Returns the state that a word means.
pub(crate) fn state_word(text: &str) -> Option<String> {
    known(text, STATES)
}

/// Returns the priority that a word means.
pub(crate) fn priority_word(text: &str) -> Option<String> {
    known(text, PRIORITIES)
}

fn known(text: &str, words: &[(&str, &[&str])]) -> Option<String> {
    let text = text.trim().to_lowercase().replace([' ', '-'], "_");
    words.iter().find(|(_, synonyms)| synonyms.contains(&text.as_str())).map(|(word, _)| (*word).to_owned())
}

fn word(value: &Value, words: &[(&str, &[&str])], message: &'static str) -> Result<Option<String>, Invalid> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) if text.trim().is_empty() => Ok(None),
        Value::String(text) => known(text, words).map(Some).ok_or(Invalid(message)),
        _ => Err(Invalid(message)),
    }
}

fn timestamp(value: &Value) -> Result<Option<String>, Invalid> {
    let invalid = Invalid("lastReviewedAt must be a valid timestamp or null");
    match value {
        Value::Null => Ok(None),
        Value::String(text) => time::parse_iso(text).map(|at| Some(time::iso(at))).ok_or(invalid),
        Value::Number(number) => number.as_i64().map(|ms| Some(time::iso_from_ms(ms))).ok_or(invalid),
        _ => Err(invalid),
    }
}

fn entry_mode(value: &Value) -> Result<Option<String>, Invalid> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) if text == "resume" => Ok(None),
        Value::String(text) if text == "read" => Ok(Some(text.clone())),
        _ => Err(Invalid("entryMode must be read, resume, or null")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use remotelab_protocol::SessionId;
    use serde_json::json;

    fn session() -> Session {
        serde_json::from_value(json!({"id": SessionId::random(), "pinned": true, "updatedAt": "t"})).unwrap()
    }

    fn patched(body: Value) -> Result<Session, String> {
        apply(&session(), body.as_object().unwrap()).map_err(|error| error.to_string())
    }

    #[test]
    fn one_bad_field_changes_nothing_and_names_itself() {
        let cases = [
            (json!({"name": "x", "archived": 1}), "archived must be a boolean"),
            (json!({"pinned": "yes"}), "pinned must be a boolean"),
            (json!({"group": 1}), "group must be a string or null"),
            (json!({"sidebarOrder": 0}), "sidebarOrder must be a positive integer or null"),
            (json!({"activeAgreements": "x"}), "activeAgreements must be an array of strings or null"),
            (json!({"activeAgreements": [1]}), "activeAgreements must contain only strings"),
            (json!({"workflowState": "flying"}), "workflowState must be parked, waiting_user, or done"),
            (json!({"workflowPriority": 9}), "workflowPriority must be high, medium, or low"),
            (json!({"lastReviewedAt": "soon"}), "lastReviewedAt must be a valid timestamp or null"),
            (json!({"entryMode": "sideways"}), "entryMode must be read, resume, or null"),
            (json!({"tool": null}), "tool must be a string"),
            (json!({"thinking": "true"}), "thinking must be a boolean"),
        ];
        for (body, message) in cases {
            assert_eq!(patched(body).unwrap_err(), message);
        }
    }

    #[test]
    fn synonyms_and_limits() {
        let changed = patched(json!({
            "name": " new ", "workflowState": "waiting for user", "workflowPriority": "P1", "group": "  Sales   ops ",
            "activeAgreements": ["be brief", "Be  Brief", " "], "entryMode": "read", "model": ""
        }))
        .unwrap();
        assert_eq!((changed.name.as_str(), changed.auto_rename_pending), ("new", false));
        assert_eq!(changed.workflow_state.as_deref(), Some("waiting_user"));
        assert_eq!(changed.workflow_priority.as_deref(), Some("high"));
        assert_eq!(changed.group.as_deref(), Some("Sales ops"));
        assert_eq!(changed.active_agreements, Some(vec!["be brief".to_owned()]));
        assert_ne!(changed.updated_at, "t");
    }

    #[test]
    fn archiving_unpins_and_does_not_count_as_a_change_for_sorting() {
        let archived = patched(json!({"archived": true})).unwrap();
        assert!(archived.archived && !archived.pinned && archived.archived_at.is_some());
        assert_eq!(archived.updated_at, "t");
        let pinned = apply(&archived, json!({"pinned": true}).as_object().unwrap()).unwrap();
        assert!(!pinned.pinned);
    }
}
