//! A disk that takes no more: nothing is acknowledged that is not kept, and a restart goes on.

use reqwest::StatusCode;
use serde_json::json;

use super::world::{ECHO, World};

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_refuses_is_said_so_and_a_restart_goes_on() {
    let mut world = World::furnished(ECHO);
    // No file grows beyond some megabytes.
    world.start_process_with("trap '' XFSZ; ulimit -f 8192").await;
    world.sign_in().await;
    let id = world.session().await;
    world.turn(&id, "before", "hello").await;

    let refused = json!({"error": "the instance cannot store anything at the moment"});
    let large = world.send(&id, "large", &"x".repeat(12 << 20)).await;
    assert_eq!(large, (StatusCode::SERVICE_UNAVAILABLE, refused.clone()));
    assert_eq!(world.send(&id, "small", "y").await, (StatusCode::SERVICE_UNAVAILABLE, refused));
    let told = json!({"status": "degraded", "acceptsWrites": false, "damaged": []});
    assert_eq!(world.get("/api/health").await, (StatusCode::OK, told));

    world.kill_and_start_again().await;
    let well = json!({"status": "ok", "acceptsWrites": true, "damaged": []});
    assert_eq!(world.get("/api/health").await, (StatusCode::OK, well));
    assert_eq!(world.send(&id, "before", "hello").await.0, StatusCode::OK);
    world.turn(&id, "small", "y").await;
    let said: Vec<_> =
        world.events(&id, "all").await.into_iter().filter(|event| event["role"] == "user").collect();
    let said: Vec<&str> = said.iter().map(|event| event["content"].as_str().unwrap()).collect();
    assert_eq!(said, ["hello", "y"]);
}
