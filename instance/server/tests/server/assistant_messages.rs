//! Messages that are put into a session as the assistant's.

use reqwest::multipart::{Form, Part};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::world::{ECHO, World};

#[tokio::test(flavor = "multi_thread")]
async fn a_text_and_a_file_of_this_host_are_shown() {
    let mut world = World::signed_in(ECHO).await;
    let session = world.session().await;
    let file = world.root.path().join("out.txt");
    std::fs::write(&file, "result").unwrap();
    let path = format!("/api/sessions/{session}/assistant-messages");
    let body = json!({
        "text": " Here ", "runId": "run_x", "requestId": "once",
        "attachments": [{"localPath": file, "renderAs": "file"}],
    });
    let (status, answer) = world.post(&path, &body).await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
    let event = &answer["event"];
    let asset = event["attachments"][0]["assetId"].as_str().unwrap();
    let files = json!([{
        "assetId": asset, "originalName": "out.txt", "mimeType": "text/plain", "sizeBytes": 6, "renderAs": "file",
    }]);
    assert_eq!(
        *event,
        json!({
            "bodyAvailable": true, "bodyLoaded": true, "type": "message", "content": " Here ", "attachments": files,
            "images": files, "source": "assistant_message_api", "id": event["id"], "timestamp": event["timestamp"],
            "role": "assistant", "runId": "run_x", "requestId": "once", "seq": 1,
        })
    );
    assert_eq!((&answer["session"]["id"], &answer["session"]["messageCount"]), (&json!(session), &json!(1)));
    let file = world.request(Method::GET, &format!("/api/assets/{asset}/download")).send().await.unwrap();
    assert_eq!(file.text().await.unwrap(), "result");

    let (status, again) = world.post(&path, &body).await;
    assert_eq!((status, &again["event"]["seq"], &again["event"]["id"]), (status, &json!(1), &event["id"]));
    let records = world.root.path().join("config/file-assets");
    let check = || {
        let names = std::fs::read_dir(records).unwrap().map(|entry| entry.unwrap().file_name());
        let names: Vec<_> = names.filter(|name| name.to_string_lossy().ends_with(".json")).collect();
        assert_eq!(names.len(), 1, "{names:?}");
    };
    // What is acknowledged is in its file at the latest when the server has stopped.
    world.stopped_for(check).await;
    let visible = world.events(&session, "visible").await;
    assert_eq!(visible.len(), 1, "{visible:?}");

    let (_, other) = world.post(&path, &json!({"text": "more", "source": "s"})).await;
    assert_eq!((&other["event"]["seq"], &other["event"]["source"]), (&json!(2), &json!("s")));
}

/// Whoever is not on this host sends the bytes.
#[tokio::test(flavor = "multi_thread")]
async fn files_may_come_along_in_a_form() {
    let world = World::signed_in(ECHO).await;
    let session = world.session().await;
    let path = format!("/api/sessions/{session}/assistant-messages");
    let post = async || {
        let file = Part::bytes(&b"result"[..]).file_name("out.txt").mime_str("text/plain").unwrap();
        let form = Form::new()
            .text("text", "    indented")
            .text("runId", "run_x")
            .text("source", "far")
            .text("requestId", "once")
            .text("renderAs", "file")
            .part("attachments", file);
        let answer = world.request(Method::POST, &path).multipart(form).send().await.unwrap();
        (answer.status(), answer.json::<Value>().await.unwrap())
    };
    let (status, answer) = post().await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
    let event = &answer["event"];
    assert_eq!(
        json!([event["content"], event["runId"], event["source"], event["requestId"]]),
        json!(["    indented", "run_x", "far", "once"])
    );
    let file = &event["attachments"][0];
    assert_eq!(
        json!([file["originalName"], file["mimeType"], file["sizeBytes"], file["renderAs"]]),
        json!(["out.txt", "text/plain", 6, "file"])
    );
    let media = format!("/api/media/{}", file["filename"].as_str().unwrap());
    assert_eq!(world.request(Method::GET, &media).send().await.unwrap().text().await.unwrap(), "result");
    let (status, again) = post().await;
    assert_eq!((status, &again["event"]["seq"]), (StatusCode::CREATED, &json!(1)));
    let names = std::fs::read_dir(world.root.path().join("config/images")).unwrap();
    assert_eq!(names.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_requests_append_nothing() {
    let world = World::signed_in(ECHO).await;
    let session = world.session().await;
    let path = format!("/api/sessions/{session}/assistant-messages");
    let gone = world.root.path().join("gone");
    for (body, error) in [
        (json!({"text": " "}), "text or attachments are required".to_owned()),
        (
            json!({"text": "x", "attachments": [{"localPath": gone}]}),
            format!("localPath must point to a file: {}", gone.display()),
        ),
        (json!({"attachments": [{"assetId": "fasset_x"}]}), "Unknown asset: fasset_x".to_owned()),
        (json!(7), "Invalid request body".to_owned()),
    ] {
        assert_eq!(world.post(&path, &body).await, (StatusCode::BAD_REQUEST, json!({"error": error})));
    }
    let unknown = format!("/api/sessions/{}/assistant-messages", "0".repeat(32));
    assert_eq!(
        world.post(&unknown, &json!({"text": "x"})).await,
        (StatusCode::BAD_REQUEST, json!({"error": "Session not found"}))
    );
    let archive = world.request(Method::PATCH, &format!("/api/sessions/{session}"));
    archive.json(&json!({"archived": true})).send().await.unwrap();
    assert_eq!(
        world.post(&path, &json!({"text": "x"})).await,
        (StatusCode::CONFLICT, json!({"error": "Session is archived"}))
    );
    assert_eq!(world.events(&session, "all").await, Vec::<Value>::new());
}
