//! What outsiders see and depend on beside the loop of a connector.

use futures_util::StreamExt;
use reqwest::multipart::Form;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use super::world::{ECHO, PATIENCE, World, cookie};

#[tokio::test(flavor = "multi_thread")]
async fn folders_are_browsed_and_completed() {
    let world = World::signed_in(ECHO).await;
    let home = world.root.path().join("home");
    for folder in ["beta", "Alpha", ".hidden"] {
        std::fs::create_dir_all(home.join(folder)).unwrap();
    }
    std::fs::write(home.join("a file"), "").unwrap();
    let (status, answer) = world.get(&format!("/api/browse?path={}", home.display())).await;
    let children =
        json!([{"name": "Alpha", "path": home.join("Alpha")}, {"name": "beta", "path": home.join("beta")}]);
    let expected = json!({"path": home, "parent": world.root.path(), "children": children});
    assert_eq!((status, answer), (StatusCode::OK, expected));
    let nowhere = json!({"path": "/no/such/folder", "parent": null, "children": []});
    assert_eq!(world.get("/api/browse?path=/no/such/folder").await, (StatusCode::OK, nowhere));

    // The server's home is the root of this test.
    for (text, found) in [
        (format!("{}/b", home.display()), vec![home.join("beta")]),
        ("~/home/A".to_owned(), vec![home.join("Alpha")]),
        ("~/home/.".to_owned(), vec![home.join(".hidden")]),
        ("home".to_owned(), vec![]),
    ] {
        let answer = world.get(&format!("/api/autocomplete?q={text}")).await;
        assert_eq!(answer, (StatusCode::OK, json!({"suggestions": found})), "{text}");
    }
}

/// A form names files that are here already by any of the fields that connectors know.
#[tokio::test(flavor = "multi_thread")]
async fn a_form_names_earlier_files() {
    let world = World::signed_in(ECHO).await;
    let id = world.session().await;
    let sent = json!({"text": "first", "attachments": [{"data": "aGk=", "mimeType": "text/plain", "originalName": "a.txt"}]});
    let (_, first) = world.post(&format!("/api/sessions/{id}/messages"), &sent).await;
    world.ended(first["run"]["id"].as_str().unwrap()).await;
    let filename =
        world.events(&id, "all").await[0]["attachments"][0]["filename"].as_str().unwrap().to_owned();
    let intent = json!({"sessionId": id, "originalName": "b.txt", "mimeType": "text/plain"});
    let (_, begun) = world.post("/api/assets/upload-intents", &intent).await;
    let asset = begun["asset"]["id"].as_str().unwrap();
    let put = world.request(Method::PUT, begun["upload"]["url"].as_str().unwrap()).body("bytes").send();
    assert_eq!(put.await.unwrap().status(), StatusCode::OK);
    world.post(&format!("/api/assets/{asset}/finalize"), &json!({})).await;

    let stored = json!([{"filename": filename, "originalName": "again.txt", "mimeType": "text/plain"}]);
    let external = json!([{"assetId": asset}]);
    for (request, fields) in [
        ("by-media", [("existingAttachments", &stored), ("externalAttachments", &external)]),
        ("by-older-names", [("existingImages", &stored), ("externalAssets", &external)]),
    ] {
        let form = fields
            .into_iter()
            .fold(Form::new().text("requestId", request).text("text", "more"), |form, (name, list)| {
                form.text(name, list.to_string())
            });
        let path = format!("/api/sessions/{id}/messages");
        let answer = world.request(Method::POST, &path).multipart(form).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::ACCEPTED);
        let answer: Value = answer.json().await.unwrap();
        world.ended(answer["run"]["id"].as_str().unwrap()).await;
        let events = world.events(&id, "all").await;
        let message =
            events.iter().find(|event| event["requestId"] == request && event["role"] == "user").unwrap();
        let files: Vec<(&Value, &Value)> = message["attachments"]
            .as_array()
            .unwrap()
            .iter()
            .map(|file| (&file["originalName"], file.get("filename").or(file.get("assetId")).unwrap()))
            .collect();
        assert_eq!(
            files,
            [(&json!("again.txt"), &json!(filename)), (&json!("b.txt"), &json!(asset))],
            "{request}"
        );
    }
    let image = world.request(Method::GET, &format!("/api/images/{filename}")).send().await.unwrap();
    assert_eq!((image.status(), image.text().await.unwrap().as_str()), (StatusCode::OK, "hi"));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_has_the_headers_that_protect_a_browser() {
    let world = World::signed_in(ECHO).await;
    for path in ["/api/sessions", "/api/sessions/x", "/", "/no/such/page"] {
        let answer = world.request(Method::GET, path).send().await.unwrap();
        let header = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(
            ["x-content-type-options", "x-frame-options", "permissions-policy", "x-ua-compatible"]
                .map(header),
            ["nosniff", "SAMEORIGIN", "camera=(), microphone=(self), geolocation=()", "IE=edge"],
            "{path}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_that_is_not_there_is_said_so() {
    let world = World::signed_in(ECHO).await;
    let id = world.session().await;
    let missing = (StatusCode::NOT_FOUND, json!({"error": "Event block not found"}));
    assert_eq!(world.get(&format!("/api/sessions/{id}/events/blocks/1-3")).await, missing);
    for odd in ["3-1", "0-1", "x", "1", "1-x"] {
        let path = format!("/api/sessions/{id}/events/blocks/{odd}");
        assert_eq!(world.get(&path).await, (StatusCode::NOT_FOUND, json!("Not Found")), "{odd}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connectors_read_the_selection_from_its_file() {
    let world = World::signed_in(ECHO).await;
    let chosen = json!({"selectedTool": " echo ", "selectedModel": "m", "selectedEffort": "low", "thinkingEnabled": true,
        "reasoningKind": "other"});
    let (status, answer) = world.post("/api/runtime-selection", &chosen).await;
    let selection = &answer["selection"];
    let expected = json!({"selectedTool": "echo", "selectedModel": "m", "selectedEffort": "low",
        "thinkingEnabled": true, "reasoningKind": "none", "updatedAt": selection["updatedAt"]});
    assert_eq!((status, selection), (StatusCode::OK, &expected));
    let stored: Value = serde_json::from_str(&world.stored("ui-runtime-selection.json")).unwrap();
    assert_eq!(stored, expected);
}

/// A page is told of each change that it shows, and of nothing that is hidden from it.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_is_told_of_what_it_shows() {
    let world = World::signed_in(ECHO).await;
    let id = world.session().await;
    let folder = world.root.path();
    let hidden = json!({"folder": folder, "tool": "echo", "internalRole": "helper"});
    let (_, hidden) = world.post("/api/sessions", &hidden).await;
    let hidden = hidden["session"]["id"].as_str().unwrap();
    let address = format!("{}/ws", world.base.replace("http://", "ws://"));
    let mut request = address.into_client_request().unwrap();
    let login = cookie(&world.open_link().await).unwrap();
    request.headers_mut().insert("cookie", login.parse().unwrap());
    let (mut socket, _) = tokio_tungstenite::connect_async(request).await.unwrap();
    let mut next = async || -> Value {
        let message = timeout(PATIENCE, socket.next()).await.unwrap().unwrap().unwrap();
        serde_json::from_str(message.to_text().unwrap()).unwrap()
    };
    assert_eq!(next().await["type"], "build_info");
    // Nothing is told of this one, or it would come before all that follows.
    let said = json!({"text": "hidden", "requestId": "h"});
    world.post(&format!("/api/sessions/{hidden}/messages"), &said).await;
    let path = format!("/api/sessions/{id}");
    let (one, list) =
        (json!({"type": "session_invalidated", "sessionId": id}), json!({"type": "sessions_invalidated"}));
    for change in
        [json!({"pinned": true}), json!({"name": "n"}), json!({"archived": true}), json!({"archived": false})]
    {
        let answer = world.request(Method::PATCH, &path).json(&change).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{change}");
        // The end of the hidden run may be told as a change of the list.
        let mut told = next().await;
        while told == list {
            told = next().await;
        }
        assert_eq!((told, next().await), (one.clone(), list.clone()), "{change}");
    }
}
