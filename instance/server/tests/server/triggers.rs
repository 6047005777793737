//! Triggers: made, changed and delivered over the wire.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use remotelab_protocol::time;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::world::{ECHO, World};

async fn create(world: &World, fields: Value) -> Value {
    let (status, answer) = world.post("/api/triggers", &fields).await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
    answer["trigger"].clone()
}

async fn patch(world: &World, id: &str, fields: Value) -> (StatusCode, Value) {
    let path = format!("/api/triggers/{id}");
    let response = world.request(Method::PATCH, &path).json(&fields).send().await.unwrap();
    (response.status(), response.json().await.unwrap())
}

/// Polls a trigger until it is neither pending nor delivering.
async fn settled(world: &World, id: &str) -> Value {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let (_, answer) = world.get(&format!("/api/triggers/{id}")).await;
        let trigger = &answer["trigger"];
        if !matches!(trigger["status"].as_str(), Some("pending" | "delivering")) {
            return trigger.clone();
        }
        assert!(Instant::now() < deadline, "the trigger is not delivered: {answer}");
        tokio::task::yield_now().await;
    }
}

fn id(trigger: &Value) -> &str {
    trigger["id"].as_str().unwrap()
}

/// Far away from now.
const LATER: &str = "2999-01-01T00:00:00.000Z";

#[tokio::test(flavor = "multi_thread")]
async fn runtime_weakness_32_a_trigger_becomes_an_ordinary_turn_at_its_time() {
    let world = World::signed_in(ECHO).await;
    let session = world.session().await;
    let at = Timestamp::now() + Duration::from_millis(400);
    let fields =
        json!({"sessionId": session, "scheduledAt": time::iso(at), "text": " wake up ", "title": "N2"});
    let made = create(&world, fields).await;
    let trigger_id = id(&made).to_owned();
    assert_eq!(
        made,
        json!({
            "id": trigger_id, "triggerType": "at_time", "actionType": "session_message", "status": "pending",
            "enabled": true, "title": "N2", "sessionId": session, "scheduledAt": time::iso(at), "text": "wake up",
            "tool": "", "model": "", "effort": "", "thinking": false, "requestId": format!("trigger:{trigger_id}"),
            "createdAt": made["createdAt"], "updatedAt": made["createdAt"], "deliveryAttempts": 0,
        })
    );
    let delivered = settled(&world, &trigger_id).await;
    assert_eq!(
        [
            &delivered["status"],
            &delivered["enabled"],
            &delivered["deliveryMode"],
            &delivered["deliveryAttempts"]
        ],
        [&json!("delivered"), &json!(false), &json!("run"), &json!(1)]
    );
    let fired_at = delivered["lastAttemptAt"].as_str().unwrap().parse::<Timestamp>().unwrap();
    let late = fired_at.duration_since(made["scheduledAt"].as_str().unwrap().parse().unwrap());
    assert!(late >= SignedDuration::ZERO && late < SignedDuration::from_secs(10), "{late}");

    let run = world.ended(delivered["runId"].as_str().unwrap()).await;
    assert_eq!((&run["state"], &run["requestId"]), (&json!("completed"), &made["requestId"]));
    let events = world.events(&session, "all").await;
    let count = |kind: &str, content: &str| {
        events.iter().filter(|event| event["type"] == kind && event["content"] == content).count()
    };
    assert_eq!(count("message", "wake up"), 1);
    assert_eq!(count("message", "echo: wake up"), 1);
    assert_eq!(count("status", "scheduled trigger fired: N2"), 1);

    let (status, refused) = patch(&world, &trigger_id, json!({"text": "again"})).await;
    assert_eq!(
        (status, &refused["error"]),
        (
            StatusCode::BAD_REQUEST,
            &json!("Delivered triggers cannot be modified; create a new trigger instead")
        )
    );
    assert_eq!(patch(&world, &trigger_id, json!({"title": "done"})).await.1["trigger"]["title"], "done");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_session_queues_it() {
    let world = World::signed_in("echo '{\"type\":\"thread.started\",\"thread_id\":\"t\"}'; sleep 60").await;
    let session = world.session().await;
    world.send(&session, "r", "start").await;
    let fields = json!({"sessionId": session, "scheduledAt": "2020-01-01", "text": "later"});
    let made = create(&world, fields).await;
    let delivered = settled(&world, id(&made)).await;
    assert_eq!(
        [&delivered["status"], &delivered["deliveryMode"], &delivered["runId"]],
        ["delivered", "queued", ""]
    );
    let line = format!("scheduled trigger queued: {}", id(&made));
    assert!(world.events(&session, "all").await.iter().any(|event| event["content"] == line));
    world.post(&format!("/api/sessions/{session}/cancel"), &json!({})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_cancelled_or_deleted_is_not_delivered() {
    let world = World::signed_in(ECHO).await;
    let session = world.session().await;
    let fields = |at: &str| json!({"sessionId": session, "scheduledAt": at, "text": "x"});
    let (first, second) = (create(&world, fields(LATER)).await, create(&world, fields("2998-01-01")).await);
    let (_, list) = world.get(&format!("/api/triggers?sessionId={session}")).await;
    assert_eq!(list, json!({"triggers": [second, first]}));
    assert_eq!(world.get("/api/triggers?sessionId=other").await.1, json!({"triggers": []}));

    for _ in 0..2 {
        let (status, answer) = patch(&world, id(&first), json!({"enabled": false})).await;
        assert_eq!(
            (status, &answer["trigger"]["status"], &answer["trigger"]["enabled"]),
            (StatusCode::OK, &json!("cancelled"), &json!(false))
        );
    }
    patch(&world, id(&first), json!({"scheduledAt": "2020-01-01"})).await;
    let path = format!("/api/triggers/{}", id(&second));
    let deleted = world.request(Method::DELETE, &path).send().await.unwrap();
    assert_eq!(deleted.json::<Value>().await.unwrap(), json!({"ok": true, "trigger": second}));
    assert_eq!(world.get(&path).await, (StatusCode::NOT_FOUND, json!({"error": "Trigger not found"})));
    assert_eq!(world.get("/api/triggers/..%2fx").await.0, StatusCode::NOT_FOUND);

    let (_, answer) = patch(&world, id(&first), json!({"enabled": true})).await;
    assert_eq!(answer["trigger"]["status"], "pending");
    assert_eq!(settled(&world, id(&first)).await["status"], "delivered");
    assert_eq!(world.events(&session, "all").await.iter().filter(|event| event["role"] == "user").count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_put_away_makes_it_fail_for_good() {
    let world = World::signed_in(ECHO).await;
    let session = world.session().await;
    let at = Timestamp::now() + Duration::from_millis(300);
    let fields = json!({"sessionId": session, "scheduledAt": time::iso(at), "text": "x"});
    let made = create(&world, fields.clone()).await;
    let archive = world.request(Method::PATCH, &format!("/api/sessions/{session}"));
    archive.json(&json!({"archived": true})).send().await.unwrap();
    let failed = settled(&world, id(&made)).await;
    assert_eq!(
        [&failed["status"], &failed["lastError"], &failed["enabled"], &failed["deliveryAttempts"]],
        [&json!("failed"), &json!("Session is archived"), &json!(false), &json!(1)]
    );
    let (status, refused) = world.post("/api/triggers", &fields).await;
    assert_eq!((status, refused), (StatusCode::BAD_REQUEST, json!({"error": "Session is archived"})));
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_requests_say_what_is_wrong() {
    let world = World::signed_in(ECHO).await;
    let session = world.session().await;
    let good = json!({"sessionId": session, "scheduledAt": LATER, "text": "x"});
    let with = |key: &str, value: Value| {
        let mut fields = good.clone();
        fields[key] = value;
        fields
    };
    for (fields, error) in [
        (with("sessionId", json!(" ")), "sessionId is required"),
        (with("sessionId", json!("0".repeat(32))), "Session not found"),
        (with("scheduledAt", json!("soon")), "scheduledAt must be a valid timestamp"),
        (json!({"sessionId": session, "text": "x"}), "scheduledAt must be a valid timestamp"),
        (with("text", json!("")), "text is required"),
        (with("thinking", json!("yes")), "thinking must be a boolean"),
        (with("enabled", json!(1)), "enabled must be a boolean"),
        (json!([]), "Invalid request body"),
    ] {
        assert_eq!(
            world.post("/api/triggers", &fields).await,
            (StatusCode::BAD_REQUEST, json!({"error": error})),
            "{fields}"
        );
    }
    let (status, unknown) = world.post("/api/triggers", &with("tool", json!("nosuch"))).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(unknown["error"].as_str().unwrap().starts_with("Unknown tool \"nosuch\". Known tools: "));
    let large = with("text", json!("x".repeat(40_000)));
    assert_eq!(world.post("/api/triggers", &large).await.0, StatusCode::PAYLOAD_TOO_LARGE);
    let same = with("requestId", json!("r"));
    assert_eq!(create(&world, same.clone()).await, create(&world, same).await);
    assert_eq!(world.get("/api/triggers").await.1["triggers"].as_array().unwrap().len(), 1);
}
