//! The shapes of what goes over the wire. Objects may have fields that are not named here.

use serde_json::{Map, Value, json};

/// Returns the media type and the schema of an answer; `None` when there is nothing to say about it.
pub(super) fn content(name: &str) -> Option<(&'static str, Value)> {
    match name {
        "" => None,
        "Stream" => Some(("text/event-stream", json!({"type": "string"}))),
        name => Some(("application/json", reference(name))),
    }
}

/// All named schemas. A field that ends with `?` may be absent or null.
pub(super) fn all() -> Value {
    let schemas = [
        ("Any", object(&[])),
        ("Error", object(&[("error", "string")])),
        (
            "Session",
            object(&[
                ("id", "string"),
                ("name", "string"),
                ("folder", "string"),
                ("tool", "string"),
                ("sourceId", "string"),
                ("sourceName", "string"),
                ("created", "string"),
                ("updatedAt", "string"),
                ("latestSeq", "integer"),
                ("messageCount", "integer"),
                ("activity", "Any"),
                ("group?", "string"),
                ("description?", "string"),
                ("systemPrompt?", "string"),
                ("externalTriggerId?", "string"),
                ("pinned?", "boolean"),
                ("archived?", "boolean"),
                ("lastRunState?", "string"),
            ]),
        ),
        ("SessionAnswer", object(&[("session", "Session")])),
        (
            "SessionList",
            object(&[
                ("sessions?", "Session[]"),
                ("sessionRefs?", "Any[]"),
                ("archivedCount", "integer"),
                ("hasMore?", "boolean"),
                ("nextCursor?", "string"),
            ]),
        ),
        (
            "CreateSession",
            object(&[
                ("folder", "string"),
                ("tool", "string"),
                ("name?", "string"),
                ("externalTriggerId?", "string"),
                ("sourceId?", "string"),
                ("sourceName?", "string"),
                ("group?", "string"),
                ("description?", "string"),
                ("systemPrompt?", "string"),
                ("sourceContext?", "Any"),
                ("completionTargets?", "Any[]"),
            ]),
        ),
        (
            "Delegate",
            object(&[
                ("task", "string"),
                ("requestId?", "string"),
                ("name?", "string"),
                ("tool?", "string"),
                ("model?", "string"),
                ("effort?", "string"),
                ("folder?", "string"),
                ("internal?", "boolean"),
            ]),
        ),
        ("Delegated", object(&[("session", "Session"), ("run?", "Run")])),
        (
            "PostMessage",
            object(&[
                ("text", "string"),
                ("requestId?", "string"),
                ("tool?", "string"),
                ("model?", "string"),
                ("effort?", "string"),
                ("thinking?", "boolean"),
                ("sourceContext?", "Any"),
                ("attachments?", "Any[]"),
                ("completionTargets?", "Any[]"),
            ]),
        ),
        (
            "MessageAccepted",
            object(&[
                ("requestId", "string"),
                ("duplicate", "boolean"),
                ("queued", "boolean"),
                ("run?", "Run"),
                ("session", "Session"),
            ]),
        ),
        (
            "Run",
            object(&[
                ("id", "string"),
                ("sessionId", "string"),
                ("requestId", "string"),
                ("state", "string"),
                ("tool", "string"),
                ("model?", "string"),
                ("effort?", "string"),
                ("thinking", "boolean"),
                ("createdAt", "string"),
                ("startedAt?", "string"),
                ("updatedAt", "string"),
                ("completedAt?", "string"),
                ("finalizedAt?", "string"),
                ("cancelRequested", "boolean"),
                ("result?", "Any"),
                ("failureReason?", "string"),
                ("firstSeq?", "integer"),
            ]),
        ),
        ("RunAnswer", object(&[("run", "Run")])),
        (
            "RunList",
            object(&[
                ("requestId?", "string"),
                ("runs", "Run[]"),
                ("hasMore", "boolean"),
                ("nextCursor?", "string"),
            ]),
        ),
        (
            "Reply",
            object(&[
                ("runId", "string"),
                ("state", "string"),
                ("reply?", "string"),
                ("replySeq?", "integer"),
                ("attachments", "Any[]"),
                ("requestIds", "string[]"),
                ("settledRunId?", "string"),
            ]),
        ),
        ("PromptBlock", object(&[("name", "string"), ("text", "string"), ("bytes", "integer")])),
        (
            "Prompt",
            object(&[
                ("runId", "string"),
                ("text", "string"),
                ("bytes", "integer"),
                ("blocks", "PromptBlock[]"),
            ]),
        ),
        ("PromptAnswer", object(&[("prompt", "Prompt")])),
        (
            "Event",
            object(&[
                ("type", "string"),
                ("id?", "string"),
                ("seq", "integer"),
                ("timestamp?", "integer"),
                ("role?", "string"),
                ("runId?", "string"),
                ("requestId?", "string"),
                ("content?", "string"),
                ("attachments?", "Any[]"),
            ]),
        ),
        (
            "EventList",
            object(&[
                ("sessionId", "string"),
                ("filter?", "string"),
                ("events", "Event[]"),
                ("latestSeq?", "integer"),
                ("hasMore?", "boolean"),
                ("nextCursor?", "integer"),
            ]),
        ),
        ("CreateWebhook", object(&[("url", "string"), ("events?", "string[]"), ("secret?", "string")])),
        (
            "Webhook",
            object(&[
                ("id", "string"),
                ("url", "string"),
                ("events", "string[]"),
                ("createdAt", "string"),
                ("secret?", "string"),
                ("waiting?", "integer"),
                ("lastError?", "string"),
            ]),
        ),
        ("WebhookAnswer", object(&[("webhook", "Webhook")])),
        ("WebhookList", object(&[("webhooks", "Webhook[]")])),
        (
            "Completion",
            object(&[
                ("id", "string"),
                ("runId", "string"),
                ("sessionId", "string"),
                ("createdAt", "string"),
                ("taken", "boolean"),
                ("target", "Any"),
                ("state", "string"),
                ("failureReason?", "string"),
                ("reply?", "string"),
                ("replyTruncated", "boolean"),
                ("attachments", "Any[]"),
                ("requestIds", "string[]"),
                ("settledRunId", "string"),
            ]),
        ),
        (
            "CompletionList",
            object(&[("completions", "Completion[]"), ("hasMore", "boolean"), ("nextCursor?", "string")]),
        ),
        ("CompletionReport", object(&[("state", "string"), ("delivery?", "Any"), ("lastError?", "string")])),
        ("CompletionState", object(&[("id", "string"), ("completion", "Any")])),
    ];
    Value::Object(schemas.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect())
}

fn object(fields: &[(&str, &str)]) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for (name, kind) in fields {
        let plain = name.trim_end_matches('?');
        if plain == *name {
            required.push(plain);
        }
        properties.insert(plain.to_owned(), of_kind(kind, plain != *name));
    }
    json!({"type": "object", "properties": properties, "required": required})
}

fn of_kind(kind: &str, nullable: bool) -> Value {
    if let Some(item) = kind.strip_suffix("[]") {
        return json!({"type": "array", "items": of_kind(item, false)});
    }
    match kind {
        "string" | "integer" | "boolean" if nullable => json!({"type": [kind, "null"]}),
        "string" | "integer" | "boolean" => json!({"type": kind}),
        name if nullable => json!({"anyOf": [reference(name), {"type": "null"}]}),
        name => reference(name),
    }
}

fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}
