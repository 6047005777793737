//! A task that is handed to a session beside this one.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::world::{ECHO, World};

async fn delegate(world: &World, id: &str, body: Value) -> (StatusCode, Value) {
    world.post(&format!("/api/sessions/{id}/delegate"), &body).await
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_else(|| panic!("no {pointer}: {value}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_can_be_delegated_to_a_new_session() {
    let world = World::signed_in(ECHO).await;
    let id = world.session().await;
    let given = json!({"group": "Reports", "description": "All of them", "model": "m1", "effort": "high"});
    world.request(Method::PATCH, &format!("/api/sessions/{id}")).json(&given).send().await.unwrap();
    let (status, answer) = delegate(&world, &id, json!({"task": "Count the rows"})).await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
    let child = &answer["session"];
    for (field, value) in [
        ("name", json!("delegate - Count the rows")),
        ("group", json!("Reports")),
        ("description", json!("All of them")),
        ("tool", json!("echo")),
        ("folder", json!(world.root.path())),
        ("delegatedFromSessionId", json!(id)),
    ] {
        assert_eq!(child[field], value, "{field}");
    }
    assert_eq!((&answer["run"]["model"], &answer["run"]["effort"]), (&json!("m1"), &json!("high")));
    world.ended(text(&answer, "/run/id")).await;
    let events = world.events(&id, "all").await;
    let [operation, notice] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!(
        json!([
            operation["operation"],
            operation["phase"],
            operation["trigger"],
            operation["targetSessionId"]
        ]),
        json!(["delegate_session", "applied", "delegation", child["id"]])
    );
    assert_eq!(notice["messageKind"], "session_delegate_notice");
    let said =
        format!("Spawned a parallel session: delegate - Count the rows (?session={})", text(child, "/id"));
    assert_eq!(notice["content"], said);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hidden_child_is_in_no_list_and_its_parent_is_not_told() {
    let world = World::signed_in(ECHO).await;
    let id = world.session().await;
    let (status, answer) = delegate(&world, &id, json!({"task": "Look it up", "internal": true})).await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
    world.ended(text(&answer, "/run/id")).await;
    assert_eq!(answer["session"]["internalRole"], "agent_delegate");
    let (_, list) = world.get("/api/sessions").await;
    let listed: Vec<&Value> =
        list["sessions"].as_array().unwrap().iter().map(|session| &session["id"]).collect();
    assert_eq!(listed, [&json!(id)]);
    assert_eq!(world.events(&id, "all").await, Vec::<Value>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_task_is_handed_over() {
    let world = World::signed_in(ECHO).await;
    let id = world.session().await;
    // As long as it may be, and twice as long in JSON.
    let task = format!("{}end", "\n\"".repeat((256 << 9) - 2) + "x");
    assert_eq!(task.trim().len(), (256 << 10) - 1);
    let (status, answer) = delegate(&world, &id, json!({ "task": task })).await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
    let events = world.events(text(&answer, "/session/id"), "all").await;
    let expected = format!("{}\n\n(Handed over by session {id})", task.trim());
    assert!(events[0]["content"] == expected, "{}", events[0]["content"].as_str().unwrap().len());
    assert!(world.prompt(text(&answer, "/run/id")).contains(task.trim()));
    let longer = "x".repeat((256 << 10) + 1);
    assert_eq!(
        delegate(&world, &id, json!({ "task": longer })).await,
        (StatusCode::PAYLOAD_TOO_LARGE, json!({"error": "Request body too large"}))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn one_request_makes_one_child_however_often_it_comes() {
    let mut world = World::signed_in(ECHO).await;
    let id = world.session().await;
    let task = json!({"task": "Count", "requestId": "r-1"});
    let answers = futures_util::future::join_all((0..8).map(|_| delegate(&world, &id, task.clone()))).await;
    let (_, first) = &answers[0];
    let (child, run) = (text(first, "/session/id").to_owned(), text(first, "/run/id").to_owned());
    for (status, answer) in &answers {
        assert_eq!(
            (*status, text(answer, "/session/id"), text(answer, "/run/id")),
            (StatusCode::CREATED, &*child, &*run)
        );
    }
    world.ended(&run).await;
    world.restart().await;
    let (_, again) = delegate(&world, &id, task.clone()).await;
    assert_eq!((text(&again, "/session/id"), text(&again, "/run/id")), (&*child, &*run));
    let notices = world.events(&id, "all").await;
    assert_eq!(notices.iter().filter(|event| event["messageKind"] == "session_delegate_notice").count(), 1);
    let said = world.events(&child, "all").await;
    assert_eq!(said.iter().filter(|event| event["role"] == "user").count(), 1);
    // Another request, and the same one of another session, are others.
    let other = world.session().await;
    let (_, second) = delegate(&world, &id, json!({"task": "Count", "requestId": "r-2"})).await;
    let (_, third) = delegate(&world, &other, task).await;
    assert!(text(&second, "/session/id") != child && text(&third, "/session/id") != child);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_handed_over_leaves_no_session_behind() {
    let world = World::signed_in(ECHO).await;
    let id = world.session().await;
    let missing = world.root.path().join("nowhere");
    for (body, error) in [
        (json!({"task": " "}), "task is required"),
        (json!({"task": "x", "tool": 1}), "tool must be a string when provided"),
        (json!({"task": "x", "internal": "yes"}), "internal must be a boolean when provided"),
        (json!({"task": "x", "folder": missing}), "Folder does not exist"),
        (json!({"task": "x", "requestId": "r".repeat(1_025)}), "requestId must be at most 1024 bytes long"),
    ] {
        assert_eq!(delegate(&world, &id, body).await, (StatusCode::BAD_REQUEST, json!({ "error": error })));
    }
    let (status, _) = delegate(&world, &id, json!({"task": "x", "tool": "nope"})).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let archived = json!({"archived": true});
    world.request(Method::PATCH, &format!("/api/sessions/{id}")).json(&archived).send().await.unwrap();
    assert_eq!(
        delegate(&world, &id, json!({"task": "x"})).await,
        (StatusCode::CONFLICT, json!({"error": "Session is archived"}))
    );
    let (_, listed) = world.get("/api/sessions/archived").await;
    assert_eq!(listed["sessions"].as_array().unwrap().len(), 1);
    assert_eq!(world.get("/api/sessions").await.1["sessions"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_busy_hands_tasks_over_all_the_same() {
    let world = World::signed_in(super::queue::GATED).await;
    let id = world.session().await;
    let (_, busy) = world.send(&id, "r", "wait").await;
    assert_eq!(busy["queued"], false);
    let other = world.root.path().join("other");
    std::fs::create_dir(&other).unwrap();
    let task = json!({"task": "x", "folder": other, "model": "m2", "name": "Mine"});
    let (status, answer) = delegate(&world, &id, task).await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
    assert_eq!(
        json!([answer["session"]["folder"], answer["session"]["name"], answer["run"]["model"]]),
        json!([other, "Mine", "m2"])
    );
    for folder in [world.root.path(), &other] {
        std::fs::write(folder.join("go"), "").unwrap();
    }
    for run in [&busy, &answer] {
        world.ended(text(run, "/run/id")).await;
    }
}
