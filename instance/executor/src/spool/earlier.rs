//! Lines of the earlier server: it kept what it read in a line, with each long text in an artefact of its own.

use serde_json::{Map, Value};

/// Where long texts stood, and by what names; `[]` is every entry of a list.
const PLACES: [(&[&str], &[&str]); 3] = [
    (&["item"], &["aggregated_output", "text", "command"]),
    (&["message", "content", "[]"], &["text", "thinking", "input", "content"]),
    (&["event", "delta"], &["thinking", "text"]),
];

/// Returns a line with its long texts in their places; `artifact` reads one. A line without any stays as it is.
pub(super) fn whole(
    line: String,
    mut json: Value,
    mut artifact: impl FnMut(&str) -> Option<String>,
) -> String {
    let mut restored = false;
    for (path, fields) in PLACES {
        each(&mut json, path, &mut |place| {
            for field in fields {
                restored |= restore(place, field, &mut artifact);
            }
        });
    }
    if restored { json.to_string() } else { line }
}

fn each(value: &mut Value, path: &[&str], found: &mut impl FnMut(&mut Map<String, Value>)) {
    match (path, value) {
        ([], Value::Object(place)) => found(place),
        (["[]", rest @ ..], Value::Array(list)) => list.iter_mut().for_each(|entry| each(entry, rest, found)),
        ([name, rest @ ..], Value::Object(place)) => {
            if let Some(inner) = place.get_mut(*name) {
                each(inner, rest, found);
            }
        }
        _ => {}
    }
}

/// Puts a text back; its preview stands in for one that is gone.
fn restore(
    place: &mut Map<String, Value>,
    field: &str,
    artifact: &mut impl FnMut(&str) -> Option<String>,
) -> bool {
    let name = place.get(&format!("{field}Artifact")).and_then(Value::as_str);
    let Some(text) = name.and_then(artifact) else {
        return false;
    };
    place.insert(field.to_owned(), text.into());
    place.remove(&format!("{field}Artifact"));
    place.remove(&format!("{field}Bytes"));
    true
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn long_texts_come_back_to_their_places() {
        let cases = [
            (
                json!({"item": {"type": "x", "aggregated_output": "a…", "aggregated_outputArtifact": "A", "aggregated_outputBytes": 9}}),
                json!({"item": {"type": "x", "aggregated_output": "whole A"}}),
            ),
            (
                json!({"message": {"content": [{"text": "b"}, {"input": "c…", "inputArtifact": "B"}]}}),
                json!({"message": {"content": [{"text": "b"}, {"input": "whole B"}]}}),
            ),
            (
                json!({"event": {"delta": {"thinking": "d…", "thinkingArtifact": "C"}}}),
                json!({"event": {"delta": {"thinking": "whole C"}}}),
            ),
        ];
        for (stored, expected) in cases {
            let line = whole("cut".into(), stored, |name| Some(format!("whole {name}")));
            assert_eq!(serde_json::from_str::<Value>(&line).unwrap(), expected);
        }
    }

    #[test]
    fn a_line_without_any_or_whose_text_is_gone_stays_as_it_is() {
        for stored in [
            json!({"item": {"text": "a"}, "textArtifact": "A"}),
            json!({"item": {"text": "a", "textArtifact": 7}}),
            json!({"item": {"text": "a", "textArtifact": "gone"}}),
            json!([1, {"message": {"content": "b"}}]),
            json!(null),
        ] {
            assert_eq!(whole("as it is".into(), stored, |_| None), "as it is");
        }
    }
}
