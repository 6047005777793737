//! File assets: uploads, downloads in parts, and messages that name them.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures_util::stream;
use reqwest::{Body, Method, Response, StatusCode};
use serde_json::{Value, json};

use super::tokens::token;
use super::world::{ECHO, World, body};

/// Begins an upload and returns the answer.
async fn begin(world: &World, session: &str, name: &str, more: Value) -> Value {
    let mut intent = json!({"sessionId": session, "originalName": name});
    intent.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let (status, answer) = world.post("/api/assets/upload-intents", &intent).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    answer
}

async fn put(world: &World, url: &Value, bytes: impl Into<Body>) -> (StatusCode, Value) {
    body(world.request(Method::PUT, url.as_str().unwrap()).body(bytes).send().await.unwrap()).await
}

/// Uploads a file and returns the finished asset.
async fn upload(world: &World, session: &str, name: &str, bytes: &'static str) -> Value {
    let answer = begin(world, session, name, json!({"mimeType": "image/png"})).await;
    assert_eq!(put(world, &answer["upload"]["url"], bytes).await.0, StatusCode::OK);
    let id = answer["asset"]["id"].as_str().unwrap();
    let (status, answer) = world.post(&format!("/api/assets/{id}/finalize"), &json!({})).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    answer["asset"].clone()
}

async fn get(world: &World, url: &str, headers: &[(&'static str, &str)]) -> Response {
    let request = world.request(Method::GET, url);
    headers.iter().fold(request, |request, (name, value)| request.header(*name, *value)).send().await.unwrap()
}

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers().get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
}

fn objects(world: &World) -> PathBuf {
    world.root.path().join("config/file-assets/objects")
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).map(Iterator::collect).unwrap_or_else(|_| Vec::new());
    entries.into_iter().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_uploaded_in_three_steps_and_downloaded() {
    let world = World::signed_in(ECHO).await;
    let session = world.session().await;
    let intent = json!({"mimeType": "Application/PDF; x=y", "sizeBytes": 8});
    let begun = begin(&world, &session, "../Rep ort é.pdf", intent).await;
    let asset = &begun["asset"];
    let id = asset["id"].as_str().unwrap();
    let download = format!("/api/assets/{id}/download");
    assert_eq!(
        begun,
        json!({
            "asset": {
                "id": id, "sessionId": session, "status": "pending_upload", "originalName": "Rep ort é.pdf",
                "mimeType": "application/pdf", "sizeBytes": 8, "createdAt": asset["createdAt"],
                "updatedAt": asset["updatedAt"], "downloadUrl": download,
            },
            "upload": {
                "method": "PUT", "url": format!("/api/assets/{id}/content"),
                "headers": {"Content-Type": "application/pdf"}, "expiresAt": null,
            },
        })
    );
    let finalize = format!("/api/assets/{id}/finalize");
    let error = |text: &str| json!({"error": text});
    assert_eq!(
        world.post(&finalize, &json!({})).await,
        (StatusCode::CONFLICT, error("File asset has not been uploaded yet"))
    );
    assert_eq!(world.get(&download).await, (StatusCode::CONFLICT, error("File asset is not ready")));
    let url = &begun["upload"]["url"];
    assert_eq!(
        put(&world, url, "%PDF-1.").await,
        (StatusCode::BAD_REQUEST, error("7 bytes arrived and 8 were announced"))
    );
    assert_eq!(put(&world, url, "%PDF-1.7").await.0, StatusCode::OK);
    assert_eq!(
        world.post(&finalize, &json!({"sizeBytes": 9})).await,
        (StatusCode::BAD_REQUEST, error("8 bytes arrived and 9 were announced"))
    );
    let (status, finished) = world.post(&finalize, &json!({"sizeBytes": 8})).await;
    let mut expected = asset.clone();
    expected["status"] = json!("ready");
    expected["updatedAt"] = finished["asset"]["updatedAt"].clone();
    expected["directUrl"] = json!(download);
    assert_eq!((status, &finished), (StatusCode::OK, &json!({"asset": expected})));
    assert_eq!(world.post(&finalize, &json!({})).await, (StatusCode::OK, finished.clone()));
    assert_eq!(world.get(&format!("/api/assets/{id}")).await, (StatusCode::OK, finished));
    assert_eq!(
        put(&world, url, "again").await,
        (StatusCode::CONFLICT, error("File asset is already complete"))
    );

    let file = get(&world, &download, &[]).await;
    assert_eq!(
        ["content-type", "content-length", "content-disposition", "cache-control", "accept-ranges"]
            .map(|name| header(&file, name)),
        [
            "application/pdf",
            "8",
            "attachment; filename=\"Rep_ort__.pdf\"; filename*=UTF-8''Rep%20ort%20%C3%A9.pdf",
            "private, no-store, max-age=0, must-revalidate",
            "bytes",
        ]
    );
    assert_eq!(header(&file, "content-security-policy"), "default-src 'none'; sandbox");
    assert_eq!(file.text().await.unwrap(), "%PDF-1.7");
    assert_eq!(names(&objects(&world)), [format!("{id}.pdf")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_requests_are_refused_with_their_reason() {
    let world = World::signed_in(ECHO).await;
    let session = world.session().await;
    let post = async |body: Value| world.post("/api/assets/upload-intents", &body).await;
    let error = |text: &str| json!({"error": text});
    assert_eq!(post(json!({})).await, (StatusCode::BAD_REQUEST, error("sessionId is required")));
    assert_eq!(post(json!({"sessionId": 7})).await, (StatusCode::BAD_REQUEST, error("Invalid request body")));
    assert_eq!(
        post(json!({"sessionId": "0".repeat(32)})).await,
        (StatusCode::NOT_FOUND, error("Session not found"))
    );
    let too_large = (StatusCode::PAYLOAD_TOO_LARGE, error("files may have 2 GiB at most"));
    let size = (2_u64 << 30) + 1;
    assert_eq!(post(json!({"sessionId": session, "sizeBytes": size})).await, too_large);
    let padding = "x".repeat(40_000);
    assert_eq!(
        post(json!({"sessionId": session, "originalName": padding})).await,
        (StatusCode::PAYLOAD_TOO_LARGE, error("Request body too large"))
    );
    let unknown = format!("fasset_{}", "0".repeat(24));
    for id in [unknown.as_str(), "x", "..%2fauth"] {
        for path in [format!("/api/assets/{id}"), format!("/api/assets/{id}/download")] {
            assert_eq!(world.get(&path).await, (StatusCode::NOT_FOUND, error("Asset not found")));
        }
        assert_eq!(
            world.post(&format!("/api/assets/{id}/finalize"), &json!({})).await,
            (StatusCode::NOT_FOUND, error("Asset not found"))
        );
        let content = json!(format!("/api/assets/{id}/content"));
        assert_eq!(put(&world, &content, "x").await, (StatusCode::NOT_FOUND, error("Asset not found")));
    }
    // Refused by what it announces, before anything of it is read.
    let begun = begin(&world, &session, "a", json!({})).await;
    let announced = world.request(Method::PUT, begun["upload"]["url"].as_str().unwrap());
    let refused =
        announced.header("content-length", size).body(Body::wrap_stream(stream::pending::<Never>()));
    assert_eq!(body(refused.send().await.unwrap()).await, too_large);
}

type Never = Result<Bytes, std::io::Error>;

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_breaks_off_leaves_nothing() {
    let world = World::signed_in(ECHO).await;
    let session = world.session().await;
    let begun = begin(&world, &session, "a.txt", json!({})).await;
    let parts: Vec<Never> = vec![Ok(Bytes::from(vec![b'x'; 1 << 20])), Err(std::io::Error::other("gone"))];
    let url = begun["upload"]["url"].as_str().unwrap();
    let broken = world.request(Method::PUT, url).body(Body::wrap_stream(stream::iter(parts)));
    assert!(broken.send().await.is_err());
    let form = reqwest::multipart::Form::new().text("text", "x").part(
        "attachments",
        reqwest::multipart::Part::stream(Body::wrap_stream(stream::iter([
            Ok(Bytes::from_static(b"part")),
            Err(std::io::Error::other("gone")),
        ])))
        .file_name("a.txt"),
    );
    let path = format!("/api/sessions/{session}/messages");
    assert!(world.request(Method::POST, &path).multipart(form).send().await.is_err());
    // Another upload is taken when the broken one is over.
    while put(&world, &begun["upload"]["url"], "whole").await.0 != StatusCode::OK {
        tokio::task::yield_now().await;
    }
    let images = world.root.path().join("config/images");
    while names(&objects(&world)).len() > 1 || !names(&images).is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(world.events(&session, "all").await, Vec::<Value>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_of_files_are_sent() {
    let world = World::signed_in(ECHO).await;
    let session = world.session().await;
    let asset = upload(&world, &session, "digits.txt", "0123456789").await;
    assert_eq!(asset["mimeType"], "text/plain");
    let data = json!({"text": "x", "attachments": [{"data": "MDEyMzQ1Njc4OQ==", "mimeType": "audio/mpeg"}]});
    world.post(&format!("/api/sessions/{session}/messages"), &data).await;
    let events = world.events(&session, "all").await;
    let media = format!("/api/media/{}", events[0]["attachments"][0]["filename"].as_str().unwrap());
    let asset = format!("/api/assets/{}/download", asset["id"].as_str().unwrap());
    for url in [asset.as_str(), media.as_str()] {
        let whole = get(&world, url, &[]).await;
        let tag = header(&whole, "etag").to_owned();
        assert_eq!((whole.status(), header(&whole, "content-length")), (StatusCode::OK, "10"));
        for (headers, status, length, range, text) in [
            (vec![("range", "bytes=2-4")], 206, "3", "bytes 2-4/10", "234"),
            (vec![("range", "bytes=-2")], 206, "2", "bytes 8-9/10", "89"),
            (vec![("range", "bytes=7-"), ("if-range", tag.as_str())], 206, "3", "bytes 7-9/10", "789"),
            (vec![("range", "bytes=7-"), ("if-range", "\"old\"")], 200, "10", "", "0123456789"),
            (vec![("range", "bytes=10-")], 416, "0", "bytes */10", ""),
            (vec![("range", "bytes=0-1,3-4")], 200, "10", "", "0123456789"),
            (vec![("if-none-match", tag.as_str())], 304, "", "", ""),
        ] {
            let part = get(&world, url, &headers).await;
            assert_eq!(
                (part.status().as_u16(), header(&part, "content-length"), header(&part, "content-range")),
                (status, length, range),
                "{headers:?}"
            );
            assert_eq!(part.text().await.unwrap(), text);
        }
        let head = world.request(Method::HEAD, url).send().await.unwrap();
        assert_eq!((head.status(), header(&head, "content-length")), (StatusCode::OK, "10"));
        assert_eq!(header(&head, "etag"), tag);
    }
    let kept = get(&world, &media, &[]).await;
    assert_eq!(header(&kept, "cache-control"), "private, max-age=31536000, immutable");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_browser_would_run_is_only_saved() {
    let world = World::signed_in(ECHO).await;
    let session = world.session().await;
    let kind = |response: &Response| {
        let disposition = header(response, "content-disposition").split(';').next().unwrap().to_owned();
        (header(response, "content-type").to_owned(), disposition)
    };
    for (name, bytes, sent_as, disposition) in [
        ("a.png", "<script>alert(1)</script>", "application/octet-stream", "attachment"),
        ("a.png", "<svg onload='x'/>", "application/octet-stream", "attachment"),
        ("a.png", "GIF89a...", "image/gif", "inline"),
    ] {
        let asset = upload(&world, &session, name, bytes).await;
        let url = asset["downloadUrl"].as_str().unwrap();
        let response = get(&world, url, &[]).await;
        assert_eq!(kind(&response), (sent_as.to_owned(), disposition.to_owned()), "{bytes}");
        assert_eq!(header(&response, "x-content-type-options"), "nosniff");
        assert_eq!(header(&response, "content-security-policy"), "default-src 'none'; sandbox");
        let saved = get(&world, &format!("{url}?download=1"), &[]).await;
        assert_eq!(kind(&saved).1, "attachment");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_names_assets_and_a_moved_instance_keeps_them() {
    let world = World::signed_in(ECHO).await;
    let session = world.session().await;
    let asset = upload(&world, &session, "notes.md", "# hi").await;
    let id = asset["id"].as_str().unwrap();
    let messages = format!("/api/sessions/{session}/messages");
    let pending = begin(&world, &session, "later.txt", json!({})).await;
    let pending = pending["asset"]["id"].as_str().unwrap();
    for (given, error) in [
        ("fasset_x", "Unknown asset: fasset_x".to_owned()),
        (pending, format!("Asset is not ready: {pending}")),
    ] {
        let body = json!({"text": "x", "attachments": [{"assetId": given}]});
        assert_eq!(world.post(&messages, &body).await, (StatusCode::BAD_REQUEST, json!({"error": error})));
    }
    let form = reqwest::multipart::Form::new()
        .text("text", "read it")
        .text("requestId", "r1")
        .text("externalAttachments", json!([{"assetId": id, "renderAs": "file"}]).to_string())
        .part("images", reqwest::multipart::Part::bytes(b"GIF89a".as_slice()).file_name("b.gif"));
    let accepted = world.request(Method::POST, &messages).multipart(form).send().await.unwrap();
    let (status, accepted) = body(accepted).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{accepted}");
    let events = world.events(&session, "all").await;
    let filename = &events[0]["attachments"][1]["filename"];
    let files = json!([
        {"assetId": id, "originalName": "notes.md", "mimeType": "text/markdown", "sizeBytes": 4, "renderAs": "file"},
        {"filename": filename, "originalName": "b.gif", "mimeType": "application/octet-stream", "sizeBytes": 6},
    ]);
    assert_eq!((&events[0]["attachments"], &events[0]["images"]), (&files, &files));
    let run = accepted["run"]["id"].as_str().unwrap();
    world.ended(run).await;
    let root = world.root.path().display().to_string();
    let file = |name: &str| world.stored(name);
    let line = format!("[User attached file: notes.md -> {root}/config/file-assets/objects/{id}.md]");
    assert!(file(&format!("chat-runs/{run}/launch.json")).contains(&line));
    let manifest: Value = serde_json::from_str(&file(&format!("chat-runs/{run}/manifest.json"))).unwrap();
    assert_eq!(manifest["options"]["images"], files);
    for stored in [format!("file-assets/{id}.json"), format!("chat-history/{session}/events/000000001.json")]
    {
        assert!(!file(&stored).contains(&root), "{stored}");
    }

    let world = world.moved().await;
    assert_eq!(get(&world, asset["downloadUrl"].as_str().unwrap(), &[]).await.text().await.unwrap(), "# hi");
    let session = world.session().await;
    let messages = format!("/api/sessions/{session}/messages");
    let again = json!({"text": "again", "attachments": [{"assetId": id}, {"filename": filename}]});
    let (_, accepted) = world.post(&messages, &again).await;
    let run = accepted["run"]["id"].as_str().unwrap();
    world.ended(run).await;
    let root = world.root.path();
    let launch = std::fs::read_to_string(root.join(format!("config/chat-runs/{run}/launch.json"))).unwrap();
    let image = filename.as_str().unwrap();
    for path in [format!("config/file-assets/objects/{id}.md]"), format!("config/images/{image}]")] {
        assert!(launch.contains(&root.join(&path).display().to_string()), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_assistant_message_takes_ready_assets_alone() {
    let world = World::signed_in(ECHO).await;
    let session = world.session().await;
    let pending = begin(&world, &session, "later.txt", json!({})).await;
    let pending = pending["asset"]["id"].as_str().unwrap();
    let path = format!("/api/sessions/{session}/assistant-messages");
    let (status, answer) = world.post(&path, &json!({"attachments": [{"assetId": pending}]})).await;
    let error = json!({"error": format!("Asset is not ready: {pending}")});
    assert_eq!((status, answer), (StatusCode::CONFLICT, error));
    let ready = upload(&world, &session, "a.txt", "x").await;
    let (status, answer) =
        world.post(&path, &json!({"attachments": [{"assetId": ready["id"], "originalName": "b.txt"}]})).await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
    assert_eq!(
        answer["event"]["attachments"],
        json!([{"assetId": ready["id"], "originalName": "b.txt", "mimeType": "text/plain", "sizeBytes": 1}])
    );
    let page = get(&world, &format!("/s/{session}"), &[]).await.text().await.unwrap();
    let link = format!("href=\"api/assets/{}/download?download=1\"", ready["id"].as_str().unwrap());
    assert!(page.contains(&link), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn connectors_upload_and_download_with_their_token() {
    let world = World::signed_in(ECHO).await;
    let session = world.session().await;
    let (_, text) = token(&world).await;
    let strange = reqwest::Client::new();
    let call = |method: Method, path: &str| {
        strange.request(method, format!("{}{path}", world.base)).bearer_auth(&text)
    };
    let intent = call(Method::POST, "/api/assets/upload-intents").json(&json!({"sessionId": session}));
    let (_, begun) = body(intent.send().await.unwrap()).await;
    let id = begun["asset"]["id"].as_str().unwrap();
    let upload = call(Method::PUT, begun["upload"]["url"].as_str().unwrap()).body("hi");
    assert_eq!(upload.send().await.unwrap().status(), StatusCode::OK);
    let finalize = call(Method::POST, &format!("/api/assets/{id}/finalize"));
    assert_eq!(finalize.send().await.unwrap().status(), StatusCode::OK);
    let file = call(Method::GET, &format!("/api/assets/{id}/download")).send().await.unwrap();
    assert_eq!(file.text().await.unwrap(), "hi");
    let anonymous = strange.get(format!("{}/api/assets/{id}/download", world.base)).send().await.unwrap();
    assert_eq!(anonymous.status(), StatusCode::UNAUTHORIZED);
}

/// Keeps what is put and gives it to whoever signs as TOS wants it.
async fn tos() -> String {
    use axum::extract::{RawQuery, State};
    use axum::response::IntoResponse;
    use axum::routing::get;
    use http::header::{CONTENT_RANGE, RANGE};
    type Kept = std::sync::Arc<std::sync::Mutex<Bytes>>;
    fn check(query: Option<String>) {
        let query = query.unwrap_or_default();
        assert!(query.starts_with("X-Tos-Algorithm=TOS4-HMAC-SHA256&X-Tos-Credential=id%2F"), "{query}");
        assert!(query.contains("%2Fcn-x%2Ftos%2Frequest&X-Tos-Date=") && query.contains("&X-Tos-Signature="));
    }
    let put = async |RawQuery(query): RawQuery, State(kept): State<Kept>, bytes: Bytes| {
        check(query);
        *kept.lock().unwrap() = bytes;
    };
    let read = async |RawQuery(query): RawQuery, State(kept): State<Kept>, headers: http::HeaderMap| {
        check(query);
        let whole = kept.lock().unwrap().clone();
        match headers.get(RANGE) {
            Some(range) => {
                assert_eq!(range, "bytes=1-2");
                let range = [(CONTENT_RANGE, format!("bytes 1-2/{}", whole.len()))];
                (StatusCode::PARTIAL_CONTENT, range, whole.slice(1..3)).into_response()
            }
            None => whole.into_response(),
        }
    };
    let router = axum::Router::new().route("/files/{*key}", get(read).put(put)).with_state(Kept::default());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/files", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

#[tokio::test(flavor = "multi_thread")]
async fn files_in_tos_are_saved_under_their_names() {
    let url = tos().await;
    let variables = [
        ("REMOTELAB_ASSET_STORAGE_BASE_URL", url.as_str()),
        ("REMOTELAB_ASSET_STORAGE_PROVIDER", "tos"),
        ("REMOTELAB_ASSET_STORAGE_REGION", "cn-x"),
        ("REMOTELAB_ASSET_STORAGE_ACCESS_KEY_ID", "id"),
        ("REMOTELAB_ASSET_STORAGE_SECRET_ACCESS_KEY", "hush"),
    ];
    let world = World::signed_in_with(ECHO, &variables).await;
    let session = world.session().await;
    let message = json!({"text": "x", "attachments": [{"data": "aGVsbG8=", "originalName": "a.txt"}]});
    world.post(&format!("/api/sessions/{session}/messages"), &message).await;
    let events = world.events(&session, "all").await;
    let id = events[0]["attachments"][0]["assetId"].as_str().unwrap();
    let shown = get(&world, &format!("/api/assets/{id}/download"), &[]).await;
    assert_eq!(shown.status(), StatusCode::FOUND);
    assert!(header(&shown, "location").starts_with(&format!("{url}/session-assets/{session}/")));
    let saving = format!("/api/assets/{id}/download?download=1");
    let saved = get(&world, &saving, &[]).await;
    assert_eq!(
        ["content-type", "content-length", "content-disposition"].map(|name| header(&saved, name)),
        ["text/plain", "5", "attachment; filename=\"a.txt\"; filename*=UTF-8''a.txt"]
    );
    assert_eq!(saved.text().await.unwrap(), "hello");
    let part = get(&world, &saving, &[("range", "bytes=1-2")]).await;
    assert_eq!((part.status(), header(&part, "content-range")), (StatusCode::PARTIAL_CONTENT, "bytes 1-2/5"));
    assert_eq!(part.text().await.unwrap(), "el");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_stay_here_when_the_object_storage_is_gone() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let variables = [
        ("REMOTELAB_ASSET_STORAGE_BASE_URL", format!("http://127.0.0.1:{port}/files")),
        ("REMOTELAB_ASSET_STORAGE_ACCESS_KEY_ID", "id".to_owned()),
        ("REMOTELAB_ASSET_STORAGE_SECRET_ACCESS_KEY", "hush".to_owned()),
    ];
    let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let world = World::signed_in_with(ECHO, &variables).await;
    let session = world.session().await;
    let message = json!({"text": "x", "attachments": [{"data": "aGk=", "originalName": "a.txt"}]});
    let (status, answer) = world.post(&format!("/api/sessions/{session}/messages"), &message).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
    let events = world.events(&session, "all").await;
    let id = events[0]["attachments"][0]["assetId"].as_str().unwrap();
    let file = get(&world, &format!("/api/assets/{id}/download"), &[]).await;
    assert_eq!((file.status(), file.text().await.unwrap().as_str()), (StatusCode::OK, "hi"));
    assert_eq!(world.ended(answer["run"]["id"].as_str().unwrap()).await["state"], "completed");
    // A client that cannot reach the storage either may bring the bytes here.
    let begun = begin(&world, &session, "b.txt", json!({})).await;
    assert!(begun["upload"]["url"].as_str().unwrap().starts_with(&format!("http://127.0.0.1:{port}/files/")));
    let id = begun["asset"]["id"].as_str().unwrap();
    let finalize = format!("/api/assets/{id}/finalize");
    let error = json!({"error": "the object storage does not answer"});
    assert_eq!(world.post(&finalize, &json!({})).await, (StatusCode::BAD_GATEWAY, error));
    let content = json!(format!("/api/assets/{id}/content"));
    assert_eq!(put(&world, &content, "hi").await.0, StatusCode::OK);
    assert_eq!(world.post(&finalize, &json!({})).await.0, StatusCode::OK);
}
