//! Scoped tokens: what a connector may do with one, and what nobody may do without.

use std::collections::BTreeSet;
use std::time::Duration;

use remotelab_config::api_tokens::{Scope, TokenFile};
use remotelab_config::auth::{Auth, Login};
use remotelab_config::{InstancePaths, password};
use reqwest::header::AUTHORIZATION;
use reqwest::{Client, Method, Response, StatusCode};
use serde_json::{Value, json};

use super::world::{ECHO, World};

/// What a connector's token allows; everything else is refused.
pub(super) const CONNECTOR: &[&str] = &[
    "GET /api/assets/{id}",
    "PUT /api/assets/{id}/content",
    "GET /api/assets/{id}/download",
    "POST /api/assets/{id}/finalize",
    "POST /api/assets/upload-intents",
    "GET /api/media/{name}",
    "GET /api/build-info",
    "GET /api/completions",
    "POST /api/completions/{id}",
    "GET /api/openapi.json",
    "GET /api/runs/{id}",
    "GET /api/runs/{id}/reply",
    "GET /api/sessions",
    "POST /api/sessions",
    "GET /api/sessions/archived",
    "GET /api/sessions/{id}",
    "GET /api/sessions/{id}/events",
    "GET /api/sessions/{id}/events/blocks/{range}",
    "GET /api/sessions/{id}/events/{seq}/body",
    "POST /api/sessions/{id}/messages",
    "GET /api/sessions/{id}/runs",
    "GET /api/sessions/{id}/source-context",
    "GET /api/sessions/{id}/stream",
    "GET /api/tools",
    "GET /ws",
];

/// What needs no login.
const PUBLIC: &[&str] = &[
    "/api/build-info",
    "/api/install/handoff/redeem",
    "/assets/{*path}",
    "/favicon.ico",
    "/icon.svg",
    "/login",
    "/logout",
    "/m/continue",
    "/m/install",
    "/manifest.install.json",
    "/manifest.json",
];

#[tokio::test(flavor = "multi_thread")]
async fn every_route_is_open_to_whom_it_should_be() {
    let world = World::signed_in(ECHO).await;
    let session = world.session().await;
    let (_, accepted) = world.send(&session, "r", "go").await;
    let run = world.ended(accepted["run"]["id"].as_str().unwrap()).await;
    let nobody = client(None);
    let connector = client(Some(&token(&world).await.1));
    let mut allowed = BTreeSet::new();
    for (method, route) in routes() {
        let owner_of_id =
            if route.starts_with("/api/runs/") { run["id"].as_str().unwrap() } else { &session };
        let path = route
            .replace("{id}", owner_of_id)
            .replace("{range}", "1-2")
            .replace("{seq}", "1")
            .replace("{name}", "x.png")
            .replace("{*path}", "app.css")
            .replace("{*rest}", "x");
        assert!(!path.contains('{'), "{path}");
        let ask = |client: &Client| client.request(method.clone(), format!("{}{path}", world.base)).send();
        let named = format!("{method} {route}");

        let answer = ask(&nobody).await.unwrap();
        let status = answer.status();
        if PUBLIC.contains(&route.as_str()) {
            assert_ne!(status, StatusCode::UNAUTHORIZED, "{named}");
        } else if ["/api/", "/ui/", "/ws"].iter().any(|start| route.starts_with(start)) {
            assert_eq!(status, StatusCode::UNAUTHORIZED, "{named}");
        } else {
            assert_eq!(status, StatusCode::FOUND, "{named}");
            assert!(answer.headers()["location"].to_str().unwrap().starts_with("/login"), "{named}");
        }

        let answer = ask(&connector).await.unwrap();
        assert!(answer.headers().get("set-cookie").is_none(), "{named}");
        if answer.status() == StatusCode::FORBIDDEN {
            let refused: Value = answer.json().await.unwrap();
            assert_eq!(refused, json!({"error": "This token may not do that"}), "{named}");
        } else {
            assert_ne!(answer.status(), StatusCode::UNAUTHORIZED, "{named}");
            allowed.insert(named.clone());
        }

        // Forms of pages carry a token of their own; signing out would end the table.
        let has_form = route.starts_with("/ui/") || named == "POST /m/install";
        if !has_form && route != "/logout" {
            let status = ask(&world.client).await.unwrap().status();
            assert!(
                ![StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN].contains(&status),
                "{named}: {status}"
            );
        }
    }
    assert_eq!(allowed, CONNECTOR.iter().map(|&named| named.to_owned()).collect());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connector_works_with_its_token_alone() {
    let mut world = World::signed_in(ECHO).await;
    let (_, text) = token(&world).await;
    world.client = client(Some(&text));
    let create = json!({"folder": world.root.path(), "tool": "echo", "externalTriggerId": "a:1"});
    // There is no cookie that another site could borrow.
    let created = world
        .request(Method::POST, "/api/sessions")
        .header("origin", "https://bot.example")
        .header("sec-fetch-site", "cross-site")
        .json(&create)
        .send()
        .await
        .unwrap();
    assert_eq!(created.status(), StatusCode::CREATED);
    let created: Value = created.json().await.unwrap();
    let id = created["session"]["id"].as_str().unwrap();
    let (status, accepted) = world.send(id, "a:1:1", "hello").await;
    assert_eq!(status, StatusCode::ACCEPTED);
    let run = world.ended(accepted["run"]["id"].as_str().unwrap()).await;
    assert_eq!(run["state"], "completed");
    let events = world.events(id, "all").await;
    assert!(events.iter().any(|event| event["content"] == "echo: hello"));
    // A link's token beside it is not looked at and signs nobody in.
    let beside =
        world.request(Method::GET, &format!("/api/tools?token={}", world.token())).send().await.unwrap();
    assert_eq!((beside.status(), beside.headers().get("set-cookie")), (StatusCode::OK, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_shown_once_and_is_refused_as_soon_as_it_is_revoked() {
    let world = World::signed_in(ECHO).await;
    let asked = json!({"name": "GitHub bot", "expires": "2999-01-01T00:00:00Z"});
    let (status, made) = world.post("/api/tokens", &asked).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    let text = made["token"]["token"].as_str().unwrap();
    assert!(text.len() == 68 && text.starts_with("rlt_"), "{text}");
    let id = made["token"]["id"].as_str().unwrap();
    assert_eq!(get(&world, text).await.status(), StatusCode::OK);
    let (_, listed) = world.get("/api/tokens").await;
    let token = &listed["tokens"][0];
    assert_eq!(
        (&token["id"], &token["name"], &token["scope"], &token["expires"]),
        (&json!(id), &json!("GitHub bot"), &json!("connector"), &json!("2999-01-01T00:00:00.000Z"))
    );
    assert!(token["lastUsed"].is_string() && token.get("token").is_none() && token.get("sha256").is_none());
    let (status, _) = delete(&world, id).await;
    assert_eq!(status, StatusCode::OK);
    let refused = get(&world, text).await;
    assert_eq!(refused.headers()["www-authenticate"], "Bearer error=\"invalid_token\"");
    assert_eq!(
        (refused.status(), refused.json::<Value>().await.unwrap()),
        (StatusCode::UNAUTHORIZED, json!({"error": "Not authenticated"}))
    );
    assert_eq!(delete(&world, id).await, (StatusCode::NOT_FOUND, json!({"error": "Token not found"})));
    for (wrong, error) in [
        (json!({"name": " "}), "a token needs a name of at most 80 characters"),
        (json!({"name": "x", "scope": "owner"}), "Invalid request body"),
        (json!({"name": "x", "expires": "2001-01-01T00:00:00Z"}), "expires must be in the future"),
    ] {
        let refused = (StatusCode::BAD_REQUEST, json!({"error": error}));
        assert_eq!(world.post("/api/tokens", &wrong).await, refused);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_the_command_line_changes_need_no_restart() {
    let world = World::start(ECHO).await;
    let file = TokenFile::in_folder(InstancePaths::below(world.root.path()).config());
    let now = jiff::Timestamp::now();
    let (token, text) = file.create("bot", Scope::Connector, None, now).unwrap();
    assert_eq!(get(&world, &text).await.status(), StatusCode::OK);
    file.revoke(&token.id).unwrap();
    assert_eq!(get(&world, &text).await.status(), StatusCode::UNAUTHORIZED);
    let (_, expired) = file.create("bot", Scope::Connector, Some(now), now).unwrap();
    assert_eq!(get(&world, &expired).await.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test(flavor = "multi_thread")]
async fn guessed_tokens_count_like_other_failures() {
    let world = World::signed_in(ECHO).await;
    let (_, right) = token(&world).await;
    for guess in ["rlt_guess", "rlt_", "x", &right[4..], &format!("{right}0")] {
        assert_eq!(get(&world, guess).await.status(), StatusCode::UNAUTHORIZED, "{guess}");
    }
    let locked = get(&world, "x").await;
    assert_eq!(
        (locked.status(), locked.headers()["retry-after"].to_str().unwrap()),
        (StatusCode::TOO_MANY_REQUESTS, "60")
    );
    // From elsewhere, a link that is right has to wait, too.
    let link = format!("{}/?token={}", world.base, world.token());
    let elsewhere = client(None).get(&link).header("x-forwarded-for", "10.1.2.3").send().await.unwrap();
    assert_eq!(elsewhere.status(), StatusCode::TOO_MANY_REQUESTS);
    // Who is known already goes on.
    assert_eq!(get(&world, &right).await.status(), StatusCode::OK);
    assert_eq!(world.get("/api/sessions").await.0, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_owner_s_token_needs_no_login() {
    let world = World::start(ECHO).await;
    let owner = client(Some(world.token()));
    for path in ["/api/auth/me", "/api/sessions", "/api/tokens", "/"] {
        let answer = owner.get(format!("{}{path}", world.base)).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        assert!(answer.headers().get("set-cookie").is_none(), "{path}");
    }
    assert!(!world.root.path().join("config/auth-sessions.json").exists());
}

/// All programs of this machine are one client: those with an old token must not keep the others out. A password
/// could be guessed and waits.
#[tokio::test(flavor = "multi_thread")]
async fn guesses_on_this_machine_do_not_lock_its_right_tokens_out() {
    let world = World::start(ECHO).await;
    let paths = InstancePaths::below(world.root.path());
    let mut auth = Auth::load(&paths.auth()).unwrap();
    auth.login = Some(Login { username: "owner".into(), password_hash: password::hash("secret") });
    auth.save(&paths.auth()).unwrap();
    let stale = "0123456789abcdef".repeat(4);
    for _ in 0..5 {
        assert_eq!(get(&world, &stale).await.status(), StatusCode::UNAUTHORIZED);
    }
    assert_eq!(get(&world, &stale).await.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(get(&world, world.token()).await.status(), StatusCode::OK);
    assert!(super::world::cookie(&world.open_link().await).is_some());
    let form = async |fields: &[(&str, &str)]| {
        world.request(Method::POST, "/login").form(fields).send().await.unwrap().status()
    };
    assert_eq!(form(&[("type", "token"), ("token", world.token())]).await, StatusCode::FOUND);
    let password = [("type", "password"), ("username", "owner"), ("password", "secret")];
    assert_eq!(form(&password).await, StatusCode::TOO_MANY_REQUESTS);
    // What came through somebody else is not from this machine.
    let forwarded = client(Some(world.token())).get(format!("{}/api/sessions", world.base));
    let forwarded = forwarded.header("cf-connecting-ip", "10.1.2.3").send().await.unwrap();
    assert_eq!(forwarded.status(), StatusCode::TOO_MANY_REQUESTS);
}

/// Makes a token; returns its id and its text.
pub(super) async fn token(world: &World) -> (String, String) {
    let (status, made) = world.post("/api/tokens", &json!({"name": "bot", "scope": "connector"})).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    let text = |key: &str| made["token"][key].as_str().unwrap().to_owned();
    (text("id"), text("token"))
}

/// A client without cookies.
pub(super) fn client(token: Option<&str>) -> Client {
    let value = token.map(|token| (AUTHORIZATION, format!("Bearer {token}").parse().unwrap()));
    Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(Duration::from_secs(20))
        .default_headers(value.into_iter().collect())
        .build()
        .unwrap()
}

pub(super) async fn delete(world: &World, id: &str) -> (StatusCode, Value) {
    let answer = world.request(Method::DELETE, &format!("/api/tokens/{id}")).send().await.unwrap();
    (answer.status(), answer.json().await.unwrap())
}

async fn get(world: &World, token: &str) -> Response {
    client(Some(token)).get(format!("{}/api/sessions", world.base)).send().await.unwrap()
}

/// Reads all routes from their table of contents, so that none is forgotten here.
pub(super) fn routes() -> Vec<(Method, String)> {
    let source = include_str!("../../src/http.rs");
    let mut routes = Vec::new();
    for part in source.split(".route(").skip(1) {
        let (_, part) = part.split_once('"').unwrap();
        let (path, handlers) = part.split_once('"').unwrap();
        let handlers = handlers.split(".fallback").next().unwrap();
        for method in [Method::GET, Method::POST, Method::PATCH, Method::PUT, Method::DELETE] {
            let call = format!("{}(", method.as_str().to_lowercase());
            let named = handlers.match_indices(&call).any(|(at, _)| {
                at == 0
                    || !handlers.as_bytes()[at - 1].is_ascii_alphanumeric()
                        && handlers.as_bytes()[at - 1] != b':'
            });
            if named {
                routes.push((method, path.to_owned()));
            }
        }
    }
    assert!(routes.len() > 40, "{routes:?}");
    routes
}
