//! Any file of an instance beside its sessions is cut anywhere: the server starts, the sessions are there, and the
//! damage is told.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::world::{ECHO, World};

/// Every this many bytes a file is cut, each time beginning at another place.
const STRIDE: usize = 29;

#[tokio::test(flavor = "multi_thread")]
async fn a_file_cut_anywhere_costs_what_it_told_alone() {
    let mut world = World::signed_in(ECHO).await;
    let id = world.session().await;
    furnish(&world, &id).await;
    world.restart().await;
    let config = world.root.path().join("config");
    let files = files(&config);
    let first = rand::random_range(0..STRIDE);
    let mut told = 0;
    for (path, whole) in &files {
        for kept in (first..whole.len()).step_by(STRIDE) {
            let context = format!("{} cut to {kept}", path.display());
            world
                .stopped_for(|| {
                    files.iter().for_each(|(path, bytes)| fs::write(config.join(path), bytes).unwrap());
                    fs::write(config.join(path), &whole[..kept]).unwrap();
                })
                .await;
            world.sign_in().await;
            let (status, listed) = world.get("/api/sessions").await;
            assert_eq!((status, &listed["sessions"][0]["id"]), (StatusCode::OK, &json!(id)), "{context}");
            let renamed = world.request(Method::PATCH, &format!("/api/sessions/{id}"));
            let renamed = renamed.json(&json!({"name": context})).send().await.unwrap();
            assert_eq!(renamed.status(), StatusCode::OK, "{context}");
            told += usize::from(is_told(&world, path).await);
        }
    }
    assert!(told > files.len(), "hardly anything of it was told: {told}");
}

/// Whether health names the file, or the copy of it that was put aside.
async fn is_told(world: &World, path: &Path) -> bool {
    let (_, health) = world.get("/api/health?scan=1").await;
    let damaged = health["damaged"].as_array().unwrap().iter();
    let mut paths = damaged.map(|damage| damage["path"].as_str().unwrap());
    paths.any(|told| told.starts_with(path.to_str().unwrap()))
}

/// One of everything that is kept beside sessions and runs.
async fn furnish(world: &World, session: &str) {
    for (path, body) in [
        ("/api/triggers", json!({"sessionId": session, "scheduledAt": "2999-01-01", "text": "later"})),
        ("/api/webhooks", json!({"url": "http://127.0.0.1:9/hook"})),
        ("/api/tokens", json!({"name": "bot"})),
        ("/api/assets/upload-intents", json!({"sessionId": session, "originalName": "a.txt"})),
        ("/api/runtime-selection", json!({"selectedTool": "echo"})),
    ] {
        let (status, answer): (_, Value) = world.post(path, &body).await;
        assert!(status.is_success(), "{path}: {answer}");
    }
}

/// The files by their paths below a folder, those apart without which nobody can sign in.
fn files(config: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let folders = ["", "file-assets"].map(|folder| config.join(folder));
    let entries =
        folders.iter().flat_map(|folder| fs::read_dir(folder).unwrap()).map(|entry| entry.unwrap().path());
    let of_it = entries
        .filter(|path| path.extension().is_some_and(|it| it == "json") && !path.ends_with("auth.json"));
    of_it.map(|path| (path.strip_prefix(config).unwrap().to_owned(), fs::read(&path).unwrap())).collect()
}
