//! Files that come with a message: checked, stored under `images/` or as assets, named by chance.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use remotelab_config::InstancePaths;
use remotelab_protocol::{AssetId, Attachment, SessionId};
use serde::Deserialize;
use serde_json::Value;

use crate::app::{App, Shared, blocking};
use crate::assets::{self, Asset, Creator, Incoming, Wanted};

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
    #[error("Asset is not ready: {0}")]
    NotReady(AssetId),
    #[error("Unknown attachment: {0}")]
    UnknownFile(String),
    #[error("Attachment data is not base64")]
    NotBase64,
    #[error(transparent)]
    Asset(#[from] assets::Error),
}

/// A file as it came in.
#[derive(Debug)]
pub(crate) struct Upload {
    pub(crate) name: Option<String>,
    pub(crate) media_type: Option<String>,
    pub(crate) incoming: Incoming,
}

/// Who sends a message decides what it may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sender {
    /// A person or connector.
    User,
    /// An executor or script of this host, which may name its files by their paths.
    Assistant,
}

/// An entry of a message's list.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Given {
    data: Option<String>,
    filename: Option<String>,
    asset_id: Option<String>,
    local_path: Option<PathBuf>,
    original_name: Option<String>,
    mime_type: Option<String>,
    render_as: Option<String>,
}

/// Takes the `attachments` (or `images`) list of a message. Entries that name nothing are ignored.
pub(crate) async fn take(
    app: &Shared,
    session: &SessionId,
    list: Option<Value>,
    sender: Sender,
) -> Result<Vec<Attachment>, Error> {
    let Some(Value::Array(entries)) = list else { return Ok(Vec::new()) };
    let given: Vec<Given> =
        entries.into_iter().map(|entry| serde_json::from_value(entry).unwrap_or_default()).collect();
    if sender == Sender::User && given.iter().any(|given| given.local_path.is_some()) {
        return Err(Error::LocalPath);
    }
    let mut taken = Vec::new();
    for mut given in given {
        let render_as = given.render_as.take().filter(|kind| kind == "file");
        if let Some(attachment) = take_one(app, session, given).await? {
            taken.push(Attachment { render_as, ..attachment });
        }
    }
    Ok(taken)
}

/// Begins a file that comes with a message, of at most `limit` bytes.
pub(crate) async fn begin(app: &Shared, limit: u64) -> Result<Incoming, assets::Error> {
    let paths = &app.settings.paths;
    let folder = if app.assets.storage().is_some() { paths.file_asset_objects() } else { paths.images() };
    Ok(Incoming::begin(folder, limit).await?)
}

/// Stores a file under a name of our own, durably: beside the others, or as an asset where there is an
/// object storage.
pub(crate) async fn store(app: &Shared, session: &SessionId, upload: Upload) -> Result<Attachment, Error> {
    let Upload { name, media_type, incoming } = upload;
    if app.assets.storage().is_some() {
        let wanted = wanted(session, Creator::Owner, name, media_type.as_deref());
        return Ok(app.assets.adopt(wanted, incoming).await?.attachment());
    }
    let mime_type = media_type
        .filter(|mime| !mime.trim().is_empty())
        .unwrap_or_else(|| "application/octet-stream".to_owned());
    let extension = extension(&mime_type, name.as_deref());
    let filename = format!("{}.{extension}", hex::encode(rand::random::<[u8; 12]>()));
    let size = incoming.size();
    incoming.keep(app.settings.paths.images().join(&filename)).await.map_err(assets::Error::from)?;
    Ok(Attachment {
        filename: Some(filename),
        original_name: name.map(|name| safe_name(&name)).filter(|name| !name.is_empty()),
        mime_type,
        size_bytes: Some(size),
        ..Attachment::default()
    })
}

/// Returns the same files with their place on this host, for an executor. Those of an object storage may
/// have to be fetched to it first. Blocks.
pub(crate) fn located(app: &App, attachments: &[Attachment]) -> Vec<(Attachment, Option<Asset>)> {
    let locate = |file: &Attachment| {
        let asset = file.asset_id.as_ref().and_then(|id| app.assets.find(id).ok());
        let path = match (&asset, &file.filename) {
            (Some(asset), _) => Some(app.assets.path(asset)),
            (None, Some(name)) if is_media_name(name) => Some(app.settings.paths.images().join(name)),
            _ => None,
        };
        let saved_path = path.map(|path| path.to_string_lossy().into_owned());
        (Attachment { saved_path: saved_path.or_else(|| file.saved_path.clone()), ..file.clone() }, asset)
    };
    attachments.iter().map(locate).collect()
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

async fn take_one(app: &Shared, session: &SessionId, given: Given) -> Result<Option<Attachment>, Error> {
    if let Some(path) = given.local_path {
        let name = given.original_name.or_else(|| Some(path.file_name()?.to_string_lossy().into_owned()));
        let wanted = wanted(session, Creator::Assistant, name, given.mime_type.as_deref());
        let asset = app.assets.publish(AssetId::random(), wanted, path).await?;
        return Ok(Some(asset.attachment()));
    }
    if let Some(id) = given.asset_id {
        let asset = known(app, id).await?;
        let name = given.original_name.map(|name| safe_name(&name)).filter(|name| !name.is_empty());
        let attachment = asset.attachment();
        return Ok(Some(Attachment { original_name: name.or(attachment.original_name), ..attachment }));
    }
    if let Some(data) = given.data {
        let bytes = blocking(move || decode(&data)).await.ok_or(Error::NotBase64)?;
        let mut incoming = begin(app, bytes.len() as u64).await?;
        incoming.write(&bytes.into()).await.map_err(assets::Error::from)?;
        let upload = Upload { name: given.original_name, media_type: given.mime_type, incoming };
        return store(app, session, upload).await.map(Some);
    }
    match given.filename {
        Some(filename) => {
            let paths = app.settings.paths.clone();
            let existing = move || existing(&paths, &filename, given.original_name, given.mime_type);
            blocking(existing).await.map(Some)
        }
        None => Ok(None),
    }
}

async fn known(app: &Shared, id: String) -> Result<Asset, Error> {
    let Ok(parsed) = AssetId::parse(&id) else { return Err(Error::UnknownAsset(id)) };
    let worker = Arc::clone(app);
    match blocking(move || worker.assets.find(&parsed)).await {
        Ok(asset) if asset.is_ready() => Ok(asset),
        Ok(asset) => Err(Error::NotReady(asset.id)),
        Err(assets::Error::NotFound) => Err(Error::UnknownAsset(id)),
        Err(error) => Err(error.into()),
    }
}

fn wanted(session: &SessionId, creator: Creator, name: Option<String>, media_type: Option<&str>) -> Wanted {
    Wanted {
        session: session.clone(),
        creator,
        name: name.unwrap_or_default(),
        media_type: assets::declared_type(media_type),
        size: None,
    }
}

/// Reads base64, also as a `data:` address.
fn decode(data: &str) -> Option<Vec<u8>> {
    let data = data.split_once(";base64,").map_or(data, |(_, data)| data);
    BASE64_STANDARD.decode(data.trim()).ok()
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

/// Chooses an extension: that of the media type, else that of the name.
pub(crate) fn extension(mime_type: &str, name: Option<&str>) -> String {
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
pub(crate) fn safe_name(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    last.chars().filter(|c| !c.is_control()).take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_files_are_found_by_their_names_alone() {
        let root = tempfile::tempdir().unwrap();
        let paths = InstancePaths::below(root.path());
        std::fs::create_dir_all(paths.images()).unwrap();
        std::fs::write(paths.images().join("0a.txt"), "hi").unwrap();
        let found = existing(&paths, "0a.txt", Some("../a/报告.txt".into()), None).unwrap();
        assert_eq!(
            found,
            Attachment {
                filename: Some("0a.txt".into()),
                original_name: Some("报告.txt".into()),
                mime_type: "text/plain; charset=utf-8".into(),
                size_bytes: Some(2),
                ..Attachment::default()
            }
        );
        let error = existing(&paths, "../auth.json", None, None).unwrap_err();
        assert_eq!(error.to_string(), "Unknown attachment: ../auth.json");
        assert!(!is_media_name("auth.json.x") && !is_media_name(".env") && !is_media_name("a.JSON"));
    }

    #[test]
    fn data_is_read_with_and_without_its_address() {
        assert_eq!(decode(" aGk= "), Some(b"hi".to_vec()));
        assert_eq!(decode("data:text/plain;base64,aGk="), Some(b"hi".to_vec()));
        assert_eq!(decode("%%%"), None);
    }
}
