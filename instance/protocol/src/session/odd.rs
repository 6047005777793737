//! Records in which a value is not what it should be, as other versions, other tools and people leave them:
//! one odd value must not hide a session.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{INVALID_FIELDS, Session};

impl Session {
    /// Understands a record. Values that cannot be understood are set aside in the field `invalidFields`, where
    /// a rewrite keeps them; what is left counts.
    ///
    /// # Errors
    /// When it tells of no session at all.
    pub fn of_record(record: Value) -> Result<Self, serde_json::Error> {
        let error = match Self::deserialize(&record) {
            Ok(session) => return Ok(session),
            Err(error) => error,
        };
        let Value::Object(fields) = record else {
            return Err(error);
        };
        let Some(id) = fields.get("id").cloned() else {
            return Err(error);
        };
        let (mut good, mut invalid) = (Map::new(), Map::new());
        for (key, value) in fields {
            let (kept, set_aside) = parted(value, &|value| is_good(&id, &key, value));
            good.extend(kept.map(|kept| (key.clone(), kept)));
            invalid.extend(set_aside.map(|value| (key, value)));
        }
        let mut session = Self::deserialize(Value::Object(good))?;
        if !invalid.is_empty() {
            if let Some(Value::Object(earlier)) = session.rest.remove(INVALID_FIELDS) {
                earlier.into_iter().for_each(|(key, value)| {
                    invalid.entry(key).or_insert(value);
                });
            }
            session.rest.insert(INVALID_FIELDS.to_owned(), Value::Object(invalid));
        }
        Ok(session)
    }
}

fn is_good(id: &Value, key: &str, value: &Value) -> bool {
    Session::deserialize(json!({"id": id, key: value})).is_ok()
}

/// Parts a value into what is good and what is not; of lists and objects entry by entry. Null is no value.
fn parted(value: Value, is_good: &dyn Fn(&Value) -> bool) -> (Option<Value>, Option<Value>) {
    if is_good(&value) {
        return (Some(value), None);
    }
    match value {
        Value::Null => (None, None),
        Value::Array(entries) if is_good(&json!([])) => {
            let (good, bad) = entries.into_iter().partition(|entry| is_good(&json!([entry])));
            (Some(Value::Array(good)), Some(Value::Array(bad)))
        }
        Value::Object(entries) if is_good(&json!({})) => {
            let (good, bad) = entries.into_iter().partition(|(key, entry)| is_good(&json!({key: entry})));
            (Some(Value::Object(good)), Some(Value::Object(bad)))
        }
        value => (None, Some(value)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ID: &str = "12d04b72795d9cef53d6aa1749cb0af7";

    #[test]
    fn an_odd_value_is_set_aside_and_the_rest_counts() {
        let waits = json!({"requestId": "q-1", "text": "x", "queuedAt": "t", "images": []});
        let record = json!({"id": ID, "name": "March", "pinned": null, "sidebarOrder": "3", "archived": 1,
            "followUpQueue": [waits, 7], "resumePoints": {"codex": {"id": "a", "throughSeq": 3}, "claude": null},
            "novel": {"a": 1}, "invalidFields": {"thinking": "yes"}});
        let session = Session::of_record(record).unwrap();
        assert_eq!((session.name.as_str(), session.pinned, session.archived), ("March", false, false));
        assert_eq!((session.follow_up_queue.len(), session.resume_points.len()), (1, 1));
        assert_eq!(
            Value::Object(session.rest),
            json!({"novel": {"a": 1}, "invalidFields": {"sidebarOrder": "3", "archived": 1, "followUpQueue": [7],
                "resumePoints": {"claude": null}, "thinking": "yes"}})
        );
    }

    #[test]
    fn without_an_id_there_is_no_session() {
        for record in [json!(null), json!("no session"), json!([ID]), json!({}), json!({"id": "../x"})] {
            assert!(Session::of_record(record.clone()).is_err(), "{record}");
        }
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<i32>().prop_map(|half| Value::from(f64::from(half) / 2.0)),
            "[a-z]{0,5}".prop_map(Value::from),
        ];
        leaf.prop_recursive(2, 8, 4, |inner| {
            let list = proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from);
            let object = proptest::collection::btree_map("[a-z]{1,5}", inner, 0..4);
            prop_oneof![list, object.prop_map(|object| Value::Object(object.into_iter().collect()))]
        })
    }

    /// The fields that this version knows, with good values.
    fn good() -> Map<String, Value> {
        let good = json!({"folder": "/srv", "tool": "codex", "sourceId": "chat", "sourceName": "Chat", "name": "n",
            "autoRenamePending": true, "created": "c", "updatedAt": "u", "group": "g", "description": "d",
            "systemPrompt": "s", "externalTriggerId": "e", "internalRole": "r", "model": "m", "effort": "e",
            "thinking": true, "pinned": true, "sidebarOrder": 3, "archived": true, "archivedAt": "a",
            "entryMode": "read", "lastReviewedAt": "l", "workflowState": "done", "workflowPriority": "low",
            "activeAgreements": ["a"], "completionTargets": [{}], "claudeSessionId": "c", "codexThreadId": "t",
            "sourceContext": {"a": 1}, "activeRunId": "run_a10872fb60d7ace1a4c1225d", "lastRunState": "failed",
            "recentFollowUpRequestIds": ["q"], "contextTokens": 1, "contextWindowTokens": 2, "renameError": "e",
            "runsWithResults": ["run_a10872fb60d7ace1a4c1225d"], "novel": 1});
        let Value::Object(good) = good else { unreachable!("it is written so") };
        good
    }

    proptest! {
        /// Whatever a field holds, the session is there with all its other fields, and can be written and read.
        #[test]
        fn no_value_hides_a_session(at in any::<proptest::sample::Index>(), odd in any_value()) {
            let keys: Vec<String> = good().keys().cloned().collect();
            let key = at.get(&keys);
            let mut record = good();
            record.insert("id".into(), ID.into());
            let whole = Session::of_record(Value::Object(record.clone())).unwrap();
            record.insert(key.clone(), odd);
            let session = Session::of_record(Value::Object(record)).unwrap();

            let others = |session: &Session| {
                let Ok(Value::Object(mut fields)) = serde_json::to_value(session) else { unreachable!("an object") };
                fields.remove(INVALID_FIELDS);
                fields.remove(key);
                fields
            };
            prop_assert_eq!(others(&session), others(&whole));
            let text = serde_json::to_string(&session).unwrap();
            prop_assert_eq!(serde_json::from_str::<Session>(&text).unwrap(), session);
        }
    }
}
