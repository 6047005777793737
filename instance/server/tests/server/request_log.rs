//! What is written down about requests to the API.

use std::time::{Duration, Instant};

use remotelab_config::InstancePaths;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::world::{ECHO, World};

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_one_line_without_secrets() {
    let world = World::signed_in(ECHO).await;
    let session = world.session().await;
    world.get(&format!("/api/sessions/{session}/events?filter=all&token={}", "ab".repeat(32))).await;
    world.get("/login").await;
    world.get("/api/nothing").await;
    let lines = lines(&world, 3).await;
    let bodies: Vec<Value> = lines.into_iter().map(fixed).collect();
    let size = bodies[0]["requestBytes"].as_u64().unwrap();
    assert!(size > 10, "{size}");
    let path = |path: &str| path.replace("SESSION", &session);
    let line = |seq: u64, method: &str, pathname: String, route: &str, search: &str, keys: Value| {
        json!({
            "type": "api_request", "seq": seq, "pid": std::process::id(), "port": port(&world), "ts": "t",
            "method": method, "pathname": pathname, "route": route, "search": search, "queryKeys": keys,
            "requestBytes": 0, "responseBytes": 0, "statusCode": 0, "responseStartMs": "n", "durationMs": "n",
            "cacheHit": false, "contentType": "", "cacheControl": "", "aborted": false, "error": "",
        })
    };
    let mut created = line(1, "POST", "/api/sessions".to_owned(), "/api/sessions", "", json!([]));
    created["requestBytes"] = bodies[0]["requestBytes"].clone();
    created["responseBytes"] = bodies[0]["responseBytes"].clone();
    created["statusCode"] = 201.into();
    created["contentType"] = "application/json".into();
    let mut by_link = line(
        2,
        "GET",
        path("/api/sessions/SESSION/events"),
        "/api/sessions/:id/events",
        "?filter=all&token=[redacted]",
        json!(["filter", "token"]),
    );
    by_link["statusCode"] = 302.into();
    let mut unknown = line(3, "GET", "/api/nothing".to_owned(), "", "", json!([]));
    unknown["statusCode"] = 404.into();
    unknown["responseBytes"] = "Not Found".len().into();
    unknown["contentType"] = "text/plain".into();
    assert_eq!(bodies, [created, by_link, unknown]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_and_a_cached_answer_are_told() {
    let world = World::signed_in(ECHO).await;
    let first = world.request(Method::GET, "/api/tools").send().await.unwrap();
    if let Some(tag) = first.headers().get("etag").cloned() {
        world.request(Method::GET, "/api/tools").header("if-none-match", tag).send().await.unwrap();
    } else {
        let me = world.request(Method::GET, "/api/auth/me").send().await.unwrap();
        let tag = me.headers()["etag"].clone();
        world.request(Method::GET, "/api/auth/me").header("if-none-match", tag).send().await.unwrap();
    }
    let lines = lines(&world, 2).await;
    let last = lines.last().unwrap();
    assert_eq!(
        (&last["cacheHit"], &last["statusCode"], &last["aborted"]),
        (&json!(true), &json!(304), &json!(false))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_cannot_be_written_stops_no_request() {
    let world = World::signed_in(ECHO).await;
    std::fs::write(InstancePaths::below(world.root.path()).api_logs(), "in the way").unwrap();
    for _ in 0..3 {
        assert_eq!(world.get("/api/sessions").await.0, StatusCode::OK);
    }
}

/// Waits until so many lines are there.
async fn lines(world: &World, count: usize) -> Vec<Value> {
    let folder = InstancePaths::below(world.root.path()).api_logs();
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let files = std::fs::read_dir(&folder).into_iter().flatten().flatten();
        let text: String =
            files.map(|file| std::fs::read_to_string(file.path()).unwrap_or_default()).collect();
        let lines: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        if lines.len() >= count {
            return lines;
        }
        assert!(Instant::now() < deadline, "the log has {text}");
        tokio::task::yield_now().await;
    }
}

/// Puts fixed values in the place of those that differ from run to run.
fn fixed(mut line: Value) -> Value {
    assert!(line["ts"].as_str().unwrap().ends_with('Z'));
    assert!(line["durationMs"].as_f64() >= line["responseStartMs"].as_f64());
    line["ts"] = "t".into();
    line["responseStartMs"] = "n".into();
    line["durationMs"] = "n".into();
    line
}

fn port(world: &World) -> u16 {
    world.base.rsplit(':').next().unwrap().parse().unwrap()
}
