//! Pages, fragments and forms, without a browser.

use reqwest::{Method, StatusCode};
use serde_json::json;

use super::world::{ECHO, World};

#[tokio::test(flavor = "multi_thread")]
async fn the_first_document_holds_the_list_and_the_answer() {
    let world = World::signed_in(ECHO).await;
    let id = world.session().await;
    let (_, accepted) = world.send(&id, "r", "**bold** question").await;
    world.ended(accepted["run"]["id"].as_str().unwrap()).await;
    let page = world.request(Method::GET, &format!("/s/{id}")).send().await.unwrap();
    assert_eq!(page.status(), StatusCode::OK);
    let policy = page.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    let html = page.text().await.unwrap();
    assert!(html.contains("<base href=\"/\">"));
    assert!(html.contains("echo: <strong>bold</strong> question"), "{html}");
    assert!(html.contains(&format!("href=\"s/{id}\"")));
    let unknown = world.request(Method::GET, &format!("/s/{}", "0".repeat(32))).send().await.unwrap();
    assert_eq!(unknown.status(), StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_can_be_sent_by_a_form_without_script() {
    let world = World::signed_in(ECHO).await;
    let home = world.request(Method::GET, "/").send().await.unwrap().text().await.unwrap();
    let token = home
        .split("name=\"formToken\" value=\"")
        .nth(1)
        .and_then(|rest| rest.split('"').next())
        .unwrap()
        .to_owned();
    let form = |token: &str| {
        world
            .request(Method::POST, "/ui/sessions")
            .form(&[("formToken", token), ("text", "hello there")])
            .send()
    };
    let forged = form("").await.unwrap();
    assert_eq!(forged.status(), StatusCode::FORBIDDEN);
    let sent = form(&token).await.unwrap();
    assert_eq!(sent.status(), StatusCode::SEE_OTHER);
    let address = sent.headers()["location"].to_str().unwrap().to_owned();
    let id = address.trim_start_matches("/s/").to_owned();
    world
        .until(&id, |session| session["activity"]["run"]["state"] == "idle" && session["messageCount"] == 2)
        .await;
    let fragment = world.request(Method::GET, &format!("/ui/sessions/{id}")).send().await.unwrap();
    let tag = fragment.headers()["etag"].clone();
    assert!(fragment.text().await.unwrap().contains("echo: hello there"));
    let same = world
        .request(Method::GET, &format!("/ui/sessions/{id}"))
        .header("if-none-match", tag)
        .send()
        .await
        .unwrap();
    assert_eq!(same.status(), StatusCode::NOT_MODIFIED);
}

#[tokio::test(flavor = "multi_thread")]
async fn api_weakness_07_files_of_a_message_are_never_active_content() {
    let world = World::signed_in(ECHO).await;
    let id = world.session().await;
    let svg = json!({"requestId": "r", "text": "look", "attachments": [{"data": "PHN2Zy8+", "mimeType": "image/svg+xml", "originalName": "x.svg"}]});
    world.post(&format!("/api/sessions/{id}/messages"), &svg).await;
    let events = world.events(&id, "all").await;
    let file = &events[0]["attachments"][0];
    assert!(file.get("savedPath").is_none());
    let media = world
        .request(Method::GET, &format!("/api/media/{}", file["filename"].as_str().unwrap()))
        .send()
        .await
        .unwrap();
    assert_eq!(media.headers()["content-type"], "application/octet-stream");
    assert!(media.headers()["content-disposition"].to_str().unwrap().starts_with("attachment"));
    assert_eq!(media.headers()["x-content-type-options"], "nosniff");
    assert_eq!(media.bytes().await.unwrap(), "<svg/>");
}

#[tokio::test(flavor = "multi_thread")]
async fn assets_are_immutable_under_their_hash() {
    let world = World::start(ECHO).await;
    let login = world.request(Method::GET, "/login").send().await.unwrap().text().await.unwrap();
    let style = login.split("href=\"assets/").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    let asset = world.request(Method::GET, &format!("/assets/{style}")).send().await.unwrap();
    assert_eq!(asset.status(), StatusCode::OK);
    assert_eq!(asset.headers()["cache-control"], "public, max-age=31536000, immutable");
    assert_eq!(
        world.request(Method::GET, "/assets/x/../../../etc/passwd").send().await.unwrap().status(),
        StatusCode::FOUND
    );
}
