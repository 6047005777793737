//! What the owner is told about damage.

use remotelab_config::InstancePaths;
use reqwest::{Method, StatusCode};
use serde_json::json;

use super::world::{ECHO, World, cookie};

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_in_order_says_so_to_its_owner() {
    let world = World::signed_in(ECHO).await;
    let well = json!({"status": "ok", "acceptsWrites": true, "damaged": []});
    assert_eq!(world.get("/api/health").await, (StatusCode::OK, well));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_record_is_named() {
    let root = tempfile::tempdir().unwrap();
    let session = InstancePaths::below(root.path()).chat_history().join("ab".repeat(16));
    std::fs::create_dir_all(&session).unwrap();
    std::fs::write(session.join("session.json"), "{").unwrap();
    let world = World::start_in(root, ECHO).await;
    let login = cookie(&world.open_link().await).unwrap();
    let answer = world.request(Method::GET, "/api/health").header("cookie", login).send().await.unwrap();
    let told: serde_json::Value = answer.json().await.unwrap();
    let reason = told["damaged"][0]["reason"].clone();
    assert!(reason.is_string(), "{told}");
    let path = format!("chat-history/{}/session.json", "ab".repeat(16));
    let expected = json!({
        "status": "degraded", "acceptsWrites": true, "damaged": [{"path": path, "reason": reason}],
    });
    assert_eq!(told, expected);
}

/// What stands for the whole instance is told at once, all the rest when somebody has it looked at.
#[tokio::test(flavor = "multi_thread")]
async fn damage_anywhere_is_told() {
    let mut world = World::signed_in(ECHO).await;
    let id = world.session().await;
    let run = world.turn(&id, "r1", "hello").await;
    let paths = InstancePaths::below(world.root.path());
    let files = ["webhooks/outbox/one.json", "install-handoffs.json", "run-tokens.json"];
    let event = format!("chat-history/{id}/events/000000001.json");
    let ended = format!("chat-runs/{run}/status.json");
    world
        .stopped_for(|| {
            std::fs::create_dir_all(paths.config().join("webhooks/outbox")).unwrap();
            files.iter().chain([&event.as_str(), &ended.as_str()]).for_each(|file| {
                std::fs::write(paths.config().join(file), "{").unwrap();
            });
        })
        .await;
    assert_eq!(told(&world, "/api/health").await, sorted(&files));
    let all: Vec<&str> = files.into_iter().chain([event.as_str(), ended.as_str()]).collect();
    assert_eq!(told(&world, "/api/health?scan=1").await, sorted(&all));
    assert_eq!(told(&world, "/api/health").await, sorted(&all));
}

async fn told(world: &World, path: &str) -> Vec<String> {
    let (_, health) = world.get(path).await;
    assert_eq!(health["status"], "degraded");
    let damaged = health["damaged"].as_array().unwrap().iter();
    let paths: Vec<&str> = damaged.map(|damage| damage["path"].as_str().unwrap()).collect();
    sorted(&paths)
}

fn sorted(paths: &[&str]) -> Vec<String> {
    let mut paths: Vec<String> = paths.iter().map(|&path| path.to_owned()).collect();
    paths.sort();
    paths
}
