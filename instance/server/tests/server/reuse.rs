//! Creating a session again by its `externalTriggerId`, and where a session says it comes from.

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::world::{ECHO, World};

async fn create(world: &World, fields: Value) -> Value {
    let mut request = json!({"folder": world.root.path(), "tool": "echo"});
    request.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    let (status, answer) = world.post("/api/sessions", &request).await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
    answer["session"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_created_again_takes_over_what_is_given() {
    let world = World::signed_in(ECHO).await;
    let first = json!({"externalTriggerId": "github:a/b#1", "sourceId": "github", "sourceName": "GitHub",
        "name": "GitHub issue", "group": "Ops", "description": "one", "systemPrompt": "be kind",
        "sourceContext": {"n": 1}, "completionTargets": [{"type": "email", "to": "a@example.com"}]});
    let made = create(&world, first.clone()).await;
    assert_eq!(
        (&made["name"], &made["completionTargets"][0]["to"]),
        (&json!("new session"), &json!("a@example.com"))
    );

    // Nothing new changes nothing.
    assert_eq!(create(&world, first).await, made);
    let bare = create(&world, json!({"externalTriggerId": "github:a/b#1"})).await;
    assert_eq!(bare, made);

    let folder = world.root.path().join("elsewhere");
    std::fs::create_dir(&folder).unwrap();
    let again = create(
        &world,
        json!({"externalTriggerId": "github:a/b#1", "folder": folder, "tool": "codex",
        "name": "a/b#1 build fails", "group": "Builds", "description": "two", "sourceId": "gitlab",
        "sourceName": "GitLab", "templateId": "app_t", "templateName": "T", "systemPrompt": " ",
        "sourceContext": {"n": 2}, "completionTargets": [{"type": "email", "to": "b@example.com"}]}),
    )
    .await;
    let mut expected = made.clone();
    expected["name"] = "a/b#1 build fails".into();
    expected["autoRenamePending"] = false.into();
    for (key, value) in [
        ("group", "Builds"),
        ("description", "two"),
        ("sourceId", "gitlab"),
        ("sourceName", "GitLab"),
        ("templateId", "app_t"),
        ("templateName", "T"),
    ] {
        expected[key] = value.into();
    }
    expected["completionTargets"][0]["to"] = "b@example.com".into();
    expected.as_object_mut().unwrap().remove("systemPrompt");
    assert!(again["updatedAt"].as_str() >= made["updatedAt"].as_str());
    expected["updatedAt"] = again["updatedAt"].clone();
    assert_eq!(again, expected);
    let path = format!("/api/sessions/{}/source-context", made["id"].as_str().unwrap());
    assert_eq!(world.get(&path).await.1["sourceContext"]["session"], json!({"n": 2}));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_is_a_source_or_a_template_and_a_source_wins() {
    let world = World::signed_in(ECHO).await;
    for (given, expected) in [
        (json!({"appId": "feishu", "appName": "Feishu"}), json!(["feishu", "Feishu", null, null])),
        (json!({"appId": "app_video", "appName": "Video"}), json!(["chat", "Chat", "app_video", "Video"])),
        (
            json!({"appId": "feishu", "appName": "Feishu", "sourceId": "email", "sourceName": "Mail"}),
            json!(["email", "Mail", null, null]),
        ),
        (
            json!({"appId": "app_video", "templateId": "app_own", "templateName": "Own"}),
            json!(["chat", "Chat", "app_own", "Own"]),
        ),
    ] {
        let session = create(&world, given.clone()).await;
        let told: Vec<Value> = ["sourceId", "sourceName", "templateId", "templateName"]
            .iter()
            .map(|key| session.get(key).cloned().unwrap_or_default())
            .collect();
        assert_eq!(Value::from(told), expected, "{given}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_filtered_and_in_order() {
    let mut world = World::signed_in(ECHO).await;
    let id = |session: &Value| session["id"].as_str().unwrap().to_owned();
    let plain = id(&create(&world, json!({})).await);
    let mail = id(&create(&world, json!({"sourceId": "email"})).await);
    let template = id(&create(&world, json!({"templateId": "app_t"})).await);
    let visitor = id(&create(&world, json!({})).await);
    let hidden = id(&create(&world, json!({"internalRole": "helper"})).await);
    let record = world.root.path().join(format!("config/chat-history/{visitor}/session.json"));
    world
        .stopped_for(|| {
            let mut session: Value = serde_json::from_slice(&std::fs::read(&record).unwrap()).unwrap();
            session["visitorId"] = "visitor_1".into();
            std::fs::write(&record, session.to_string()).unwrap();
        })
        .await;
    let listed = async |query: &str| -> Vec<String> {
        let (_, answer) = world.get(&format!("/api/sessions{query}")).await;
        let mut ids: Vec<String> = answer["sessions"].as_array().unwrap().iter().map(id).collect();
        ids.sort();
        ids
    };
    let sorted = |ids: &[&String]| {
        let mut ids: Vec<String> = ids.iter().map(|&id| id.clone()).collect();
        ids.sort();
        ids
    };
    assert_eq!(listed("?sourceId=email").await, sorted(&[&mail]));
    assert_eq!(listed("?templateId=app_t").await, sorted(&[&template]));
    assert_eq!(listed("?appId=app_t").await, sorted(&[&template]));
    assert_eq!(listed("?sourceId=nothing").await, [""; 0]);
    assert_eq!(listed("").await, sorted(&[&plain, &mail, &template]));
    assert_eq!(listed("?includeVisitor=1").await, sorted(&[&plain, &mail, &template, &visitor]));
    assert_eq!(world.get(&format!("/api/sessions/{hidden}")).await.0, StatusCode::OK);

    for (session, change) in [
        (&mail, json!({"pinned": true})),
        (&template, json!({"sidebarOrder": 2})),
        (&plain, json!({"sidebarOrder": 1})),
    ] {
        let path = format!("/api/sessions/{session}");
        let answer = world.request(reqwest::Method::PATCH, &path).json(&change).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
    }
    let newest = id(&create(&world, json!({})).await);
    let (_, answer) = world.get("/api/sessions").await;
    let order: Vec<String> = answer["sessions"].as_array().unwrap().iter().map(id).collect();
    assert_eq!(order, [plain, template, mail, newest]);
}
