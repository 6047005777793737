//! A disk that takes no more: nothing is acknowledged or shown that is not kept, and the instance goes on by itself.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::world::{ECHO, World};

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_refuses_ends_the_server_and_the_next_goes_on() {
    let mut world = World::furnished(ECHO);
    // No file grows beyond some megabytes.
    world.start_process_with("trap '' XFSZ; ulimit -f 8192").await;
    world.sign_in().await;
    let id = world.session().await;
    world.turn(&id, "before", "hello").await;

    let refused = json!({"error": "the instance cannot store anything at the moment"});
    let large = world.send(&id, "large", &"x".repeat(12 << 20)).await;
    assert_eq!(large, (StatusCode::SERVICE_UNAVAILABLE, refused));
    let ended = tokio::time::timeout(Duration::from_secs(20), world.process.as_mut().unwrap().wait()).await;
    assert!(!ended.unwrap().unwrap().success(), "who keeps it is to start it again");

    world.start_process().await;
    let well = json!({"status": "ok", "acceptsWrites": true, "damaged": []});
    assert_eq!(world.get("/api/health").await, (StatusCode::OK, well));
    assert_eq!(world.send(&id, "before", "hello").await.0, StatusCode::OK);
    world.turn(&id, "small", "y").await;
    assert_eq!(said(&world, &id).await, ["hello", "y"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_nearly_full_is_still_read() {
    let mut world = World::signed_in(ECHO).await;
    let id = world.session().await;
    world.turn(&id, "before", "hello").await;
    // No disk has so much.
    world.restart_with(&[("REMOTELAB_FREE_DISK_MIB", "1000000000000")]).await;

    let told = json!({"error": "The disk of this machine is nearly full; nothing was stored. Send it again when \
        its owner has made room."});
    assert_eq!(world.send(&id, "more", "y").await, (StatusCode::SERVICE_UNAVAILABLE, told));
    let health = json!({"status": "degraded", "acceptsWrites": false, "damaged": []});
    assert_eq!(world.get("/api/health").await, (StatusCode::OK, health));
    assert_eq!(said(&world, &id).await, ["hello"]);
    let (status, _) = world.post(&format!("/api/sessions/{id}/cancel"), &json!({})).await;
    assert_ne!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(world.open_link().await.headers().contains_key("set-cookie"));

    world.restart_with(&[]).await;
    world.turn(&id, "more", "y").await;
    assert_eq!(said(&world, &id).await, ["hello", "y"]);
}

async fn said(world: &World, id: &str) -> Vec<String> {
    let events: Vec<Value> = world.events(id, "all").await;
    let of_user = events.into_iter().filter(|event| event["role"] == "user");
    of_user.map(|event| event["content"].as_str().unwrap().to_owned()).collect()
}
