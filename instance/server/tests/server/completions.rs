//! Answers for targets that connectors name: who is told of them, when, and that nothing is lost or told twice.

use std::fs;
use std::time::Instant;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::queue::GATED;
use super::tokens::{client, token};
use super::world::{ECHO, PATIENCE, World};

/// Creates the session of a conversation, or finds it, with targets.
async fn create(world: &World, targets: Value) -> Value {
    let folder = world.root.path();
    let request = json!({"folder": folder, "tool": "echo", "externalTriggerId": "mail:1", "completionTargets": targets});
    let (status, answer) = world.post("/api/sessions", &request).await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
    answer["session"].clone()
}

fn target(request: &str) -> Value {
    json!({"type": "email", "to": "a@example.com", "requestId": request})
}

async fn told(world: &World, query: &str) -> Vec<Value> {
    let (status, answer) = world.get(&format!("/api/completions?type=email{query}")).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    answer["completions"].as_array().unwrap().clone()
}

async fn report(world: &World, completion: &Value, state: &str) -> (StatusCode, Value) {
    let id = completion["id"].as_str().unwrap().replace(':', "%3A");
    let body = json!({"state": state, "delivery": {"provider": "smtp"}, "lastError": "busy"});
    world.post(&format!("/api/completions/{id}"), &body).await
}

/// What an answer says, without what is different each time.
fn essence(completion: &Value) -> Value {
    json!([
        completion["target"]["requestId"],
        completion["target"]["id"],
        completion["state"],
        completion["reply"],
        completion["requestIds"]
    ])
}

async fn go(world: &World, run: &Value) {
    fs::write(world.root.path().join("go"), "").unwrap();
    world.ended(run["run"]["id"].as_str().unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_waits_until_somebody_says_what_became_of_it() {
    let world = World::signed_in(ECHO).await;
    let session = create(&world, json!([target("r-1"), {"type": "sms", "to": "1"}])).await;
    let id = session["id"].as_str().unwrap();
    assert_eq!(told(&world, "").await, [Value::Null; 0]);
    let waiting = tokio::spawn({
        let call = world.request(Method::GET, "/api/completions?type=email&wait=20");
        async move { super::world::body(call.send().await.unwrap()).await.1 }
    });
    let run = world.turn(id, "r-1", "hello").await;
    let waited = waiting.await.unwrap();
    let completion = &waited["completions"][0];
    assert_eq!(
        *completion,
        json!({"id": format!("{run}:email_target_1"), "runId": run, "sessionId": id, "taken": false,
            "createdAt": completion["createdAt"], "state": "completed", "failureReason": null,
            "reply": "echo: hello", "replyTruncated": false, "attachments": [], "requestIds": ["r-1"],
            "settledRunId": run,
            "target": {"id": "email_target_1", "type": "email", "enabled": true, "requestId": "r-1",
                "to": "a@example.com", "from": "", "subject": "", "inReplyTo": "", "references": "",
                "mailboxRoot": "", "mailboxItemId": ""}})
    );
    assert_eq!((&waited["hasMore"], &waited["nextCursor"]), (&json!(false), &Value::Null));
    assert_eq!(told(&world, "").await, std::slice::from_ref(completion));
    assert_eq!(world.get("/api/completions?type=sms").await.1["completions"], json!([]));

    // In hand: told again only to who asks for it.
    let (status, sending) = report(&world, completion, "sending").await;
    assert_eq!((status, &sending["completion"]["attempts"]), (StatusCode::OK, &json!(1)));
    assert_eq!(told(&world, "").await, [Value::Null; 0]);
    assert_eq!(told(&world, "&again=1").await[0]["taken"], true);
    let (_, again) = report(&world, completion, "sending").await;
    assert_eq!(again["completion"]["attempts"], 2);

    let (status, sent) = report(&world, completion, "sent").await;
    assert_eq!(status, StatusCode::OK);
    let (_, stored) = world.get(&format!("/api/runs/{run}")).await;
    let state = &stored["run"]["completionTargets"]["email_target_1"];
    assert_eq!(
        *state,
        json!({"id": "email_target_1", "requestId": "r-1", "state": "sent", "startedAt": state["startedAt"],
            "attempts": 2, "lastError": "", "deliveredAt": state["deliveredAt"], "delivery": {"provider": "smtp"}})
    );
    assert_eq!(sent["completion"], *state);
    // The last word counts, however often it is said, and nothing of it waits.
    assert_eq!(report(&world, completion, "failed").await, (StatusCode::OK, sent));
    assert_eq!(told(&world, "&again=1").await, [Value::Null; 0]);
    let files = || fs::read_dir(world.root.path().join("config/completions")).map_or(0, Iterator::count);
    let deadline = Instant::now() + PATIENCE;
    while files() > 0 {
        assert!(Instant::now() < deadline, "its file stays");
        tokio::task::yield_now().await;
    }
    for (id, body, status) in [
        ("run_0:x", json!({"state": "sent"}), StatusCode::NOT_FOUND),
        (&format!("{run}:other"), json!({"state": "sent"}), StatusCode::NOT_FOUND),
        ("x", json!({"state": "done"}), StatusCode::BAD_REQUEST),
        ("x", json!({"state": "sent", "delivery": 7}), StatusCode::BAD_REQUEST),
    ] {
        assert_eq!(world.post(&format!("/api/completions/{id}"), &body).await.0, status, "{id} {body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn targets_of_two_requests_are_both_kept_and_a_batch_completes_all_of_its_own() {
    let world = World::signed_in(GATED).await;
    let session = create(&world, json!([target("q-1")])).await;
    let id = session["id"].as_str().unwrap();
    let (_, first) = world.send(id, "r-1", "start").await;
    let both = create(&world, json!([target("q-2")])).await;
    let kept: Vec<&Value> =
        both["completionTargets"].as_array().unwrap().iter().map(|target| &target["requestId"]).collect();
    assert_eq!(kept, ["q-1", "q-2"]);
    for request in ["q-1", "q-2"] {
        world.send(id, request, "also").await;
    }
    go(&world, &first).await;
    world.until(id, |session| session["messageCount"] == 4).await;
    let mut answers = told(&world, "&wait=20").await;
    answers.sort_by_key(|answer| answer["id"].to_string());
    let asked = json!(["q-1", "q-2"]);
    assert_eq!(
        answers.iter().map(essence).collect::<Vec<_>>(),
        [
            json!(["q-1", "email_target_1", "completed", "ok", asked]),
            json!(["q-2", "email_target_1", "completed", "ok", asked])
        ]
    );
    assert_ne!(answers[0]["id"], answers[1]["id"]);
    // A page at a time.
    let (_, page) = world.get("/api/completions?limit=1").await;
    let (_, rest) =
        world.get(&format!("/api/completions?limit=1&cursor={}", page["nextCursor"].as_str().unwrap())).await;
    assert_eq!(
        [&page["completions"][0], &rest["completions"][0], &rest["hasMore"]],
        [&answers[0], &answers[1], &json!(false)]
    );
    // They have left the session.
    let (_, left) = world.get(&format!("/api/sessions/{id}")).await;
    assert_eq!(left["session"].get("completionTargets"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_target_is_completed_at_once_and_a_repeated_create_adds_nothing() {
    let world = World::signed_in(ECHO).await;
    let session = create(&world, json!([])).await;
    let id = session["id"].as_str().unwrap();
    world.turn(id, "r-1", "hello").await;
    create(&world, json!([target("r-1")])).await;
    create(&world, json!([target("r-1")])).await;
    let answers = told(&world, "").await;
    assert_eq!(
        answers.iter().map(essence).collect::<Vec<_>>(),
        [json!(["r-1", "email_target_1", "completed", "echo: hello", ["r-1"]])]
    );
    report(&world, &answers[0], "sent").await;
    let again = create(&world, json!([target("r-1")])).await;
    assert_eq!(told(&world, "&again=1").await, [Value::Null; 0]);
    assert_eq!(again.get("completionTargets"), None);
    // Another one of the same request is another one.
    create(&world, json!([{"type": "email", "to": "b@example.com", "id": "other", "requestId": "r-1"}]))
        .await;
    assert_eq!(told(&world, "").await[0]["target"]["to"], "b@example.com");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_comes_with_its_message_and_one_for_all_answers_stays() {
    let world = World::signed_in(ECHO).await;
    let all = json!([{"type": "email", "to": "all@example.com", "id": "all"},
        {"type": "email", "to": "no@example.com", "id": "off", "enabled": false}]);
    let session = create(&world, all).await;
    let id = session["id"].as_str().unwrap();
    let path = format!("/api/sessions/{id}/messages");
    let own = json!([{"type": "email", "to": "own@example.com", "id": "own"}]);
    let message = json!({"requestId": "r-1", "text": "hello", "completionTargets": own});
    let (_, accepted) = world.post(&path, &message).await;
    world.ended(accepted["run"]["id"].as_str().unwrap()).await;
    let form = reqwest::multipart::Form::new()
        .text("requestId", "r-2")
        .text("text", "again")
        .text("completionTargets", own.to_string());
    let sent = world.request(Method::POST, &path).multipart(form).send().await.unwrap();
    let (_, accepted) = super::world::body(sent).await;
    world.ended(accepted["run"]["id"].as_str().unwrap()).await;
    // A repeated message is known, and so are its targets.
    assert_eq!(world.post(&path, &message).await.1["duplicate"], true);
    let mut answers: Vec<(String, String)> = told(&world, "")
        .await
        .iter()
        .map(|answer| {
            [&answer["target"]["to"], &answer["reply"]].map(|text| text.as_str().unwrap().to_owned())
        })
        .map(|[to, reply]| (reply, to))
        .collect();
    answers.sort();
    let expected =
        [("echo: again", "all"), ("echo: again", "own"), ("echo: hello", "all"), ("echo: hello", "own")]
            .map(|(reply, to)| (reply.to_owned(), format!("{to}@example.com")));
    assert_eq!(answers, expected);
    let (_, fork) = world.post(&format!("/api/sessions/{id}/fork"), &json!({})).await;
    assert_eq!(fork["session"].get("completionTargets"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_leaves_an_answer_waiting() {
    let mut world = World::in_a_process(ECHO).await;
    let session = create(&world, json!([target("r-1")])).await;
    world.turn(session["id"].as_str().unwrap(), "r-1", "hello").await;
    world.kill_and_start_again().await;
    let answers = told(&world, "&wait=20").await;
    let expected = json!(["r-1", "email_target_1", "completed", "echo: hello", ["r-1"]]);
    assert_eq!(answers.iter().map(essence).collect::<Vec<_>>(), [expected]);
    report(&world, &answers[0], "sending").await;
    world.kill_and_start_again().await;
    assert_eq!(told(&world, "").await, [Value::Null; 0]);
    let again = told(&world, "&again=1").await;
    assert_eq!((again.len(), &again[0]["id"]), (1, &answers[0]["id"]));
    assert_eq!(report(&world, &answers[0], "sent").await.0, StatusCode::OK);
    world.kill_and_start_again().await;
    assert_eq!(told(&world, "&again=1").await, [Value::Null; 0]);
    assert_eq!(report(&world, &answers[0], "sent").await.1["completion"]["state"], "sent");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_fails_or_whose_record_is_lost_is_told_as_failed() {
    let mut world = World::signed_in(GATED).await;
    let session = create(&world, json!([target("r-1"), target("r-2")])).await;
    let id = session["id"].as_str().unwrap().to_owned();
    let (_, accepted) = world.send(&id, "r-1", "start").await;
    world.post(&format!("/api/sessions/{id}/cancel"), &json!({})).await;
    world.ended(accepted["run"]["id"].as_str().unwrap()).await;
    let cancelled = told(&world, "&wait=20").await;
    assert_eq!(essence(&cancelled[0]), json!(["r-1", "email_target_1", "cancelled", null, ["r-1"]]));
    report(&world, &cancelled[0], "failed").await;

    let (_, accepted) = world.send(&id, "r-2", "start").await;
    let run = accepted["run"]["id"].as_str().unwrap();
    let record = world.root.path().join(format!("config/chat-runs/{run}/status.json"));
    world.stopped_for(|| fs::write(&record, "{").unwrap()).await;
    let lost = told(&world, "&wait=20").await;
    assert_eq!(essence(&lost[0]), json!(["r-2", "email_target_2", "failed", null, []]));
    assert_eq!(lost[0]["failureReason"], "the record of the run is damaged, so its result is lost");
    assert_eq!(report(&world, &lost[0], "failed").await.0, StatusCode::OK);
    assert_eq!(told(&world, "&again=1").await, [Value::Null; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_damaged_costs_itself_and_what_is_very_old_is_given_up() {
    let mut world = World::signed_in(ECHO).await;
    let session = create(&world, json!([target("r-1")])).await;
    let run = world.turn(session["id"].as_str().unwrap(), "r-1", "hello").await;
    let folder = world.root.path().join("config/completions");
    let file = folder.join(format!("{run}.json"));
    world
        .stopped_for(|| {
            let mut entry: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
            entry["createdAt"] = "2020-01-01T00:00:00.000Z".into();
            fs::write(&file, entry.to_string()).unwrap();
            fs::write(folder.join("run_x.json"), "{").unwrap();
        })
        .await;
    let state =
        world.stored_when(&format!("chat-runs/{run}/status.json"), |text| text.contains("within 30 days"));
    let state: Value = serde_json::from_str(&state).unwrap();
    assert_eq!(state["completionTargets"]["email_target_1"]["state"], "failed");
    assert_eq!(told(&world, "&again=1").await, [Value::Null; 0]);
    assert!(folder.join("run_x.json").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_connector_or_the_owner_takes_them() {
    let mut world = World::signed_in(ECHO).await;
    let session = create(&world, json!([target("r-1")])).await;
    world.turn(session["id"].as_str().unwrap(), "r-1", "hello").await;
    let (_, text) = token(&world).await;
    world.client = client(Some(&text));
    let answers = told(&world, "").await;
    assert_eq!(report(&world, &answers[0], "sent").await.0, StatusCode::OK);
    world.client = client(None);
    assert_eq!(world.get("/api/completions").await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(report(&world, &answers[0], "sent").await.0, StatusCode::UNAUTHORIZED);
}
