//! Answers as they go over the wire, recorded so that a change of one shows:
//! `UPDATE_DOCUMENTS=1 cargo test -p remotelab-server` writes `docs/api-examples.json` anew.

use std::collections::BTreeMap;
use std::path::Path;

use remotelab_protocol::{AssetId, RunId, SessionId, time};
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::world::{ECHO, World};

/// Begins when it is let, so that nothing has happened yet when a message is answered.
const GATE: &str = "while [ ! -e \"$(dirname \"$0\")/go\" ]; do sleep 0.02; done\n";

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_as_recorded() {
    let world = World::signed_in(&format!("{GATE}{ECHO}")).await;
    let mut tape = Tape::new(&world);
    tape.call(Method::GET, "/api/auth/me", None).await;
    tape.call(Method::GET, "/api/tools", None).await;
    tape.call(Method::GET, "/api/models?tool=echo", None).await;
    let folder = world.root.path();
    let create = json!({"folder": folder, "tool": "echo", "name": "owner/repo#123 macOS build failure", "sourceId": "github",
        "group": "GitHub", "externalTriggerId": "github:owner/repo#123", "sourceContext": {"issue": 123},
        "completionTargets": [{"type": "email", "to": "a@b.c", "requestId": "r-1"}]});
    let session = tape.call(Method::POST, "/api/sessions", Some(create)).await["session"].clone();
    let id = session["id"].as_str().unwrap().to_owned();
    let say =
        json!({"requestId": "r-1", "text": "The build still fails.", "sourceContext": {"comment": 456}});
    let path = format!("/api/sessions/{id}");
    let accepted = tape.call(Method::POST, &format!("{path}/messages"), Some(say.clone())).await;
    let run = accepted["run"]["id"].as_str().unwrap().to_owned();
    std::fs::write(world.root.path().join("go"), "").unwrap();
    world.ended(&run).await;
    world.until(&id, |session| session["activity"]["run"]["state"] == "idle").await;
    tape.call(Method::POST, &format!("{path}/messages"), Some(say)).await;
    for path in
        ["", "?view=sidebar", "/events", "/events?filter=all", "/source-context?requestId=r-1", "/runs"]
    {
        tape.call(Method::GET, &format!("/api/sessions/{id}{path}"), None).await;
    }
    tape.call(Method::GET, &format!("/api/runs/{run}"), None).await;
    tape.call(Method::GET, &format!("/api/runs/{run}/reply"), None).await;
    let waiting = tape.call(Method::GET, "/api/completions?type=email", None).await;
    let carried = json!({"state": "sent", "delivery": {"provider": "smtp", "responseMessage": "250 OK"}});
    let waiting = format!("/api/completions/{}", waiting["completions"][0]["id"].as_str().unwrap());
    tape.call(Method::POST, &waiting, Some(carried)).await;
    tape.call(Method::GET, "/api/sessions", None).await;
    tape.call(Method::GET, "/api/sessions?view=refs", None).await;
    let patch =
        json!({"pinned": true, "workflowState": "waiting for user", "activeAgreements": ["be brief"]});
    tape.call(Method::PATCH, &path, Some(patch)).await;
    tape.call(Method::PATCH, &path, Some(json!({"pinned": "yes"}))).await;
    tape.call(Method::POST, &format!("{path}/assistant-messages"), Some(json!({"text": "Here"}))).await;
    tape.call(Method::POST, &format!("{path}/cancel"), None).await;
    let trigger =
        json!({"sessionId": id, "scheduledAt": "2126-11-22T07:30:19Z", "text": "wake up", "title": "N2"});
    tape.call(Method::POST, "/api/triggers", Some(trigger)).await;
    tape.call(Method::GET, "/api/triggers", None).await;
    let selection = json!({"selectedTool": "codex", "selectedModel": "gpt-5.4", "selectedEffort": "high", "reasoningKind": "enum"});
    tape.call(Method::POST, "/api/runtime-selection", Some(selection)).await;
    let intent = json!({"sessionId": id, "originalName": "Rep ort é.pdf", "mimeType": "application/pdf", "sizeBytes": 123});
    tape.call(Method::POST, "/api/assets/upload-intents", Some(intent)).await;
    tape.call(Method::POST, "/api/tokens", Some(json!({"name": "bot"}))).await;
    tape.call(Method::GET, &format!("/api/sessions/{}", "0".repeat(32)), None).await;
    tape.compare("docs/api-examples.json");
}

/// Calls and their answers, with what is different each time replaced.
struct Tape<'a> {
    world: &'a World,
    seen: BTreeMap<String, String>,
    calls: Vec<Value>,
}

impl<'a> Tape<'a> {
    fn new(world: &'a World) -> Self {
        Self { world, seen: BTreeMap::new(), calls: Vec::new() }
    }

    async fn call(&mut self, method: Method, path: &str, body: Option<Value>) -> Value {
        let mut request = self.world.request(method.clone(), path);
        if let Some(body) = &body {
            request = request.json(body);
        }
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let answer: Value = response.json().await.unwrap();
        let mut call = json!({"request": format!("{method} {path}")});
        call["body"] = body.unwrap_or_default();
        call["status"] = status.into();
        call["answer"] = answer.clone();
        let call = self.steady("", call);
        self.calls.push(call);
        answer
    }

    fn compare(self, name: &str) {
        let text = format!("{}\n", serde_json::to_string_pretty(&self.calls).unwrap());
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(name);
        if std::env::var_os("UPDATE_DOCUMENTS").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        let recorded = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(text == recorded, "{name} is not what it was; UPDATE_DOCUMENTS=1 writes it anew");
    }

    fn steady(&mut self, key: &str, value: Value) -> Value {
        match value {
            // Whether the executor has started by now is a matter of luck.
            Value::Object(mut fields) if fields.get("phase").is_some_and(|phase| phase == "running") => {
                fields["phase"] = "accepted".into();
                fields["startedAt"] = Value::Null;
                self.steady(key, fields.into())
            }
            Value::Object(fields) => {
                let fields: Map<_, _> = fields
                    .into_iter()
                    .map(|(key, value)| {
                        let value = self.steady(&key, value);
                        (key, value)
                    })
                    .collect();
                fields.into()
            }
            Value::Array(items) => items.into_iter().map(|item| self.steady(key, item)).collect(),
            Value::String(text) => self.steady_text(key, &text).into(),
            Value::Number(number) if number.as_i64().is_some_and(|n| n > 1_700_000_000_000) => {
                1_795_332_399_594_i64.into()
            }
            Value::Number(_) if key.ends_with("ProcessId") || key == "normalizedByteOffset" => 4711.into(),
            other => other,
        }
    }

    fn steady_text(&mut self, key: &str, text: &str) -> String {
        if matches!(key, "summaryEtag" | "token") {
            return format!("<{key}>");
        }
        if time::parse_iso(text).is_some() {
            return "2026-11-22T07:26:39.203Z".to_owned();
        }
        let text = text.replace(self.world.root.path().to_str().unwrap(), "/home/owner");
        text.split_inclusive(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .map(|word| {
                let (id, rest) = word
                    .split_at(word.trim_end_matches(|c: char| !c.is_ascii_alphanumeric() && c != '_').len());
                format!("{}{rest}", self.steady_id(id))
            })
            .collect()
    }

    /// Gives each id a name of its own, the same wherever it comes up.
    fn steady_id(&mut self, id: &str) -> String {
        let prefixed = |prefix: &str| {
            id.strip_prefix(prefix).is_some_and(|digits| digits.len() == 24 || digits.len() == 16)
        };
        let kind = if SessionId::parse(id).is_ok() {
            "session"
        } else if RunId::parse(id).is_ok() {
            "run"
        } else if AssetId::parse(id).is_ok() {
            "fasset"
        } else if let Some(kind) =
            ["trg", "tok", "evt"].into_iter().find(|kind| prefixed(&format!("{kind}_")))
        {
            kind
        } else {
            return id.to_owned();
        };
        let count = self.seen.values().filter(|name| name.starts_with(kind)).count() + 1;
        self.seen.entry(id.to_owned()).or_insert_with(|| format!("{kind}-{count}")).clone()
    }
}
