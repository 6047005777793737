//! What an owner finds in a new instance.

use reqwest::Method;
use serde_json::{Value, json};

use super::tokens::{client, token};
use super::world::{ECHO, World};

const ON: (&str, &str) = ("REMOTELAB_STARTER_SESSIONS", "on");

async fn listed(world: &World, language: &str) -> Vec<Value> {
    let call = world.request(Method::GET, "/api/sessions").header("accept-language", language);
    let (_, answer) = super::world::body(call.send().await.unwrap()).await;
    answer["sessions"].as_array().unwrap().clone()
}

async fn archive(world: &World, session: &Value) {
    let path = format!("/api/sessions/{}", session["id"].as_str().unwrap());
    let call = world.request(Method::PATCH, &path).json(&json!({"archived": true}));
    assert!(call.send().await.unwrap().status().is_success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_instance_welcomes_its_owner_once() {
    let mut world = World::signed_in_with(ECHO, &[ON]).await;
    // All at once, as a page does.
    let lists = futures_util::future::join_all((0..6).map(|_| listed(&world, "en"))).await;
    let sessions = &lists[0];
    assert!(lists.iter().all(|list| list == sessions));
    let told: Vec<Value> = sessions
        .iter()
        .map(|session| {
            json!([
                session["externalTriggerId"],
                session["name"],
                session["sidebarOrder"],
                session["pinned"],
                session["entryMode"],
                session["folder"],
                session["templateId"],
                session["messageCount"],
                session["lastReviewedAt"] == session["updatedAt"]
            ])
        })
        .collect();
    let example = |key: &str, name: &str, place: u64| {
        json!([format!("owner_bootstrap:showcase:{key}"), name, place, true, "read", "~", null, 2, true])
    };
    assert_eq!(
        told,
        [
            json!(["owner_bootstrap:welcome", "Welcome", 1, true, "read", "~", "app_welcome", 1, true]),
            example("file_cleanup", "Example: a table put in order", 2),
            example("digest_email_delivery", "Example: a digest every morning", 3),
            example("instance_email", "Example: a mail becomes a task", 4),
        ]
    );
    let events = world.events(sessions[1]["id"].as_str().unwrap(), "all").await;
    for (event, (name, begins)) in events
        .iter()
        .zip([("sales-march.csv", "Date ; customer"), ("sales-march-clean.csv", "date,customer")])
    {
        let file = &event["attachments"][0];
        assert_eq!(file["originalName"], name);
        let path = format!("/api/assets/{}/download", file["assetId"].as_str().unwrap());
        let text = world.request(Method::GET, &path).send().await.unwrap().text().await.unwrap();
        assert!(text.starts_with(begins), "{text}");
    }

    // One that is put away stays away, and so do all.
    archive(&world, &sessions[3]).await;
    world.restart().await;
    assert_eq!(listed(&world, "en").await.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn runtime_weakness_35_starters_that_were_put_away_do_not_come_again() {
    let mut world = World::signed_in_with(ECHO, &[ON]).await;
    for session in listed(&world, "zh-CN").await {
        if session["sidebarOrder"] == 1 {
            assert_eq!(session["name"], "欢迎");
        }
        archive(&world, &session).await;
    }
    assert_eq!(listed(&world, "en").await, [Value::Null; 0]);
    world.restart().await;
    assert_eq!(listed(&world, "en").await, [Value::Null; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_but_the_owner_of_an_empty_instance_gets_them() {
    let mut world = World::signed_in_with(ECHO, &[ON]).await;
    let owner = world.client.clone();
    let (_, text) = token(&world).await;
    world.client = client(Some(&text));
    assert_eq!(listed(&world, "en").await, [Value::Null; 0]);
    world.session().await;
    world.client = owner;
    assert_eq!(listed(&world, "en").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_welcome_is_a_session_like_others_once_it_has_led_to_something() {
    let script = r#"echo '{"type":"thread.started","thread_id":"t"}'
echo '{"type":"item.completed","item":{"id":"i","type":"agent_message","text":"Fine. <task_card>{\"goal\":\"tables\"}</task_card>"}}'"#;
    let world = World::signed_in_with(script, &[ON]).await;
    let welcome = listed(&world, "en").await[0]["id"].as_str().unwrap().to_owned();
    let message = json!({"requestId": "r-1", "text": "I sort tables", "tool": "echo"});
    let (_, accepted) = world.post(&format!("/api/sessions/{welcome}/messages"), &message).await;
    let run = accepted["run"]["id"].as_str().unwrap();
    world.ended(run).await;
    assert!(world.prompt(run).contains("Find out what can be handed over"));
    let told = world.until(&welcome, |session| session["welcomeOnboardingRetiredAt"].is_string()).await;
    assert_eq!([told.get("systemPrompt"), told.get("codexThreadId")], [None, None]);
    let (_, accepted) = world.send(&welcome, "r-2", "go on").await;
    let next = accepted["run"]["id"].as_str().unwrap();
    world.ended(next).await;
    assert!(!world.prompt(next).contains("Find out what can be handed over"));
}
