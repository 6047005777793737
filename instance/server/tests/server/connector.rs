//! The loop of an external connector, which must work unchanged.

use std::collections::BTreeSet;

use reqwest::multipart::{Form, Part};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::world::{ECHO, World};

#[tokio::test(flavor = "multi_thread")]
async fn a_message_becomes_a_run_and_its_answer_is_among_the_events() {
    let world = World::signed_in(ECHO).await;
    let create = json!({"folder": world.root.path(), "tool": "echo", "name": "GitHub issue", "sourceId": "github", "sourceName": "GitHub",
        "group": "GitHub", "externalTriggerId": "github:owner/repo#123", "sourceContext": {"repo": "owner/repo"}});
    let (status, created) = world.post("/api/sessions", &create).await;
    assert_eq!(status, StatusCode::CREATED);
    let session = &created["session"];
    assert_eq!(
        (&session["name"], &session["autoRenamePending"], &session["latestSeq"]),
        (&json!("new session"), &json!(true), &json!(0))
    );
    assert!(session.get("sourceContext").is_none());
    let id = session["id"].as_str().unwrap();

    let (status, again) = world.post("/api/sessions", &create).await;
    assert_eq!((status, &again["session"]["id"]), (StatusCode::CREATED, &json!(id)));

    let message = json!({"requestId": "github:1", "text": " The build still fails. ", "sourceContext": {"comment": 456}});
    let (status, accepted) = world.post(&format!("/api/sessions/{id}/messages"), &message).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{accepted}");
    assert_eq!(
        (&accepted["requestId"], &accepted["duplicate"], &accepted["queued"]),
        (&json!("github:1"), &json!(false), &json!(false))
    );
    let run_id = accepted["run"]["id"].as_str().unwrap();
    assert_eq!(accepted["session"]["activity"]["run"]["runId"], run_id);

    let run = world.ended(run_id).await;
    assert_eq!(
        (&run["state"], &run["result"]["exitCode"], &run["failureReason"]),
        (&json!("completed"), &json!(0), &Value::Null),
        "{run}"
    );
    assert_eq!(run["providerResumeId"], "0199-thread-test");
    assert!(run["finalizedAt"].is_string());

    // Whoever saw the end finds the answer at once.
    let events = world.events(id, "visible").await;
    let shape: Vec<(&str, &str)> = events
        .iter()
        .map(|event| (event["type"].as_str().unwrap(), event["role"].as_str().unwrap_or_default()))
        .collect();
    assert_eq!(shape, [("message", "user"), ("thinking_block", ""), ("message", "assistant")]);
    assert_eq!(
        (&events[0]["content"], &events[0]["sourceContext"]),
        (&json!("The build still fails."), &json!({"comment": 456}))
    );
    assert_eq!(events[1]["toolNames"], json!(["bash"]));
    assert_eq!(
        (&events[2]["content"], &events[2]["runId"]),
        (&json!("echo: The build still fails."), &json!(run_id))
    );

    let all = world.events(id, "all").await;
    let numbers: Vec<u64> = all.iter().map(|event| event["seq"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=all.len() as u64).collect::<Vec<_>>());
    let unique: BTreeSet<_> = all.iter().map(|event| event["id"].as_str().unwrap()).collect();
    assert_eq!(unique.len(), all.len());

    let (status, context) = world.get(&format!("/api/sessions/{id}/source-context?requestId=github:1")).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(
        context,
        json!({"sessionId": id, "sourceContext": {"session": {"repo": "owner/repo"}, "message": {"comment": 456}, "requestId": "github:1"}})
    );

    let (status, repeated) = world.post(&format!("/api/sessions/{id}/messages"), &message).await;
    assert_eq!(
        (status, &repeated["duplicate"], &repeated["run"]["id"]),
        (StatusCode::OK, &json!(true), &json!(run_id))
    );
    assert_eq!(repeated["run"]["state"], "completed");
}

#[tokio::test(flavor = "multi_thread")]
async fn api_weakness_13_parallel_posts_of_one_request_make_one_run() {
    let world = World::signed_in(ECHO).await;
    let id = world.session().await;
    let posts = (0..50).map(|_| world.send(&id, "same", "once"));
    let answers = futures_util::future::join_all(posts).await;
    let runs: BTreeSet<&str> =
        answers.iter().map(|(_, answer)| answer["run"]["id"].as_str().unwrap()).collect();
    assert_eq!(runs.len(), 1);
    let accepted = answers.iter().filter(|(status, _)| *status == StatusCode::ACCEPTED).count();
    assert_eq!(accepted, 1);
    world.ended(runs.first().unwrap()).await;
    let users = world.events(&id, "all").await.iter().filter(|event| event["role"] == "user").count();
    assert_eq!(users, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_messages_to_fifty_sessions_are_all_answered() {
    let world = World::signed_in(ECHO).await;
    let sessions = futures_util::future::join_all((0..50).map(|_| world.session())).await;
    let runs = futures_util::future::join_all(sessions.iter().map(|id| async {
        let (status, answer) = world.send(id, "r", "hello").await;
        assert_eq!(status, StatusCode::ACCEPTED);
        world.ended(answer["run"]["id"].as_str().unwrap()).await
    }));
    assert!(runs.await.iter().all(|run| run["state"] == "completed"));
}

#[tokio::test(flavor = "multi_thread")]
async fn long_texts_are_read_through_the_body_route() {
    let world = World::signed_in(
        r#"long=$(head -c 9000 /dev/zero | tr '\0' 'x')
printf '{"type":"item.completed","item":{"id":"i1","type":"command_execution","command":"c","aggregated_output":"%s","exit_code":3,"status":"failed"}}\n' "$long"
echo '{"type":"item.completed","item":{"id":"i2","type":"agent_message","text":"done"}}'"#,
    )
    .await;
    let id = world.session().await;
    let (_, accepted) = world.send(&id, "r", "go").await;
    world.ended(accepted["run"]["id"].as_str().unwrap()).await;
    let events = world.events(&id, "all").await;
    let result = events.iter().find(|event| event["type"] == "tool_result").unwrap();
    assert_eq!(
        (result["output"].as_str().unwrap().len(), &result["bodyLoaded"], &result["exitCode"]),
        (9000, &json!(true), &json!(3))
    );
    let (status, body) = world.get(&format!("/api/sessions/{id}/events/{}/body", result["seq"])).await;
    assert_eq!(
        (status, &body["body"]["field"], &body["body"]["bytes"]),
        (StatusCode::OK, &json!("output"), &json!(9000))
    );
    let (status, block) = world.get(&format!("/api/sessions/{id}/events/blocks/2-9")).await;
    assert_eq!((status, &block["startSeq"]), (StatusCode::OK, &json!(2)));
    let (status, missing) = world.get(&format!("/api/sessions/{id}/events/999/body")).await;
    assert_eq!((status, missing), (StatusCode::NOT_FOUND, json!({"error": "Event body not found"})));
}

/// A client that goes away in the middle of its request leaves nothing half done.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_whose_sender_went_away_is_worked_on_or_was_never_taken() {
    let world = World::signed_in(ECHO).await;
    let cookie = super::world::cookie(&world.open_link().await).unwrap();
    let address = world.base.trim_start_matches("http://").to_owned();
    let sessions = futures_util::future::join_all((0..40).map(|_| world.session())).await;
    for (n, id) in sessions.iter().enumerate() {
        let body = r#"{"requestId":"r","text":"go"}"#;
        let request = format!(
            "POST /api/sessions/{id}/messages HTTP/1.1\r\nHost: x\r\nCookie: {cookie}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut stream = tokio::net::TcpStream::connect(&address).await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut stream, request.as_bytes()).await.unwrap();
        // Different moments of the request's life.
        for _ in 0..n * 20 {
            tokio::task::yield_now().await;
        }
        drop(stream);
    }
    for id in &sessions {
        let (_, again) = world.send(id, "r", "go").await;
        let run = world.ended(again["run"]["id"].as_str().unwrap()).await;
        assert_eq!(run["state"], "completed");
        let users = world.events(id, "all").await.iter().filter(|event| event["role"] == "user").count();
        assert_eq!(users, 1);
    }
}

/// A message with files comes as a form, as connectors and mail send it.
#[tokio::test(flavor = "multi_thread")]
async fn a_form_with_files_is_a_message() {
    let world = World::signed_in(ECHO).await;
    let id = world.session().await;
    let part = |bytes: &'static [u8], name: &'static str, kind: &str| {
        Part::bytes(bytes).file_name(name).mime_str(kind).unwrap()
    };
    let form = Form::new()
        .text("requestId", "form-1")
        .text("text", " see the files ")
        .text("thinking", "true")
        .text("model", "m")
        .text("sourceContext", r#"{"comment": 7}"#)
        .text("existingAttachments", "no list")
        .part("attachments", part(b"\x89PNG\x00", "../Bild \u{e4}.png", "image/png"))
        .part("images", part(b"a,b\n", "t.csv", "text/csv"));
    let path = format!("/api/sessions/{id}/messages");
    let answer = world.request(Method::POST, &path).multipart(form).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::ACCEPTED);
    let answer: Value = answer.json().await.unwrap();
    assert_eq!(
        json!([
            answer["requestId"],
            answer["run"]["requestId"],
            answer["run"]["model"],
            answer["run"]["thinking"]
        ]),
        json!(["form-1", "form-1", "m", true])
    );
    let said = &world.events(&id, "all").await[0];
    assert_eq!((&said["content"], &said["sourceContext"]), (&json!("see the files"), &json!({"comment": 7})));
    let files = said["attachments"].as_array().unwrap();
    let told: Vec<Value> =
        files.iter().map(|file| json!([file["originalName"], file["mimeType"], file["sizeBytes"]])).collect();
    assert_eq!(told, [json!(["Bild \u{e4}.png", "image/png", 5]), json!(["t.csv", "text/csv", 4])]);
    let media = format!("/api/media/{}", files[1]["filename"].as_str().unwrap());
    assert_eq!(world.request(Method::GET, &media).send().await.unwrap().bytes().await.unwrap(), "a,b\n");
    world.ended(answer["run"]["id"].as_str().unwrap()).await;
}
