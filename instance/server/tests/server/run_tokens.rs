//! What a run may do through the API with the token that it is given.

use std::path::Path;
use std::time::Instant;

use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};

use super::tokens::{client, routes};
use super::world::{PATIENCE, World};

/// Leaves its token in a file of its folder and works until there is a file `go`.
const TELLS: &str = r#"for last; do :; done
printf '%s' "$REMOTELAB_RUN_TOKEN" > token.new && mv token.new "token-$REMOTELAB_SESSION_ID"
while ! [ -e go ]; do sleep 0.1; done
echo '{"type":"item.completed","item":{"id":"i","type":"agent_message","text":"done"}}'"#;

/// What a run may do to its own session; everything else is refused.
pub(super) const RUN: &[&str] = &[
    "GET /api/assets/{id}",
    "GET /api/assets/{id}/download",
    "GET /api/build-info",
    "GET /api/models",
    "GET /api/openapi.json",
    "GET /api/runs/{id}",
    "GET /api/runs/{id}/reply",
    "GET /api/sessions/{id}",
    "GET /api/sessions/{id}/events",
    "GET /api/sessions/{id}/events/blocks/{range}",
    "GET /api/sessions/{id}/events/{seq}/body",
    "GET /api/sessions/{id}/runs",
    "GET /api/sessions/{id}/source-context",
    "GET /api/sessions/{id}/stream",
    "GET /api/tools",
    "GET /api/triggers",
    "GET /api/triggers/{id}",
    "DELETE /api/triggers/{id}",
    "PATCH /api/triggers/{id}",
    "POST /api/runs/{id}/cancel",
    "POST /api/sessions/{id}/assistant-messages",
    "POST /api/sessions/{id}/cancel",
    "POST /api/sessions/{id}/delegate",
    "POST /api/sessions/{id}/messages",
    "POST /api/triggers",
];

/// A run under way, and what it calls with.
struct Caller {
    session: String,
    run: String,
    client: Client,
}

async fn started(world: &World) -> Caller {
    let session = world.session().await;
    let (_, accepted) = world.send(&session, "r", "go").await;
    caller(world, &session, accepted["run"]["id"].as_str().unwrap())
}

fn caller(world: &World, session: &str, run: &str) -> Caller {
    let token = read(&world.root.path().join(format!("token-{session}")));
    Caller { session: session.to_owned(), run: run.to_owned(), client: client(Some(&token)) }
}

fn read(file: &Path) -> String {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match std::fs::read_to_string(file) {
            Ok(text) => return text,
            Err(error) => assert!(Instant::now() < deadline, "{}: {error}", file.display()),
        }
        std::thread::yield_now();
    }
}

async fn call(
    world: &World,
    client: &Client,
    method: Method,
    path: &str,
    body: &Value,
) -> (StatusCode, Value) {
    let call = client.request(method.clone(), format!("{}{path}", world.base));
    let call = if method == Method::GET { call } else { call.json(body) };
    super::world::body(call.send().await.unwrap()).await
}

fn go(world: &World) {
    std::fs::write(world.root.path().join("go"), "").unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_works_in_its_own_sessions_and_nowhere_else() {
    let world = World::signed_in(TELLS).await;
    let (own, other) = (started(&world).await, started(&world).await);
    let ask = async |method, path: String, body: Value| call(&world, &own.client, method, &path, &body).await;
    let trigger = async |session: &str| {
        let body = json!({"sessionId": session, "scheduledAt": "2999-01-01", "text": "x"});
        ask(Method::POST, "/api/triggers".into(), body).await
    };
    let (status, child) =
        ask(Method::POST, format!("/api/sessions/{}/delegate", own.session), json!({"task": "help"})).await;
    assert_eq!(status, StatusCode::CREATED, "{child}");
    let child_session = child["session"]["id"].as_str().unwrap();
    for session in [own.session.as_str(), child_session] {
        assert_eq!(ask(Method::GET, format!("/api/sessions/{session}"), json!({})).await.0, StatusCode::OK);
        let say =
            ask(Method::POST, format!("/api/sessions/{session}/assistant-messages"), json!({"text": "x"}));
        assert_eq!(say.await.0, StatusCode::CREATED);
        assert_eq!(trigger(session).await.0, StatusCode::CREATED);
    }
    let child_run = child["run"]["id"].as_str().unwrap();
    assert_eq!(ask(Method::GET, format!("/api/runs/{child_run}"), json!({})).await.0, StatusCode::OK);

    let refused = json!({"error": "The token of this run has the scope \"session\" and may not do that"});
    let refused = (StatusCode::FORBIDDEN, refused);
    let (_, foreign) = world
        .post("/api/triggers", &json!({"sessionId": other.session, "scheduledAt": "2999-01-01", "text": "x"}))
        .await;
    let foreign = foreign["trigger"]["id"].as_str().unwrap();
    assert_eq!(trigger(&other.session).await, refused);
    for (method, path) in [
        (Method::GET, format!("/api/sessions/{}", other.session)),
        (Method::GET, format!("/api/sessions/{}/events?filter=all", other.session)),
        (Method::GET, format!("/api/sessions/{}%2F../{}", own.session, other.session)),
        (Method::POST, format!("/api/sessions/{}/messages", other.session)),
        (Method::POST, format!("/api/sessions/{}/delegate", other.session)),
        (Method::GET, format!("/api/runs/{}/reply", other.run)),
        (Method::POST, format!("/api/runs/{}/cancel", other.run)),
        (Method::GET, format!("/api/triggers/{foreign}")),
        (Method::DELETE, format!("/api/triggers/{foreign}")),
        (Method::GET, "/api/sessions".into()),
        (Method::PATCH, format!("/api/sessions/{}", own.session)),
        (Method::GET, "/api/tokens".into()),
        (Method::GET, "/".into()),
    ] {
        assert_eq!(
            ask(method.clone(), path.clone(), json!({"text": "x", "task": "x"})).await,
            refused,
            "{path}"
        );
    }
    let (_, listed) = ask(Method::GET, "/api/triggers".into(), json!({})).await;
    assert_eq!(listed["triggers"].as_array().unwrap().len(), 2);
    // It may not have answers sent to whom it likes.
    let letter =
        json!({"text": "x", "requestId": "m", "completionTargets": [{"type": "email", "to": "a@b.c"}]});
    let (_, posted) = ask(Method::POST, format!("/api/sessions/{}/messages", own.session), letter).await;
    assert_eq!((&posted["queued"], posted["session"].get("completionTargets")), (&json!(true), None));
    go(&world);
    for run in [&own.run, &other.run, child_run] {
        world.ended(run).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_is_open_to_a_run_or_closed() {
    let world = World::signed_in(TELLS).await;
    let own = started(&world).await;
    let (_, trigger) = world
        .post("/api/triggers", &json!({"sessionId": own.session, "scheduledAt": "2999-01-01", "text": "x"}))
        .await;
    let (_, intent) = world
        .post(
            "/api/assets/upload-intents",
            &json!({"sessionId": own.session, "originalName": "a", "mimeType": "text/plain", "sizeBytes": 1}),
        )
        .await;
    let mut allowed: Vec<String> = Vec::new();
    let mut routes = routes();
    // What ends something comes last.
    routes.sort_by_key(|(method, path)| (*method == Method::DELETE, path.ends_with("/cancel")));
    for (method, route) in routes {
        let id = match route.split('/').nth(2) {
            Some("runs") => &own.run,
            Some("triggers") => trigger["trigger"]["id"].as_str().unwrap(),
            Some("assets") => intent["asset"]["id"].as_str().unwrap(),
            _ => &own.session,
        };
        let path = ["{range}", "{seq}", "{name}", "{*path}", "{*rest}"]
            .iter()
            .fold(route.replace("{id}", id), |path, name| path.replace(name, "1-2"));
        let call = own.client.request(method.clone(), format!("{}{path}", world.base)).send().await.unwrap();
        if call.status() != StatusCode::FORBIDDEN {
            assert_ne!(call.status(), StatusCode::UNAUTHORIZED, "{method} {route}");
            allowed.push(format!("{method} {route}"));
        }
    }
    allowed.sort();
    let mut expected: Vec<&str> = RUN.to_vec();
    expected.sort_unstable();
    assert_eq!(allowed, expected);
    go(&world);
    world.ended(&own.run).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_ends_with_its_run_and_lives_through_a_restart() {
    let mut world = World::signed_in(TELLS).await;
    let own = started(&world).await;
    world.restart().await;
    let path = format!("/api/sessions/{}", own.session);
    assert_eq!(call(&world, &own.client, Method::GET, &path, &json!({})).await.0, StatusCode::OK);
    let token = read(&world.root.path().join(format!("token-{}", own.session)));
    go(&world);
    world.ended(&own.run).await;
    let over = own.client.get(format!("{}{path}", world.base)).send().await.unwrap();
    assert_eq!(over.headers()["www-authenticate"], "Bearer error=\"invalid_token\"");
    assert_eq!(
        (over.status(), over.json::<Value>().await.unwrap()),
        (StatusCode::UNAUTHORIZED, json!({"error": "The run of this token is over"}))
    );
    // It is not a guess, and nothing of it was stored.
    for _ in 0..6 {
        assert_eq!(
            call(&world, &own.client, Method::GET, &path, &json!({})).await.0,
            StatusCode::UNAUTHORIZED
        );
    }
    let other = World::signed_in(TELLS).await;
    let elsewhere = call(&other, &client(Some(&token)), Method::GET, &path, &json!({})).await;
    assert_eq!(elsewhere.1, json!({"error": "Not authenticated"}));
    let secret = token.rsplit('.').next().unwrap();
    world.stopped_for(|| ()).await;
    let mut folders = vec![world.root.path().join("config")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else if let Ok(text) = std::fs::read_to_string(entry.path()) {
                assert!(!text.contains(secret), "{}", entry.path().display());
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_spawns_three_levels_deep_and_twenty_at_once() {
    let world = World::signed_in(TELLS).await;
    let first = started(&world).await;
    let mut runs = vec![first.run.clone()];
    let delegate = async |of: &Caller| {
        let path = format!("/api/sessions/{}/delegate", of.session);
        call(&world, &of.client, Method::POST, &path, &json!({"task": "go on"})).await
    };
    let mut deepest =
        Caller { session: first.session.clone(), run: String::new(), client: first.client.clone() };
    for _ in 0..3 {
        let (status, child) = delegate(&deepest).await;
        assert_eq!(status, StatusCode::CREATED, "{child}");
        let (session, run) = (child["session"]["id"].as_str().unwrap(), child["run"]["id"].as_str().unwrap());
        runs.push(run.to_owned());
        deepest = caller(&world, session, run);
    }
    let too_deep = json!({"error": "sessions may spawn one another 3 levels deep"});
    assert_eq!(delegate(&deepest).await, (StatusCode::FORBIDDEN, too_deep));
    let again = json!({"task": "go on", "requestId": "k"});
    let path = format!("/api/sessions/{}/delegate", first.session);
    let keyed = call(&world, &first.client, Method::POST, &path, &again).await;
    let children = futures_util::future::join_all((0..25).map(|_| delegate(&first))).await;
    let (made, refused): (Vec<_>, Vec<_>) =
        children.into_iter().partition(|(status, _)| *status == StatusCode::CREATED);
    assert_eq!((made.len(), refused.len()), (18, 7));
    // What was answered before is no new one.
    let repeated = call(&world, &first.client, Method::POST, &path, &again).await;
    assert_eq!((repeated.0, &repeated.1["run"]["id"]), (StatusCode::CREATED, &keyed.1["run"]["id"]));
    let too_many = json!({"error": "20 sessions that this one spawned are still at work"});
    assert!(refused.iter().all(|answer| *answer == (StatusCode::TOO_MANY_REQUESTS, too_many.clone())));
    // The owner may.
    let path = format!("/api/sessions/{}/delegate", deepest.session);
    let (status, by_owner) = world.post(&path, &json!({"task": "go on"})).await;
    assert_eq!(status, StatusCode::CREATED);
    go(&world);
    runs.extend(
        made.iter()
            .chain([&(status, by_owner)])
            .map(|(_, child)| child["run"]["id"].as_str().unwrap().to_owned()),
    );
    for run in &runs {
        world.ended(run).await;
    }
    assert_eq!(world.ended(&first.run).await["state"], "completed");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_scope_is_what_the_owner_says_but_for_what_comes_by_mail() {
    for (scope, list, group, name) in [
        ("organise", StatusCode::OK, StatusCode::OK, StatusCode::FORBIDDEN),
        ("owner", StatusCode::OK, StatusCode::OK, StatusCode::OK),
        ("everything", StatusCode::FORBIDDEN, StatusCode::FORBIDDEN, StatusCode::FORBIDDEN),
    ] {
        let world = World::signed_in_with(TELLS, &[("REMOTELAB_RUN_TOKEN_SCOPE", scope)]).await;
        let own = started(&world).await;
        let other = world.session().await;
        let may =
            async |method, path: &str, body: Value| call(&world, &own.client, method, path, &body).await.0;
        assert_eq!(may(Method::GET, "/api/sessions", json!({})).await, list, "{scope}");
        let path = format!("/api/sessions/{other}");
        assert_eq!(
            may(Method::PATCH, &path, json!({"group": "g", "sidebarOrder": 2})).await,
            group,
            "{scope}"
        );
        assert_eq!(may(Method::PATCH, &path, json!({"group": "g", "name": "n"})).await, name, "{scope}");

        let mut runs = vec![own.run.clone()];
        for source in ["email", "mail"] {
            let by_mail = json!({"folder": world.root.path(), "tool": "echo", "sourceId": source});
            let (_, by_mail) = world.post("/api/sessions", &by_mail).await;
            let session = by_mail["session"]["id"].as_str().unwrap();
            let (_, accepted) = world.send(session, "r", "go").await;
            let fed = caller(&world, session, accepted["run"]["id"].as_str().unwrap());
            let (status, _) = call(&world, &fed.client, Method::GET, "/api/sessions", &json!({})).await;
            assert_eq!(status, StatusCode::FORBIDDEN, "{scope} {source}");
            runs.push(fed.run);
        }
        go(&world);
        for run in &runs {
            world.ended(run).await;
        }
    }
}
