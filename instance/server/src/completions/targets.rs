//! Targets as connectors give them.

use serde_json::{Value, json};

/// How many may wait in a session.
const MOST: usize = 200;
/// How large one may be, in bytes.
const LARGEST: usize = 16 << 10;

/// What a target holds beside its id, its type and whether it counts.
const TEXTS: [&str; 8] =
    ["requestId", "to", "from", "subject", "inReplyTo", "references", "mailboxRoot", "mailboxItemId"];

/// Reads a list of targets; what is none is dropped.
pub(crate) fn read(given: Option<&Value>) -> Vec<Value> {
    let items = given.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let is_one = |item: &&Value| {
        (text(item, "type") == "email" || text(item, "kind") == "email") && !text(item, "to").is_empty()
    };
    let targets = items.iter().filter(is_one).enumerate().map(|(index, item)| target(index, item));
    targets.filter(|target| target.to_string().len() <= LARGEST).take(MOST).collect()
}

/// As [`read`], for those that come with a message: they are for its answer.
pub(crate) fn of_message(given: Option<&Value>, request_id: &str) -> Vec<Value> {
    let mut targets = read(given);
    for target in &mut targets {
        target["requestId"] = request_id.into();
    }
    targets
}

/// Adds a target, in place of an earlier one of the same request and id.
pub(super) fn merge(list: &mut Vec<Value>, target: Value) {
    let is_it = |known: &Value| (request_of(known), id_of(known)) == (request_of(&target), id_of(&target));
    if let Some(known) = list.iter_mut().find(|known| is_it(known)) {
        *known = target;
        return;
    }
    list.push(target);
    if list.len() > MOST {
        tracing::warn!("more than {MOST} targets wait in a session: the oldest is dropped");
        list.remove(0);
    }
}

pub(super) fn id_of(target: &Value) -> &str {
    target["id"].as_str().unwrap_or_default()
}

pub(super) fn request_of(target: &Value) -> &str {
    target["requestId"].as_str().unwrap_or_default()
}

pub(super) fn is_enabled(target: &Value) -> bool {
    target["enabled"] != false
}

fn target(index: usize, item: &Value) -> Value {
    let id = text(item, "id");
    let id = if id.is_empty() { format!("email_target_{}", index + 1) } else { id };
    let enabled = item.get("enabled").and_then(Value::as_bool).unwrap_or(true);
    let mut target = json!({"id": id, "type": "email", "enabled": enabled});
    for key in TEXTS {
        target[key] = text(item, key).into();
    }
    target
}

fn text(item: &Value, key: &str) -> String {
    item.get(key).and_then(Value::as_str).unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_target_is_dropped() {
        let given = json!([{"type": "email"}, {"to": "a@b.c"}, 7, {"kind": "email", "to": " a@b.c ", "x": 1},
            {"type": "email", "to": "b@b.c", "id": "own", "enabled": false, "requestId": "r"},
            {"type": "email", "to": "c@b.c", "subject": "x".repeat(LARGEST)}]);
        let read = read(Some(&given));
        let told: Vec<Value> =
            read.iter().map(|target| json!([target["id"], target["to"], target["enabled"]])).collect();
        assert_eq!(told, [json!(["email_target_1", "a@b.c", true]), json!(["own", "b@b.c", false])]);
        assert_eq!(request_of(&of_message(Some(&given), "m")[1]), "m");
        assert!(super::read(Some(&json!("x"))).is_empty() && super::read(None).is_empty());
    }

    #[test]
    fn one_for_a_request_and_an_id_and_not_too_many() {
        let target =
            |request: usize, to: &str| json!({"id": "t", "requestId": request.to_string(), "to": to});
        let mut list = Vec::new();
        for request in 0..MOST {
            merge(&mut list, target(request, "a"));
        }
        merge(&mut list, target(7, "b"));
        assert_eq!((list.len(), list[7].clone()), (MOST, target(7, "b")));
        merge(&mut list, target(MOST, "a"));
        assert_eq!((list.len(), request_of(&list[0])), (MOST, "1"));
    }
}
