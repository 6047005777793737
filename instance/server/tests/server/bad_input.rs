//! Bad input gets the documented answer, loses nothing and stops nothing.

use remotelab_config::InstancePaths;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::world::{ECHO, World};

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_cannot_be_understood() {
    let world = World::signed_in(ECHO).await;
    let id = world.session().await;
    let sessions = "/api/sessions".to_owned();
    let messages = format!("/api/sessions/{id}/messages");
    let none = "0".repeat(32);
    let cases: Vec<(Method, String, String, u16, &str)> = vec![
        (Method::POST, sessions.clone(), "{".into(), 400, "Invalid request body"),
        (Method::POST, sessions.clone(), r#"{"folder":1,"tool":"x"}"#.into(), 400, "Invalid request body"),
        (Method::POST, sessions.clone(), r#"{"folder":"~"}"#.into(), 400, "folder and tool are required"),
        (
            Method::POST,
            sessions.clone(),
            r#"{"folder":null,"tool":null}"#.into(),
            400,
            "folder and tool are required",
        ),
        (Method::POST, messages.clone(), r#"{"text":null}"#.into(), 400, "text is required"),
        (
            Method::POST,
            sessions.clone(),
            r#"{"folder":"/no/such/folder","tool":"echo"}"#.into(),
            400,
            "Folder does not exist",
        ),
        (
            Method::POST,
            sessions.clone(),
            r#"{"folder":"~","tool":"echo","internalRole":7}"#.into(),
            400,
            "internalRole must be a string when provided",
        ),
        (
            Method::POST,
            sessions.clone(),
            format!(r#"{{"folder":"{}"}}"#, "x".repeat(10_300)),
            413,
            "Request body too large",
        ),
        (Method::POST, messages.clone(), "not json".into(), 400, "Bad request"),
        (Method::POST, messages.clone(), "null".into(), 400, "Bad request"),
        (Method::POST, messages.clone(), r#"["r", "text"]"#.into(), 400, "Bad request"),
        (Method::POST, sessions.clone(), r#"["~", "echo"]"#.into(), 400, "Invalid request body"),
        (Method::POST, messages.clone(), r#"{"text":"  "}"#.into(), 400, "text is required"),
        (Method::POST, messages.clone(), r#"{"text":5}"#.into(), 400, "Bad request"),
        (
            Method::POST,
            messages.clone(),
            r#"{"text":"x","attachments":[{"localPath":"/etc/passwd"}]}"#.into(),
            400,
            "localPath attachments are not supported on this route",
        ),
        (
            Method::POST,
            messages.clone(),
            r#"{"text":"x","attachments":[{"assetId":"fasset_1"}]}"#.into(),
            400,
            "Unknown asset: fasset_1",
        ),
        (
            Method::POST,
            format!("/api/sessions/{none}/messages"),
            r#"{"text":"x"}"#.into(),
            400,
            "Session not found",
        ),
        (Method::POST, "/api/sessions/../messages".into(), r#"{"text":"x"}"#.into(), 404, ""),
        (Method::POST, format!("/api/sessions/{none}/cancel"), String::new(), 409, "No active run"),
        (Method::PATCH, format!("/api/sessions/{id}"), "null".into(), 400, "Invalid request body"),
        (
            Method::PATCH,
            format!("/api/sessions/{id}"),
            r#"{"pinned":"yes"}"#.into(),
            400,
            "pinned must be a boolean",
        ),
        (Method::PATCH, format!("/api/sessions/{none}"), "{}".into(), 404, "Session not found"),
        (Method::GET, format!("/api/sessions/{none}"), String::new(), 404, "Session not found"),
        (Method::GET, "/api/runs/run_zz".into(), String::new(), 404, "Run not found"),
        (Method::GET, "/api/runs/..%2f".into(), String::new(), 404, "Run not found"),
        (Method::POST, "/api/runtime-selection".into(), "{}".into(), 400, "selectedTool is required"),
        (Method::GET, "/api/media/..%2fauth.json".into(), String::new(), 400, ""),
        (Method::GET, format!("/api/sessions/{id}/events?filter=all&filter=all"), String::new(), 200, ""),
        (Method::GET, format!("/api/sessions/{id}?view=%zz&view=1"), String::new(), 200, ""),
        (Method::PATCH, format!("/api/sessions/{id}/extra"), "{}".into(), 400, "Invalid session path"),
        (
            Method::GET,
            "/api/runs/run_0123456789abcdef01234567/extra".into(),
            String::new(),
            400,
            "Invalid run path",
        ),
        (Method::GET, "/api/sessions/%ff".into(), String::new(), 400, ""),
        (Method::PUT, format!("/api/sessions/{id}"), String::new(), 405, ""),
        (Method::GET, "/api/nothing".into(), String::new(), 404, ""),
        (Method::POST, format!("/api/sessions/{id}/share"), "{}".into(), 404, ""),
        (Method::GET, format!("/api/sessions/{id}/nothing"), String::new(), 404, ""),
        (Method::DELETE, "/api/runs/run_0123456789abcdef01234567/extra".into(), String::new(), 404, ""),
    ];
    for (method, path, body, status, error) in cases {
        let response = world.request(method.clone(), &path).body(body.clone()).send().await.unwrap();
        assert_eq!(response.status().as_u16(), status, "{method} {path} {body:.60}");
        if !error.is_empty() {
            assert_eq!(response.json::<Value>().await.unwrap(), json!({"error": error}), "{method} {path}");
        }
    }
    assert_eq!(world.get(&format!("/api/sessions/{id}")).await.0, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_tool_is_named_with_the_known_ones() {
    let world = World::signed_in(ECHO).await;
    let id = world.session().await;
    let (status, answer) =
        world.post(&format!("/api/sessions/{id}/messages"), &json!({"text": "x", "tool": "nosuch"})).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let error = answer["error"].as_str().unwrap();
    assert!(
        error.starts_with("Unknown tool \"nosuch\". Known tools: codex, claude") && error.contains("echo"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_that_is_not_installed_fails_with_a_sentence() {
    let world = World::signed_in(ECHO).await;
    let id = world.session().await;
    let (_, accepted) =
        world.post(&format!("/api/sessions/{id}/messages"), &json!({"text": "x", "tool": "kilo-code"})).await;
    let run = world.ended(accepted["run"]["id"].as_str().unwrap()).await;
    assert_eq!(run["state"], "failed");
    assert!(run["failureReason"].as_str().unwrap().contains("Kilo"), "{run}");
    let last = world.events(&id, "visible").await.pop().unwrap();
    assert!(last["content"].as_str().unwrap().starts_with("error: "), "{last}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archived_session_takes_no_messages_but_still_knows_its_requests() {
    let world = World::signed_in(ECHO).await;
    let id = world.session().await;
    let (_, accepted) = world.send(&id, "r", "x").await;
    world.ended(accepted["run"]["id"].as_str().unwrap()).await;
    world
        .request(Method::PATCH, &format!("/api/sessions/{id}"))
        .json(&json!({"archived": true}))
        .send()
        .await
        .unwrap();
    assert_eq!(
        world.send(&id, "new", "x").await,
        (StatusCode::CONFLICT, json!({"error": "Session is archived"}))
    );
    assert_eq!(world.send(&id, "r", "x").await.0, StatusCode::OK);
    let (_, listed) = world.get("/api/sessions").await;
    assert_eq!((listed["sessions"].as_array().unwrap().len(), &listed["archivedCount"]), (0, &json!(1)));
}

/// Requests that no client library would send; the server answers them and lives on.
#[tokio::test(flavor = "multi_thread")]
async fn api_weakness_01_malformed_targets_and_upgrades_stop_nothing() {
    let world = World::signed_in(ECHO).await;
    let id = world.session().await;
    let cookie = super::world::cookie(&world.open_link().await).unwrap();
    let address = world.base.trim_start_matches("http://").to_owned();
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let requests = [
        ("GET // HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(), "400"),
        (format!("GET // HTTP/1.1\r\nHost: x\r\n{upgrade}\r\n"), "400"),
        (format!("GET /ws HTTP/1.1\r\nHost: [bad\r\n{upgrade}\r\n"), "401"),
        ("GET http://[/x HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(), "400"),
        ("GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n\r\n".to_owned(), "401"),
        ("\0\0\0\r\n\r\n".to_owned(), "400"),
        // Refused by its announced length alone: no body follows.
        (
            format!(
                "POST /api/sessions/{id}/messages HTTP/1.1\r\nHost: x\r\nCookie: {cookie}\r\nContent-Length: 999999999\r\n\r\n"
            ),
            "413",
        ),
    ];
    for (request, status) in requests {
        let mut stream = tokio::net::TcpStream::connect(&address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = vec![0; 64];
        let length = stream.read(&mut answer).await.unwrap();
        let answer = String::from_utf8_lossy(&answer[..length]).into_owned();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{request:?} → {answer:?}");
    }
    assert_eq!(world.get("/api/sessions").await.0, StatusCode::OK);
}

/// Files that were cut cost only what they told; everything else goes on.
#[tokio::test(flavor = "multi_thread")]
async fn cut_files_cost_only_themselves() {
    let mut world = World::in_a_process(ECHO).await;
    let (good, hurt, lost) = (world.session().await, world.session().await, world.session().await);
    for id in [&good, &hurt, &lost] {
        let (_, accepted) = world.send(id, "r", "go").await;
        world.ended(accepted["run"]["id"].as_str().unwrap()).await;
    }
    world.stop().await;
    let paths = InstancePaths::below(world.root.path());
    let history = paths.chat_history();
    for file in [
        history.join(&hurt).join("events/000000001.json"),
        history.join(&hurt).join("meta.json"),
        history.join(&hurt).join("requests.jsonl"),
        history.join(&lost).join("session.json"),
        paths.chat_sessions(),
        paths.config().join("sessions.index"),
        paths.config().join("chat-triggers.json"),
        paths.runtime_selection(),
        paths.auth_sessions(),
    ] {
        std::fs::write(file, "[{\"id").unwrap();
    }
    world.start_process().await;
    world.sign_in().await;
    let (status, answer) = world.get("/api/sessions").await;
    let mut listed: Vec<&str> =
        answer["sessions"].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap()).collect();
    listed.sort_unstable();
    let mut expected = [good.as_str(), hurt.as_str()];
    expected.sort_unstable();
    assert_eq!((status, listed.as_slice()), (StatusCode::OK, expected.as_slice()));
    assert_eq!(world.get(&format!("/api/sessions/{lost}")).await.0, StatusCode::NOT_FOUND);
    let events = world.events(&hurt, "all").await;
    assert_eq!(events[0]["content"], "error: event 1 is damaged and cannot be shown");
    assert_eq!(events.len(), world.events(&good, "all").await.len());
    for id in [&good, &hurt] {
        let (_, accepted) = world.send(id, "next", "go on").await;
        assert_eq!(world.ended(accepted["run"]["id"].as_str().unwrap()).await["state"], "completed");
    }
    assert_eq!(world.send(&good, "r", "go").await.0, StatusCode::OK);
}
