//! The API's document is whole, consistent, and the recorded one:
//! `UPDATE_DOCUMENTS=1 cargo test -p remotelab-server` writes it anew.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use super::run_tokens::RUN;
use super::tokens::{CONNECTOR, routes};
use super::world::{ECHO, World};

#[tokio::test(flavor = "multi_thread")]
async fn every_route_is_in_the_recorded_document() {
    let world = World::signed_in(ECHO).await;
    let (_, document) = world.get("/api/openapi.json").await;
    let is_api = |path: &str| path == "/ws" || path.starts_with("/api/") && !path.ends_with("{*rest}");
    let routed: BTreeSet<String> = routes()
        .into_iter()
        .filter(|(_, path)| is_api(path))
        .map(|(method, path)| format!("{method} {path}"))
        .collect();
    let (mut described, mut open, mut of_runs) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let name = format!("{} {path}", method.to_uppercase());
            let security = operation["security"].as_array().unwrap();
            if security.is_empty() || security.iter().any(|way| way.get("token").is_some()) {
                open.insert(name.clone());
            }
            if security.is_empty() || security.iter().any(|way| way.get("run").is_some()) {
                of_runs.insert(name.clone());
            }
            described.insert(name);
        }
    }
    assert_eq!(described, routed);
    // Open to everybody, but not to tokens: it makes a login.
    let redeem = "POST /api/install/handoff/redeem";
    assert_eq!(open, CONNECTOR.iter().chain(&[redeem]).map(|&name| name.to_owned()).collect());
    assert_eq!(of_runs, RUN.iter().chain(&[redeem]).map(|&name| name.to_owned()).collect());
    references(&document, &document);

    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json");
    let text = format!("{}\n", serde_json::to_string_pretty(&document).unwrap());
    if std::env::var_os("UPDATE_DOCUMENTS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let recorded = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(text == recorded, "docs/openapi.json is not what it was; UPDATE_DOCUMENTS=1 writes it anew");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_required_is_there() {
    let world = World::signed_in(ECHO).await;
    let (_, document) = world.get("/api/openapi.json").await;
    let id = world.session().await;
    let (_, accepted) = world.send(&id, "r", "go").await;
    let run = world.ended(accepted["run"]["id"].as_str().unwrap()).await;
    let (_, reply) = world.get(&format!("/api/runs/{}/reply", run["id"].as_str().unwrap())).await;
    let (_, list) = world.get("/api/sessions?limit=1").await;
    let (_, events) = world.get(&format!("/api/sessions/{id}/events?limit=3")).await;
    for (schema, value) in [
        ("MessageAccepted", &accepted),
        ("Session", &accepted["session"]),
        ("Run", &run),
        ("Reply", &reply),
        ("SessionList", &list),
        ("EventList", &events),
        ("Event", &events["events"][0]),
    ] {
        for field in document["components"]["schemas"][schema]["required"].as_array().unwrap() {
            assert!(!value[field.as_str().unwrap()].is_null(), "{schema} has no {field}: {value}");
        }
    }
}

/// Whatever is referred to exists.
fn references(value: &Value, document: &Value) {
    match value {
        Value::Object(fields) => {
            if let Some(name) = fields.get("$ref").and_then(Value::as_str) {
                assert!(document.pointer(name.trim_start_matches('#')).is_some(), "{name}");
            }
            fields.values().for_each(|value| references(value, document));
        }
        Value::Array(items) => items.iter().for_each(|value| references(value, document)),
        _ => {}
    }
}
