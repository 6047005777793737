//! Looking for a folder to work in.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use remotelab_config::paths::expand;
use serde::Deserialize;
use serde_json::json;

use super::answer;
use super::query::Query;
use crate::app::{Shared, blocking};
use crate::contained;

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
    let folder = expand(text, &app.settings.work_home);
    let listed = folder.clone();
    let worker = Arc::clone(&app);
    let children = blocking(move || {
        let may = contained::may_work_in(&worker.settings, &listed);
        may.then(|| sub_folders(&listed, |name| !name.starts_with('.'), CHILDREN))?
    })
    .await;
    let answer = match children {
        Some(children) => {
            let children: Vec<_> =
                children.iter().map(|(name, path)| json!({"name": name, "path": path})).collect();
            json!({"path": folder, "parent": folder.parent(), "children": children})
        }
        None => json!({"path": folder, "parent": null, "children": []}),
    };
    answer::json(StatusCode::OK, answer)
}

/// `GET /api/autocomplete`.
pub(super) async fn autocomplete(State(app): State<Shared>, Query(query): Query<CompleteQuery>) -> Response {
    let text = query.q.trim().to_owned();
    let suggestions = blocking(move || {
        let mut suggestions = complete(&text, &app.settings.work_home);
        suggestions.retain(|folder| contained::may_work_in(&app.settings, folder));
        suggestions
    })
    .await;
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
    let children = sub_folders(&expand(folder, home), fits, SUGGESTIONS).unwrap_or_default();
    children.into_values().collect()
}

/// Lists the first sub-folders by name, of those whose names fit; `None` when the folder cannot be read.
fn sub_folders(folder: &Path, fits: impl Fn(&str) -> bool, most: usize) -> Option<BTreeMap<String, PathBuf>> {
    let mut children = BTreeMap::new();
    for entry in std::fs::read_dir(folder).ok()?.flatten() {
        let Ok(name) = entry.file_name().into_string() else { continue };
        let is_among_first =
            children.len() < most || children.last_key_value().is_some_and(|(last, _)| name < *last);
        if fits(&name) && is_among_first && entry.path().is_dir() {
            children.insert(name, entry.path());
            if children.len() > most {
                children.pop_last();
            }
        }
    }
    Some(children)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_is_found_among_any_number_of_folders() {
        let root = tempfile::tempdir().unwrap();
        for number in 0..2_500 {
            std::fs::create_dir(root.path().join(format!("a{number:04}"))).unwrap();
        }
        for name in ["Zebra", ".hidden"] {
            std::fs::create_dir(root.path().join(name)).unwrap();
        }
        std::fs::write(root.path().join("zoo"), "a file").unwrap();
        let home = root.path();
        let named = |names: &[&str]| names.iter().map(|name| home.join(name)).collect::<Vec<_>>();
        assert_eq!(complete("~/z", home), named(&["Zebra"]));
        assert_eq!(complete("~/.h", home), named(&[".hidden"]));
        assert_eq!(complete("~/a24", home)[..2], named(&["a2400", "a2401"]));
        assert_eq!(complete("~/a", home).len(), SUGGESTIONS);
        assert_eq!((complete("z", home), complete("/nowhere/z", home)), (vec![], vec![]));
        let listed = sub_folders(home, |name| !name.starts_with('.'), CHILDREN).unwrap();
        assert_eq!(listed.into_keys().take(2).collect::<Vec<_>>(), ["Zebra", "a0000"]);
    }
}
