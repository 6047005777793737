//! What an earlier server got wrong at its surface, each under its number; those that another test of this
//! crate shows bear their number there.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use remotelab_config::auth::{Auth, Login};
use remotelab_config::{InstancePaths, password};
use reqwest::header::CACHE_CONTROL;
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use super::queue::GATED;
use super::tokens;
use super::world::{ECHO, World, cookie, server};

/// An owner token that is damaged lets nobody in, neither at the start nor later.
#[tokio::test(flavor = "multi_thread")]
async fn api_weakness_02_a_broken_token_lets_nobody_in() {
    for broken in ["{\"token\":\"\"}", "{\"token\":\"zz\"}", "{}", "{", ""] {
        let world = World::start(ECHO).await;
        let paths = InstancePaths::below(world.root.path());
        std::fs::write(paths.auth(), broken).unwrap();
        for guess in ["", "zz", "owner"] {
            let path = format!("/?token={guess}");
            let answer = world.request(Method::GET, &path).send().await.unwrap();
            let location = answer.headers().get("location").and_then(|value| value.to_str().ok());
            assert_eq!((answer.status(), location), (StatusCode::FOUND, Some("/login")), "{broken}");
            assert_eq!(answer.headers().get("set-cookie"), None, "{broken}");
        }
        let other = World::furnished(ECHO);
        std::fs::write(InstancePaths::below(other.root.path()).auth(), broken).unwrap();
        let refused = server(other.root.path(), &[], std::future::pending()).await.unwrap_err();
        assert!(matches!(refused, remotelab_server::Error::Auth(_)), "{broken}: {refused:?}");
    }
}

/// Files of messages are private: nobody reads them without a login, and no shared cache keeps them.
#[tokio::test(flavor = "multi_thread")]
async fn api_weakness_06_media_are_private() {
    let world = World::signed_in(ECHO).await;
    let id = world.session().await;
    let png = json!({"text": "look", "attachments": [{"data": "aGk=", "mimeType": "image/png"}]});
    world.post(&format!("/api/sessions/{id}/messages"), &png).await;
    let events = world.events(&id, "all").await;
    let path = format!("/api/media/{}", events[0]["attachments"][0]["filename"].as_str().unwrap());
    let media = world.request(Method::GET, &path).send().await.unwrap();
    assert_eq!(media.status(), StatusCode::OK);
    assert!(cache(&media).starts_with("private"), "{}", cache(&media));
    let nobody = tokens::client(None).get(format!("{}{path}", world.base)).send().await.unwrap();
    assert_eq!(nobody.status(), StatusCode::UNAUTHORIZED);
}

/// Everything that the server and its runner write is readable by the owner alone, and a copy of the logins
/// lets nobody in.
#[tokio::test(flavor = "multi_thread")]
async fn api_weakness_08_files_are_private() {
    let mut world = World::signed_in(ECHO).await;
    let id = world.session().await;
    let file = json!({"text": "go", "attachments": [{"data": "aGk="}]});
    let (_, accepted) = world.post(&format!("/api/sessions/{id}/messages"), &file).await;
    world.ended(accepted["run"]["id"].as_str().unwrap()).await;
    tokens::token(&world).await;
    let later = json!({"sessionId": id, "scheduledAt": "2999-01-01", "text": "x"});
    assert_eq!(world.post("/api/triggers", &later).await.0, StatusCode::CREATED);
    let paths = InstancePaths::below(world.root.path());
    // Made by the test itself.
    let ours = [paths.config().to_owned(), paths.tools()];
    let mut seen = BTreeSet::new();
    let check = || {
        check_private(paths.config(), &ours, &mut seen);
        check_private(paths.memory(), &ours, &mut seen);
    };
    // What is acknowledged is in its file at the latest when the server has stopped.
    world.stopped_for(check).await;
    for name in ["auth-sessions.json", "session.json", "spool.jsonl", "launch.json", "chat-triggers.json"] {
        assert!(seen.contains(name), "{name} is not among {seen:?}");
    }
    let login = cookie(&world.open_link().await).unwrap();
    let stored = std::fs::read_to_string(paths.auth_sessions()).unwrap();
    assert!(!stored.contains(login.split_once('=').unwrap().1));
}

/// What is no id never reaches the file system.
#[tokio::test(flavor = "multi_thread")]
async fn api_weakness_10_ids_are_no_paths() {
    let world = World::signed_in(ECHO).await;
    let login = cookie(&world.open_link().await).unwrap();
    for target in [
        "/api/sessions/../events?filter=all",
        "/api/sessions/%2e%2e/events?filter=all",
        "/api/sessions/%2e%2e%2f%2e%2e/source-context",
        "/api/sessions/..%2f..%2fauth.json",
        "/api/runs/..",
        "/api/runs/%2e%2e%2fauth.json",
        "/api/media/..%2fauth.json",
        "/api/triggers/%2e%2e",
        "/s/%2e%2e%2fauth.json",
        "/assets/%2e%2e/%2e%2e/auth.json",
    ] {
        let request =
            format!("GET {target} HTTP/1.1\r\nHost: x\r\nCookie: {login}\r\nConnection: close\r\n\r\n");
        let answer = raw(&world, &request).await;
        assert!(answer.starts_with("HTTP/1.1 40"), "{target}: {answer}");
        assert!(!answer.contains(world.token()), "{target}");
    }
}

/// A wrong name takes as long as a wrong password, so that time does not tell them apart.
#[tokio::test(flavor = "multi_thread")]
async fn api_weakness_11_a_wrong_name_costs_as_much_as_a_wrong_password() {
    let world = World::start(ECHO).await;
    let file = InstancePaths::below(world.root.path()).auth();
    let mut auth = Auth::load(&file).unwrap();
    let password_hash = password::hash("right");
    auth.login = Some(Login { username: "owner".into(), password_hash: password_hash.clone() });
    auth.save(&file).unwrap();
    let hashing = (0..5)
        .map(|_| {
            let began = Instant::now();
            assert!(!password::verify("wrong", &password_hash));
            began.elapsed()
        })
        .min()
        .unwrap();
    let began = Instant::now();
    let form = [("type", "password"), ("username", "somebody"), ("password", "right")];
    let answer = world.request(Method::POST, "/login").form(&form).send().await.unwrap();
    assert_eq!(answer.headers()["location"], "/login?error=1&mode=pw");
    assert!(began.elapsed() > hashing / 2, "{:?} and {hashing:?}", began.elapsed());
}

/// A body over its limit is answered, on every route that takes one.
#[tokio::test(flavor = "multi_thread")]
async fn api_weakness_15_bodies_over_the_limit_are_answered() {
    let world = World::signed_in(ECHO).await;
    let id = world.session().await;
    for (method, path, limit) in [
        (Method::POST, "/login".to_owned(), 4_096),
        (Method::POST, "/api/runtime-selection".to_owned(), 4_096),
        (Method::POST, "/api/sessions".to_owned(), 10_240),
        (Method::PATCH, format!("/api/sessions/{id}"), 10_240),
        (Method::POST, "/api/triggers".to_owned(), 32_768),
        (Method::POST, format!("/api/sessions/{id}/delegate"), 2_097_152),
        (Method::POST, "/api/tools".to_owned(), 65_536),
    ] {
        let send = |length: usize| world.request(method.clone(), &path).body(" ".repeat(length)).send();
        let over = send(limit + 1).await.unwrap();
        assert_eq!(over.status(), StatusCode::PAYLOAD_TOO_LARGE, "{path}");
        assert_eq!(over.json::<Value>().await.unwrap(), json!({"error": "Request body too large"}), "{path}");
        assert_ne!(send(limit).await.unwrap().status(), StatusCode::PAYLOAD_TOO_LARGE, "{path}");
    }
    // Refused by the announced length alone; no body follows.
    let login = cookie(&world.open_link().await).unwrap();
    for (route, kind) in [
        ("messages", "application/json"),
        ("messages", "multipart/form-data; boundary=b"),
        ("assistant-messages", "application/json"),
    ] {
        let request = format!(
            "POST /api/sessions/{id}/{route} HTTP/1.1\r\nHost: x\r\nCookie: {login}\r\nConnection: close\r\n\
             Content-Type: {kind}\r\nContent-Length: 268435457\r\n\r\n"
        );
        let answer = raw(&world, &request).await;
        assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
        assert!(answer.ends_with(r#"{"error":"Request body too large"}"#), "{answer}");
    }
}

/// A change with one wrong field changes nothing, and one that is no object is refused.
#[tokio::test(flavor = "multi_thread")]
async fn api_weakness_16_a_change_is_whole_or_nothing() {
    let world = World::signed_in(ECHO).await;
    let id = world.session().await;
    let path = format!("/api/sessions/{id}");
    let before = world.get(&path).await.1;
    for (body, error) in [
        (json!(null), "Invalid request body"),
        (json!([]), "Invalid request body"),
        (json!({"name": "half", "pinned": true, "archived": 1}), "archived must be a boolean"),
    ] {
        let answer = world.request(Method::PATCH, &path).json(&body).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
        assert_eq!(answer.json::<Value>().await.unwrap(), json!({ "error": error }));
    }
    assert_eq!(world.get(&path).await.1, before);
    let whole = json!({"name": "whole", "pinned": true, "group": "g"});
    let answer: Value =
        world.request(Method::PATCH, &path).json(&whole).send().await.unwrap().json().await.unwrap();
    let session = &answer["session"];
    assert_eq!(
        json!({"name": session["name"], "pinned": session["pinned"], "group": session["group"]}),
        whole
    );
}

/// An unknown session is not found, wherever it is asked for; the two routes on which scripts compare
/// another answer keep it.
#[tokio::test(flavor = "multi_thread")]
async fn api_weakness_17_an_unknown_session_is_not_found() {
    let world = World::signed_in(ECHO).await;
    let none = format!("/api/sessions/{}", "0".repeat(32));
    for (method, rest, status, error) in [
        (Method::GET, "", 404, "Session not found"),
        (Method::PATCH, "", 404, "Session not found"),
        (Method::GET, "/events", 404, "Session not found"),
        (Method::GET, "/events?filter=all", 404, "Session not found"),
        (Method::GET, "/events/1/body", 404, "Session not found"),
        (Method::GET, "/events/blocks/1-2", 404, "Session not found"),
        (Method::GET, "/source-context", 404, "Session not found"),
        (Method::POST, "/delegate", 404, "Session not found"),
        (Method::POST, "/messages", 400, "Session not found"),
        (Method::POST, "/assistant-messages", 400, "Session not found"),
        (Method::POST, "/cancel", 409, "No active run"),
    ] {
        let body = json!({"text": "x", "task": "x"});
        let answer =
            world.request(method.clone(), &format!("{none}{rest}")).json(&body).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{method} {rest}");
        assert_eq!(answer.json::<Value>().await.unwrap(), json!({ "error": error }), "{method} {rest}");
    }
}

/// An attachment that is not there is said to be missing, and its message is not accepted without it.
#[tokio::test(flavor = "multi_thread")]
async fn api_weakness_18_a_missing_attachment_is_named() {
    let world = World::signed_in(ECHO).await;
    let id = world.session().await;
    let path = format!("/api/sessions/{id}/messages");
    let gone = json!({"text": "look", "attachments": [{"filename": "0123456789abcdef01234567.png"}]});
    assert_eq!(
        world.post(&path, &gone).await,
        (StatusCode::BAD_REQUEST, json!({"error": "Unknown attachment: 0123456789abcdef01234567.png"}))
    );
    assert_eq!(world.events(&id, "all").await, Vec::<Value>::new());
}

/// A source context over its limit is not kept, and the sender is told so.
#[tokio::test(flavor = "multi_thread")]
async fn api_weakness_19_a_context_that_is_too_large_is_told_of() {
    let world = World::signed_in(ECHO).await;
    let id = world.session().await;
    let large = json!({"x": "y".repeat(16_384)});
    let warning = json!(["sourceContext is larger than 16384 bytes and was not kept"]);
    let path = format!("/api/sessions/{id}/messages");
    let (status, accepted) = world.post(&path, &json!({"text": "x", "sourceContext": large})).await;
    assert_eq!((status, &accepted["warnings"]), (StatusCode::ACCEPTED, &warning));
    let fits = json!({"text": "x", "sourceContext": {"x": "y".repeat(16_000)}});
    assert_eq!(world.post(&path, &fits).await.1.get("warnings"), None);
}

/// A part of the history may be kept for good only when it can neither grow nor be told differently.
#[tokio::test(flavor = "multi_thread")]
async fn api_weakness_20_only_finished_blocks_are_immutable() {
    let world = World::signed_in(GATED).await;
    let id = world.session().await;
    let (_, accepted) = world.send(&id, "r", "go").await;
    let block = async |range: &str| {
        let path = format!("/api/sessions/{id}/events/blocks/{range}");
        let answer = world.request(Method::GET, &path).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        cache(&answer).contains("immutable")
    };
    assert!(!block("1-2").await && !block("1-100").await);
    std::fs::write(world.root.path().join("go"), "").unwrap();
    world.ended(accepted["run"]["id"].as_str().unwrap()).await;
    assert!(block("1-2").await && !block("2-100").await);
}

/// No two events of a session share an id, also not across restarts.
#[tokio::test(flavor = "multi_thread")]
async fn api_weakness_21_event_ids_are_unique() {
    let mut world = World::in_a_process(ECHO).await;
    let id = world.session().await;
    for request in ["a", "b", "c"] {
        let (_, accepted) = world.send(&id, request, "go").await;
        world.ended(accepted["run"]["id"].as_str().unwrap()).await;
        world.kill_and_start_again().await;
    }
    let events = world.events(&id, "all").await;
    let ids: BTreeSet<&str> = events.iter().map(|event| event["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), events.len());
}

/// A tool that does not exist is refused with the list of those that do, wherever it is named.
#[tokio::test(flavor = "multi_thread")]
async fn api_weakness_22_an_unknown_tool_is_refused() {
    let world = World::signed_in(ECHO).await;
    let id = world.session().await;
    let session = format!("/api/sessions/{id}");
    for (method, path, body) in [
        (Method::POST, "/api/sessions".to_owned(), json!({"folder": "~", "tool": "nosuch"})),
        (Method::PATCH, session.clone(), json!({"tool": "nosuch"})),
        (Method::POST, format!("{session}/messages"), json!({"text": "x", "tool": "nosuch"})),
        (Method::POST, format!("{session}/delegate"), json!({"task": "x", "tool": "nosuch"})),
    ] {
        let answer = world.request(method.clone(), &path).json(&body).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{method} {path}");
        let refused: Value = answer.json().await.unwrap();
        let error = refused["error"].as_str().unwrap();
        let known = error.strip_prefix("Unknown tool \"nosuch\". Known tools: codex, claude");
        assert!(known.is_some_and(|known| known.ends_with("echo")), "{method} {path}: {error}");
    }
    assert_eq!(world.get(&session).await.1["session"]["tool"], "echo");
    assert_eq!(world.get("/api/sessions").await.1["sessions"].as_array().unwrap().len(), 1);
}

/// A list does not repeat every session's instructions, and who has it already is not sent it again.
#[tokio::test(flavor = "multi_thread")]
async fn api_weakness_24_lists_are_small_and_sent_once() {
    let world = World::signed_in(ECHO).await;
    let prompt = "p".repeat(6_000);
    let body = json!({"folder": "~", "tool": "echo", "systemPrompt": prompt});
    let (_, created) = world.post("/api/sessions", &body).await;
    assert_eq!(created["session"]["systemPrompt"], prompt);
    let path = format!("/api/sessions/{}", created["session"]["id"].as_str().unwrap());
    assert_eq!(world.get(&path).await.1["session"]["systemPrompt"], prompt);
    let list = world.request(Method::GET, "/api/sessions").send().await.unwrap();
    let tag = list.headers()["etag"].clone();
    let list: Value = list.json().await.unwrap();
    assert_eq!(list["sessions"][0].get("systemPrompt"), None);
    let again =
        world.request(Method::GET, "/api/sessions").header("if-none-match", tag).send().await.unwrap();
    assert_eq!((again.status(), again.bytes().await.unwrap().len()), (StatusCode::NOT_MODIFIED, 0));
    let refs = world.get("/api/sessions?view=refs").await.1;
    let row = world.request(Method::GET, &format!("{path}?view=sidebar")).send().await.unwrap();
    assert_eq!(refs["sessionRefs"][0]["summaryEtag"], row.headers()["etag"].to_str().unwrap());
    assert_eq!(row.json::<Value>().await.unwrap()["session"], list["sessions"][0]);
}

/// A route says which methods it has, and answers HEAD like GET without the body.
#[tokio::test(flavor = "multi_thread")]
async fn api_weakness_25_methods_are_answered() {
    let world = World::signed_in(ECHO).await;
    for (path, allowed) in [("/api/sessions", "GET,HEAD,POST"), ("/api/build-info", "GET,HEAD")] {
        for (method, status) in
            [(Method::DELETE, StatusCode::METHOD_NOT_ALLOWED), (Method::OPTIONS, StatusCode::NO_CONTENT)]
        {
            let answer = world.request(method.clone(), path).send().await.unwrap();
            assert_eq!((answer.status(), answer.headers()["allow"].to_str().unwrap()), (status, allowed));
        }
        let head = world.request(Method::HEAD, path).send().await.unwrap();
        let get = world.request(Method::GET, path).send().await.unwrap();
        assert_eq!((head.status(), head.headers().get("etag")), (get.status(), get.headers().get("etag")));
        assert_eq!(head.headers()["content-type"], get.headers()["content-type"]);
        assert_eq!(head.bytes().await.unwrap(), "");
    }
}

/// `~` and the whole path name the same folder.
#[tokio::test(flavor = "multi_thread")]
async fn api_weakness_26_a_folder_has_one_meaning() {
    let world = World::signed_in(ECHO).await;
    let work = world.root.path().join("work");
    std::fs::create_dir(&work).unwrap();
    for folder in ["~/work".to_owned(), work.display().to_string(), "~".to_owned()] {
        world.post("/api/sessions", &json!({"folder": folder, "tool": "echo"})).await;
    }
    for wanted in ["~/work", work.to_str().unwrap()] {
        let list = world.get(&format!("/api/sessions?folder={wanted}")).await.1;
        assert_eq!(list["sessions"].as_array().unwrap().len(), 2, "{wanted}");
    }
}

/// A socket ends with the login or token that opened it.
#[tokio::test(flavor = "multi_thread")]
async fn api_weakness_27_sockets_end_with_their_login() {
    let world = World::signed_in(ECHO).await;
    let login = cookie(&world.open_link().await).unwrap();
    let (token, text) = tokens::token(&world).await;
    let open = async |name: &'static str, value: &str| {
        let mut request =
            format!("{}/ws", world.base.replace("http://", "ws://")).into_client_request().unwrap();
        request.headers_mut().insert(name, value.parse().unwrap());
        let mut socket = tokio_tungstenite::connect_async(request).await.unwrap().0;
        // It says who it is as soon as it listens.
        socket.next().await.unwrap().unwrap();
        socket
    };
    let of_login = open("cookie", &login).await;
    let of_token = open("authorization", &format!("Bearer {text}")).await;
    let out = world.request(Method::POST, "/logout").header("cookie", &login).send().await.unwrap();
    assert_eq!(out.status(), StatusCode::FOUND);
    tokens::delete(&world, &token).await;
    for mut socket in [of_login, of_token] {
        // Sooner than the next ping, which would find out as well.
        let ended = async { while let Some(Ok(_)) = socket.next().await {} };
        tokio::time::timeout(Duration::from_secs(10), ended).await.expect("the socket ends");
    }
}

/// Whoever calls at all stays signed in, whichever route it is.
#[tokio::test(flavor = "multi_thread")]
async fn api_weakness_28_every_call_renews_a_login() {
    let mut world = World::start_with(ECHO, &[("SESSION_EXPIRY", "60000")]).await;
    world.sign_in().await;
    let file = InstancePaths::below(world.root.path()).auth_sessions();
    let expiry = || {
        let stored: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        stored.as_object().unwrap().values().next().unwrap()["expiry"].as_i64().unwrap()
    };
    let before = expiry();
    let answer = world.request(Method::GET, "/api/sessions").send().await.unwrap();
    assert!(cookie(&answer).is_some_and(|cookie| cookie.starts_with("session_token=")));
    assert!(expiry() > before);

    let day = World::signed_in(ECHO).await;
    let answer = day.request(Method::GET, "/api/sessions").send().await.unwrap();
    assert_eq!(cookie(&answer), None, "a fresh login is left alone");
}

fn cache(response: &Response) -> &str {
    response.headers()[CACHE_CONTROL].to_str().unwrap()
}

/// Sends bytes as they are and returns all that is answered until the connection ends.
async fn raw(world: &World, request: &str) -> String {
    let address = world.base.trim_start_matches("http://");
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

/// Walks a tree; nothing in it may be open to other users. Collects the names that were met.
fn check_private(path: &Path, except: &[std::path::PathBuf], seen: &mut BTreeSet<String>) {
    // It may be gone again: a temporary file, or a runner's.
    let Ok(meta) = std::fs::symlink_metadata(path) else { return };
    // A link has no permissions of its own.
    if !meta.is_symlink() && !except.iter().any(|other| other == path) {
        let mode = meta.permissions().mode() & 0o777;
        assert_eq!(mode & 0o077, 0, "{} has {mode:o}", path.display());
    }
    seen.insert(path.file_name().unwrap().to_string_lossy().into_owned());
    if meta.is_dir() {
        for entry in std::fs::read_dir(path).unwrap().flatten() {
            check_private(&entry.path(), except, seen);
        }
    }
}
