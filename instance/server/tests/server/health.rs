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
