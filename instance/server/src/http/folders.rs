//! Looking for a folder to work in.

use std::path::{Path, PathBuf};

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use remotelab_config::paths::expand;
use serde::Deserialize;
use serde_json::json;

use super::answer;
use super::query::Query;
use crate::app::{Shared, blocking};

const SUGGESTIONS: usize = 20;
/// More sub-folders of one folder are not listed.
const CHILDREN: usize = 2_000;

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct BrowseQuery {
    path: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct CompleteQuery {
    q: String,
}

/// `GET /api/browse`.
pub(super) async fn browse(State(app): State<Shared>, Query(query): Query<BrowseQuery>) -> Response {
    let text = if query.path.trim().is_empty() { "~" } else { query.path.trim() };
    let folder = expand(text, &app.settings.home);
    let listed = folder.clone();
    let children = blocking(move || sub_folders(&listed)).await;
    let answer = match children {
        Some(children) => {
            let children: Vec<_> = children
                .iter()
                .filter(|(name, _)| !name.starts_with('.'))
                .map(|(name, path)| json!({"name": name, "path": path}))
                .collect();
            json!({"path": folder, "parent": folder.parent(), "children": children})
        }
        None => json!({"path": folder, "parent": null, "children": []}),
    };
    answer::json(StatusCode::OK, answer)
}

/// `GET /api/autocomplete`.
pub(super) async fn autocomplete(State(app): State<Shared>, Query(query): Query<CompleteQuery>) -> Response {
    let text = query.q.trim().to_owned();
    let home = app.settings.home.clone();
    let suggestions = blocking(move || complete(&text, &home)).await;
    answer::json(StatusCode::OK, json!({"suggestions": suggestions}))
}

fn complete(text: &str, home: &Path) -> Vec<PathBuf> {
    let (folder, prefix) = match text.rsplit_once('/') {
        Some((folder, prefix)) => (if folder.is_empty() { "/" } else { folder }, prefix),
        None => return Vec::new(),
    };
    let prefix = prefix.to_lowercase();
    let fits = |name: &str| {
        name.to_lowercase().starts_with(&prefix) && (prefix.starts_with('.') || !name.starts_with('.'))
    };
    let children = sub_folders(&expand(folder, home)).unwrap_or_default();
    children.into_iter().filter(|(name, _)| fits(name)).map(|(_, path)| path).take(SUGGESTIONS).collect()
}

/// Lists sub-folders by name; `None` when the folder cannot be read.
fn sub_folders(folder: &Path) -> Option<Vec<(String, PathBuf)>> {
    let mut children: Vec<_> = std::fs::read_dir(folder)
        .ok()?
        .filter_map(Result::ok)
        .filter(|entry| entry.path().is_dir())
        .filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path())))
        .take(CHILDREN)
        .collect();
    children.sort();
    Some(children)
}
