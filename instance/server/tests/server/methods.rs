//! Methods that a route has, and those that it does not have.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::{Method, StatusCode};
use serde_json::json;

use super::tokens::routes;
use super::world::{ECHO, World};

#[tokio::test(flavor = "multi_thread")]
async fn what_can_be_read_can_be_asked_about() {
    let world = World::signed_in(ECHO).await;
    let session = world.session().await;
    let (_, accepted) = world.send(&session, "r", "go").await;
    let run = world.ended(accepted["run"]["id"].as_str().unwrap()).await["id"].as_str().unwrap().to_owned();
    let read = routes().into_iter().filter(|(method, _)| *method == Method::GET);
    for (_, route) in read.filter(|(_, route)| route != "/ws" && !route.ends_with("/stream")) {
        if route == "/logout" {
            continue;
        }
        let id = if route.starts_with("/api/runs/") { &run } else { &session };
        let path = route
            .replace("{id}", id)
            .replace("{range}", "1-2")
            .replace("{seq}", "1")
            .replace("{*path}", "app.css")
            .replace("{*rest}", "x");
        let got = world.request(Method::GET, &path).send().await.unwrap();
        let asked = world.request(Method::HEAD, &path).send().await.unwrap();
        let told = |response: &reqwest::Response| {
            let named = ["content-type", "cache-control", "etag", "content-length", "vary", "location"];
            let values = named.map(|name| response.headers().get(name).cloned());
            (response.status(), values)
        };
        if ["/", "/s/{id}", "/ui/sessions/{id}/timeline"].contains(&route.as_str()) {
            // Times on the page move on.
            assert_eq!(asked.status(), got.status(), "{route}");
        } else {
            assert_eq!(told(&asked), told(&got), "{route}");
        }
        assert_eq!(asked.bytes().await.unwrap().len(), 0, "{route}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_method_that_is_missing_is_refused_with_those_that_are_there() {
    let world = World::signed_in(ECHO).await;
    let mut by_path: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (method, route) in routes() {
        let methods = by_path.entry(route).or_default();
        if method == Method::GET {
            methods.insert("HEAD".to_owned());
        }
        methods.insert(method.to_string());
    }
    // What stands for whatever is not there answers as if it were nowhere.
    for (route, methods) in by_path.into_iter().filter(|(route, _)| !route.contains("{*rest}")) {
        let path = route
            .replace("{id}", "x")
            .replace("{range}", "1-2")
            .replace("{seq}", "1")
            .replace("{*path}", "x");
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
            if methods.contains(method) {
                continue;
            }
            let answer = world.request(method.parse().unwrap(), &path).send().await.unwrap();
            let allow =
                answer.headers().get("allow").map(|allow| allow.to_str().unwrap()).unwrap_or_default();
            let named: BTreeSet<String> = allow.split(',').map(|name| name.trim().to_owned()).collect();
            let status =
                if method == "OPTIONS" { StatusCode::NO_CONTENT } else { StatusCode::METHOD_NOT_ALLOWED };
            assert_eq!((answer.status(), &named), (status, &methods), "{method} {path}");
        }
    }
    let unknown = world.request(Method::OPTIONS, "/api/nothing").send().await.unwrap();
    assert_eq!(unknown.status(), StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn voice_transcripts_are_gone() {
    let world = World::signed_in(ECHO).await;
    let session = world.session().await;
    let gone = json!({"error": "Voice transcript cleanup has been removed. Send messages directly."});
    let path = format!("/api/sessions/{session}/voice-transcriptions");
    assert_eq!(world.post(&path, &json!({})).await, (StatusCode::GONE, gone));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_build_is_told_whole() {
    let world = World::start(ECHO).await;
    let answer = world.request(Method::GET, "/api/build-info").send().await.unwrap();
    let headers = answer.headers().clone();
    let info: serde_json::Value = answer.json().await.unwrap();
    let keys: Vec<&str> = info.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(
        keys,
        [
            "version",
            "commit",
            "assetVersion",
            "label",
            "title",
            "serviceVersion",
            "serviceCommit",
            "serviceDirty",
            "serviceFingerprint",
            "serviceAssetVersion",
            "serviceLabel",
            "serviceTitle",
            "runtimeMode",
            "releaseId",
            "releaseCreatedAt",
            "frontendFingerprint",
            "frontendLabel",
            "frontendTitle",
            "instanceId",
        ]
    );
    for (header, key) in [
        ("x-remotelab-runtime-mode", "runtimeMode"),
        ("x-remotelab-release-id", "releaseId"),
        ("x-remotelab-asset-version", "assetVersion"),
        ("x-remotelab-service-build", "serviceFingerprint"),
        ("x-remotelab-frontend-build", "frontendFingerprint"),
        ("x-remotelab-build", "title"),
    ] {
        assert_eq!(headers[header].to_str().unwrap(), info[key].as_str().unwrap(), "{header}");
    }
    assert_eq!(headers["cache-control"], "no-store");
}
