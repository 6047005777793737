//! Files that come with a message: checked, stored under `images/`, named by chance.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use remotelab_config::{InstancePaths, atomic};
use remotelab_protocol::Attachment;
use serde::Deserialize;
use serde_json::Value;

/// Extensions by media type.
const EXTENSIONS: &[(&str, &str)] = &[
    ("application/json", "json"),
    ("application/pdf", "pdf"),
    ("application/zip", "zip"),
    ("audio/mpeg", "mp3"),
    ("audio/mp4", "m4a"),
    ("audio/ogg", "ogg"),
    ("audio/wav", "wav"),
    ("image/gif", "gif"),
    ("image/jpeg", "jpg"),
    ("image/png", "png"),
    ("image/svg+xml", "svg"),
    ("image/webp", "webp"),
    ("text/markdown", "md"),
    ("text/plain", "txt"),
    ("video/mp4", "mp4"),
    ("video/ogg", "ogv"),
    ("video/quicktime", "mov"),
    ("video/webm", "webm"),
    ("video/x-m4v", "m4v"),
];

/// Media types by extension, for serving; everything else, SVG on purpose, is plain bytes.
const MEDIA_TYPES: &[(&str, &str)] = &[
    ("gif", "image/gif"),
    ("jpg", "image/jpeg"),
    ("jpeg", "image/jpeg"),
    ("png", "image/png"),
    ("webp", "image/webp"),
    ("json", "application/json"),
    ("md", "text/markdown; charset=utf-8"),
    ("txt", "text/plain; charset=utf-8"),
    ("pdf", "application/pdf"),
    ("zip", "application/zip"),
    ("mp3", "audio/mpeg"),
    ("m4a", "audio/mp4"),
    ("ogg", "audio/ogg"),
    ("wav", "audio/wav"),
    ("mp4", "video/mp4"),
    ("m4v", "video/x-m4v"),
    ("mov", "video/quicktime"),
    ("ogv", "video/ogg"),
    ("webm", "video/webm"),
];

/// Why a file was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("localPath attachments are not supported on this route")]
    LocalPath,
    #[error("Unknown asset: {0}")]
    UnknownAsset(String),
    #[error("Unknown attachment: {0}")]
    UnknownFile(String),
    #[error("Attachment data is not base64")]
    NotBase64,
    #[error(transparent)]
    Store(#[from] atomic::Error),
}

/// A file as it came in.
#[derive(Debug)]
pub(crate) struct Upload {
    pub(crate) name: Option<String>,
    pub(crate) mime_type: Option<String>,
    pub(crate) bytes: Vec<u8>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Given {
    data: Option<String>,
    filename: Option<String>,
    asset_id: Option<String>,
    local_path: Option<String>,
    original_name: Option<String>,
    mime_type: Option<String>,
    render_as: Option<String>,
}

/// Takes the `attachments` (or `images`) list of a message. Entries that name nothing are ignored.
/// Blocks.
pub(crate) fn from_json(paths: &InstancePaths, list: Option<Value>) -> Result<Vec<Attachment>, Error> {
    let Some(Value::Array(entries)) = list else { return Ok(Vec::new()) };
    let mut taken = Vec::new();
    for entry in entries {
        let given: Given = serde_json::from_value(entry).unwrap_or_default();
        if given.local_path.is_some() {
            return Err(Error::LocalPath);
        }
        if let Some(asset) = given.asset_id {
            return Err(Error::UnknownAsset(asset));
        }
        let attachment = match (given.data, given.filename) {
            (Some(data), _) => {
                let data = data.split_once(";base64,").map_or(data.as_str(), |(_, data)| data);
                let bytes = BASE64_STANDARD.decode(data.trim()).map_err(|_| Error::NotBase64)?;
                store(paths, Upload { name: given.original_name, mime_type: given.mime_type, bytes })?
            }
            (None, Some(filename)) => existing(paths, &filename, given.original_name, given.mime_type)?,
            (None, None) => continue,
        };
        taken.push(Attachment { render_as: given.render_as.filter(|kind| kind == "file"), ..attachment });
    }
    Ok(taken)
}

/// Stores a file under a name of our own. Blocks until it is durable.
pub(crate) fn store(paths: &InstancePaths, upload: Upload) -> Result<Attachment, Error> {
    let mime_type = upload
        .mime_type
        .filter(|mime| !mime.trim().is_empty())
        .unwrap_or_else(|| "application/octet-stream".to_owned());
    let extension = extension(&mime_type, upload.name.as_deref());
    let filename = format!("{}.{extension}", hex::encode(rand::random::<[u8; 12]>()));
    atomic::create_private_dir(&paths.images())?;
    atomic::write_private(&paths.images().join(&filename), &upload.bytes)?;
    Ok(Attachment {
        filename: Some(filename),
        original_name: upload.name.map(|name| safe_name(&name)).filter(|name| !name.is_empty()),
        mime_type,
        size_bytes: Some(upload.bytes.len() as u64),
        ..Attachment::default()
    })
}

/// Returns the same files with their place on this host, for an executor.
pub(crate) fn located(paths: &InstancePaths, attachments: &[Attachment]) -> Vec<Attachment> {
    let place = |file: &Attachment| {
        file.filename.as_ref().map(|name| paths.images().join(name).to_string_lossy().into_owned())
    };
    let located = |file: &Attachment| place(file).or_else(|| file.saved_path.clone());
    attachments.iter().map(|file| Attachment { saved_path: located(file), ..file.clone() }).collect()
}

/// Returns the path and media type of a stored file; `None` for a name that is not one of ours.
pub(crate) fn find(paths: &InstancePaths, filename: &str) -> Option<(PathBuf, &'static str)> {
    is_media_name(filename).then(|| (paths.images().join(filename), media_type(filename)))
}

/// Tells whether a text has the form of a stored file's name.
pub(crate) fn is_media_name(name: &str) -> bool {
    let word = |text: &str, also: &[u8]| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || also.contains(&b))
    };
    name.split_once('.').is_some_and(|(stem, extension)| {
        word(stem, b"_-") && word(extension, b"") && !extension.bytes().any(|b| b.is_ascii_uppercase())
    })
}

fn existing(
    paths: &InstancePaths,
    filename: &str,
    original_name: Option<String>,
    mime_type: Option<String>,
) -> Result<Attachment, Error> {
    let unknown = || Error::UnknownFile(filename.to_owned());
    let (path, served_as) = find(paths, filename).ok_or_else(unknown)?;
    let size = std::fs::metadata(path).map_err(|_| unknown())?.len();
    Ok(Attachment {
        filename: Some(filename.to_owned()),
        original_name: original_name.map(|name| safe_name(&name)),
        mime_type: mime_type.unwrap_or_else(|| served_as.to_owned()),
        size_bytes: Some(size),
        ..Attachment::default()
    })
}

fn media_type(filename: &str) -> &'static str {
    let extension = filename.rsplit('.').next().unwrap_or_default();
    MEDIA_TYPES
        .iter()
        .find(|(known, _)| *known == extension)
        .map_or("application/octet-stream", |(_, media)| media)
}

fn extension(mime_type: &str, name: Option<&str>) -> String {
    let essence = mime_type.split(';').next().unwrap_or_default().trim().to_lowercase();
    if let Some((_, extension)) = EXTENSIONS.iter().find(|(media, _)| *media == essence) {
        return (*extension).to_owned();
    }
    name.and_then(|name| Path::new(name).extension()?.to_str())
        .map(str::to_lowercase)
        .filter(|extension| extension.len() <= 8 && extension.bytes().all(|b| b.is_ascii_alphanumeric()))
        .filter(|extension| !extension.is_empty())
        .unwrap_or_else(|| "bin".to_owned())
}

/// Keeps the last path segment, without control characters, at most 200 characters.
fn safe_name(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    last.chars().filter(|c| !c.is_control()).take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn stores_data_and_finds_it_again() {
        let root = tempfile::tempdir().unwrap();
        let paths = InstancePaths::below(root.path());
        let list =
            json!([{"data": "aGk=", "mimeType": "text/plain", "originalName": "../a/报告.txt"}, {"odd": 1}]);
        let taken = from_json(&paths, Some(list)).unwrap();
        assert_eq!(taken.len(), 1);
        assert_eq!((taken[0].original_name.as_deref(), taken[0].size_bytes), (Some("报告.txt"), Some(2)));
        let filename = taken[0].filename.clone().unwrap();
        let (path, media) = find(&paths, &filename).unwrap();
        assert_eq!(
            (std::fs::read(path).unwrap().as_slice(), media),
            (&b"hi"[..], "text/plain; charset=utf-8")
        );
        let again = from_json(&paths, Some(json!([{"filename": filename}]))).unwrap();
        assert_eq!(again[0].size_bytes, Some(2));
    }

    #[test]
    fn refuses_what_it_must_not_read() {
        let root = tempfile::tempdir().unwrap();
        let paths = InstancePaths::below(root.path());
        for (entry, message) in [
            (json!({"localPath": "/etc/passwd"}), "localPath attachments are not supported on this route"),
            (json!({"assetId": "fasset_x"}), "Unknown asset: fasset_x"),
            (json!({"filename": "../auth.json"}), "Unknown attachment: ../auth.json"),
            (json!({"data": "%%%"}), "Attachment data is not base64"),
        ] {
            assert_eq!(from_json(&paths, Some(json!([entry]))).unwrap_err().to_string(), message);
        }
        assert!(!is_media_name("auth.json.x") && !is_media_name(".env") && !is_media_name("a.JSON"));
    }
}
