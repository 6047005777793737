//! Reading fields that may be absent or of another kind.

use serde_json::Value;

/// Returns a text that is not blank.
pub(super) fn text(value: &Value) -> Option<&str> {
    value.as_str().filter(|text| !text.trim().is_empty())
}

/// Writes what a tool was given: a text as it is, anything else as JSON that people can read.
pub(super) fn input(input: &Value) -> String {
    match input {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => format!("{other:#}"),
    }
}
