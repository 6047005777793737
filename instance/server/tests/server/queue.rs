//! Messages to a busy session, cancelling, and hints over the socket.

use futures_util::StreamExt;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use super::world::{World, cookie};

/// Answers when the file `go` is in its folder; a second run finds it there at once.
pub(super) const GATED: &str = r#"for last; do :; done
echo '{"type":"thread.started","thread_id":"t"}'
while [ ! -e go ]; do sleep 0.02; done
printf '{"type":"item.completed","item":{"id":"i","type":"agent_message","text":"ok"}}\n'"#;

#[tokio::test(flavor = "multi_thread")]
async fn api_weakness_14_queued_messages_keep_their_request_ids() {
    let world = World::signed_in(GATED).await;
    let id = world.session().await;
    let (_, first) = world.send(&id, "r-1", "start").await;
    let path = format!("/api/sessions/{id}/messages");
    let (status, queued) = world
        .post(&path, &json!({"requestId": "q-1", "text": "also check Linux", "sourceContext": {"n": 1}}))
        .await;
    assert_eq!(
        (status, &queued["queued"], &queued["run"]),
        (StatusCode::ACCEPTED, &json!(true), &Value::Null)
    );
    assert_eq!(queued["session"]["activity"]["queue"], json!({"state": "queued", "count": 1}));
    assert_eq!(queued["session"]["queuedMessages"][0]["text"], "also check Linux");
    let (status, again) = world.post(&path, &json!({"requestId": "q-1", "text": "also check Linux"})).await;
    assert_eq!((status, &again["duplicate"], &again["queued"]), (StatusCode::OK, &json!(true), &json!(true)));
    world.send(&id, "q-2", "and Windows").await;

    std::fs::write(world.root.path().join("go"), "").unwrap();
    world.ended(first["run"]["id"].as_str().unwrap()).await;
    world
        .until(&id, |session| {
            session["activity"]["queue"]["count"] == 0 && session["activity"]["run"]["state"] == "idle"
        })
        .await;
    let events = world.events(&id, "all").await;
    let users: Vec<&Value> = events.iter().filter(|event| event["role"] == "user").collect();
    assert_eq!(users.len(), 2);
    assert_eq!(
        users[1]["content"],
        "Queued follow-up messages sent while RemoteLab was busy:\n\n1. also check Linux\n\n2. and Windows"
    );
    assert_eq!(
        users[1]["sourceContext"],
        json!({"queuedMessages": [{"requestId": "q-1", "sourceContext": {"n": 1}}, {"requestId": "q-2"}]})
    );
    assert!(users[1]["requestId"].as_str().unwrap().starts_with("queued_batch_"));
    // One run answered both, and is one run.
    let (_, listed) = world.get(&format!("/api/sessions/{id}/runs")).await;
    let runs: Vec<&Value> = listed["runs"].as_array().unwrap().iter().map(|run| &run["id"]).collect();
    assert_eq!(runs, [&users[1]["runId"], &users[0]["runId"]]);
    let (status, late) = world.send(&id, "q-2", "and Windows").await;
    assert_eq!(
        (status, &late["duplicate"], &late["queued"], &late["run"]),
        (StatusCode::OK, &json!(true), &json!(false), &Value::Null)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn runtime_weakness_42_a_run_and_a_queue_outlive_the_archive() {
    let world = World::signed_in(GATED).await;
    let id = world.session().await;
    let (_, first) = world.send(&id, "r", "start").await;
    world.send(&id, "q", "and this").await;
    let archive = async |archived: bool| {
        let patch = world.request(reqwest::Method::PATCH, &format!("/api/sessions/{id}"));
        assert_eq!(patch.json(&json!({"archived": archived})).send().await.unwrap().status(), StatusCode::OK);
    };
    archive(true).await;
    // What was accepted stays accepted.
    let (status, again) = world.send(&id, "q", "and this").await;
    assert_eq!((status, &again["duplicate"], &again["queued"]), (StatusCode::OK, &json!(true), &json!(true)));
    assert_eq!(world.send(&id, "new", "no").await.0, StatusCode::CONFLICT);
    std::fs::write(world.root.path().join("go"), "").unwrap();
    world.ended(first["run"]["id"].as_str().unwrap()).await;
    archive(false).await;
    world
        .until(&id, |session| session["activity"]["queue"]["count"] == 0 && session["messageCount"] == 4)
        .await;
}

/// A message that waited is known for ever, not only while it is among the last hundred.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_delivered_long_ago_is_not_delivered_again() {
    let world = World::signed_in(GATED).await;
    let id = world.session().await;
    let go = world.root.path().join("go");
    for batch in 0..2_u64 {
        world.send(&id, &format!("r-{batch}"), "start").await;
        for n in 0..60 {
            let (status, answer) = world.send(&id, &format!("q-{batch}-{n}"), "x").await;
            assert_eq!((status, &answer["queued"]), (StatusCode::ACCEPTED, &json!(true)));
        }
        std::fs::write(&go, "").unwrap();
        let turns = 4 * (batch + 1);
        let is_done = |session: &Value| {
            session["messageCount"] == turns && session["activity"]["run"]["state"] == "idle"
        };
        world.until(&id, is_done).await;
        std::fs::remove_file(&go).unwrap();
    }
    let (status, again) = world.send(&id, "q-0-0", "x").await;
    assert_eq!(
        (status, &again["duplicate"], &again["queued"], &again["run"]),
        (StatusCode::OK, &json!(true), &json!(false), &Value::Null)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_has_an_end() {
    let world = World::signed_in(GATED).await;
    let id = world.session().await;
    world.send(&id, "r", "start").await;
    for n in 0..100 {
        assert_eq!(world.send(&id, &format!("q-{n}"), "x").await.0, StatusCode::ACCEPTED);
    }
    assert_eq!(world.send(&id, "q-100", "x").await.0, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(world.send(&id, "q-99", "x").await.0, StatusCode::OK);
    world.post(&format!("/api/sessions/{id}/cancel"), &json!({})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_can_be_stopped() {
    let world = World::signed_in(GATED).await;
    let id = world.session().await;
    let (_, accepted) = world.send(&id, "r", "start").await;
    let run = accepted["run"]["id"].as_str().unwrap();
    let (status, answer) = world.post(&format!("/api/sessions/{id}/cancel"), &json!({})).await;
    assert_eq!((status, &answer["run"]["cancelRequested"]), (StatusCode::OK, &json!(true)));
    let ended = world.ended(run).await;
    assert_eq!(
        (&ended["state"], &ended["result"]["cancelled"], &ended["failureReason"]),
        (&json!("cancelled"), &json!(true), &Value::Null)
    );
    assert_eq!(world.events(&id, "visible").await.last().unwrap()["content"], "cancelled");
    let (status, idle) = world.post(&format!("/api/sessions/{id}/cancel"), &json!({})).await;
    assert_eq!((status, &idle["run"]), (StatusCode::OK, &Value::Null));
    let (status, again) = world.post(&format!("/api/runs/{run}/cancel"), &json!({})).await;
    assert_eq!((status, &again["run"]["state"]), (StatusCode::OK, &json!("cancelled")));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_socket_hints_and_takes_no_messages() {
    let world = World::signed_in(GATED).await;
    let link = world.open_link().await;
    let address = format!("{}/ws", world.base.replace("http://", "ws://"));
    let refused = tokio_tungstenite::connect_async(&address).await.unwrap_err();
    assert!(refused.to_string().contains("401"), "{refused}");

    let mut request = address.into_client_request().unwrap();
    request.headers_mut().insert("cookie", cookie(&link).unwrap().parse().unwrap());
    let (mut socket, _) = tokio_tungstenite::connect_async(request).await.unwrap();
    // What comes when the client is connected is told, also before it hears anything.
    let id = world.session().await;
    let mut next = async || -> Value {
        let message = socket.next().await.unwrap().unwrap();
        serde_json::from_str(message.to_text().unwrap()).unwrap()
    };
    assert_eq!(next().await["type"], "build_info");
    assert_eq!(next().await, json!({"type": "sessions_invalidated"}));
    world.send(&id, "r", "start").await;
    assert_eq!(next().await, json!({"type": "session_invalidated", "sessionId": id}));
    world.post(&format!("/api/sessions/{id}/cancel"), &json!({})).await;

    futures_util::SinkExt::send(&mut socket, tokio_tungstenite::tungstenite::Message::text("hello"))
        .await
        .unwrap();
    let closed = loop {
        if let tokio_tungstenite::tungstenite::Message::Close(frame) = socket.next().await.unwrap().unwrap() {
            break frame.unwrap();
        }
    };
    assert_eq!((u16::from(closed.code), closed.reason.as_str()), (1008, "Push-only WebSocket"));
}
