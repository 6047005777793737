//! What an instance may use, and how it is refused more.

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::world::World;

const QUICK: &str = "echo done";

#[tokio::test(flavor = "multi_thread")]
async fn more_runs_than_a_day_may_have_are_refused_and_everything_else_goes_on() {
    let world = World::signed_in_with(QUICK, &[("REMOTELAB_QUOTA_RUNS", "1")]).await;
    let id = world.session().await;
    let (status, first) = world.send(&id, "r-1", "one").await;
    assert_eq!(status, StatusCode::ACCEPTED);
    world.ended(first["run"]["id"].as_str().unwrap()).await;
    let (status, refused) = world.send(&id, "r-2", "two").await;
    let reason = "All work that may begin today has begun (1 runs). It goes on tomorrow, or ask whoever runs this machine";
    assert_eq!((status, refused), (StatusCode::TOO_MANY_REQUESTS, json!({"error": reason})));
    // What was accepted stays so, and can be read.
    let (status, again) = world.send(&id, "r-1", "one").await;
    assert_eq!((status, &again["duplicate"]), (StatusCode::OK, &Value::Bool(true)));
    assert_eq!(world.get(&format!("/api/sessions/{id}/events")).await.0, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_and_work_are_refused_when_the_room_is_used_up() {
    let world = World::signed_in_with(QUICK, &[("REMOTELAB_QUOTA_DISK", "1")]).await;
    let id = world.session().await;
    let reason =
        "The files here take all the room they may (1 B). Delete some, or ask whoever runs this machine";
    let full = (StatusCode::INSUFFICIENT_STORAGE, json!({"error": reason}));
    assert_eq!(world.send(&id, "r-1", "one").await, full);
    let intent = json!({"sessionId": id, "originalName": "a.txt", "sizeBytes": 1});
    assert_eq!(world.post("/api/assets/upload-intents", &intent).await, full);
    assert_eq!(world.get(&format!("/api/sessions/{id}")).await.0, StatusCode::OK);
}
