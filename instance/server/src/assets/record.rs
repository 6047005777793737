//! The record of a file asset, `file-assets/<id>.json`.

use std::path::{Path, PathBuf};

use remotelab_config::{InstancePaths, atomic};
use remotelab_protocol::{AssetId, Attachment, SessionId};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A file of a session. The record holds names and no path: a moved instance keeps its files.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Asset {
    pub(crate) id: AssetId,
    pub(crate) session_id: SessionId,
    pub(crate) status: Status,
    pub(crate) created_at: String,
    pub(crate) updated_at: String,
    pub(crate) created_by: Creator,
    #[serde(default)]
    pub(crate) original_name: String,
    #[serde(default)]
    pub(crate) mime_type: String,
    #[serde(default)]
    pub(crate) size_bytes: Option<u64>,
    #[serde(default)]
    pub(crate) etag: String,
    pub(crate) storage: Place,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) upload_completed_at: Option<String>,
    /// Fields of other versions.
    #[serde(flatten)]
    pub(crate) rest: Map<String, Value>,
}

/// Whether its bytes are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    PendingUpload,
    Ready,
}

/// Who brought it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Creator {
    Owner,
    Visitor,
    Assistant,
}

/// Where its bytes are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Place {
    pub(crate) provider: Provider,
    /// Its key in the object storage.
    pub(crate) object_key: String,
    /// Its name below `file-assets/objects`.
    pub(crate) local_filename: String,
}

/// Who keeps the bytes. TOS is an `s3-compatible` one as well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Provider {
    #[default]
    Local,
    S3Compatible,
}

impl Asset {
    /// Reads a record; `None` when there is none. Blocks.
    pub(super) fn read(paths: &InstancePaths, id: &AssetId) -> Result<Option<Self>, atomic::Error> {
        Ok(atomic::read_json::<Self>(&file(paths, id))?.filter(|asset| asset.id == *id))
    }

    /// Writes the record durably. Blocks.
    pub(super) fn write(&self, paths: &InstancePaths) -> Result<(), atomic::Error> {
        atomic::create_private_dir(&paths.file_assets())?;
        atomic::write_json(&file(paths, &self.id), self)
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.status == Status::Ready
    }

    /// Where the bytes are on this host: the only ones, or a copy that may have to be fetched first.
    pub(crate) fn path(&self, paths: &InstancePaths) -> PathBuf {
        match self.storage.provider {
            Provider::Local => paths.file_asset_objects().join(self.local_name()),
            Provider::S3Compatible => paths.file_assets_cache().join(self.own_name()),
        }
    }

    /// The name that the bytes have on this host: the id with the extension that people know.
    pub(super) fn own_name(&self) -> String {
        format!("{}.{}", self.id, crate::attachments::extension(&self.mime_type, Some(&self.original_name)))
    }

    /// The asset as a message shows it.
    pub(crate) fn attachment(&self) -> Attachment {
        Attachment {
            asset_id: Some(self.id.clone()),
            original_name: Some(self.original_name.clone()).filter(|name| !name.is_empty()),
            mime_type: self.mime_type.clone(),
            size_bytes: self.size_bytes,
            ..Attachment::default()
        }
    }

    /// Only a plain name is followed: what stands in a record must not lead out of the folder.
    fn local_name(&self) -> String {
        let stored = Path::new(&self.storage.local_filename);
        match stored.file_name().and_then(|name| name.to_str()) {
            Some(name) if name == self.storage.local_filename => name.to_owned(),
            _ => self.own_name(),
        }
    }
}

fn file(paths: &InstancePaths, id: &AssetId) -> PathBuf {
    paths.file_assets().join(format!("{id}.json"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn records_of_the_earlier_server_are_read_where_the_instance_is_now() {
        let root = tempfile::tempdir().unwrap();
        let paths = InstancePaths::below(root.path());
        let stored = json!({
            "id": "fasset_edc35feb43be1181ff025cb4", "sessionId": "0".repeat(32), "status": "ready",
            "createdAt": "a", "updatedAt": "b", "createdBy": "assistant", "originalName": "out.txt",
            "mimeType": "text/plain", "sizeBytes": 6, "etag": "",
            "storage": {"provider": "local", "objectKey": "", "localFilename": "fasset_edc35feb43be1181ff025cb4.txt"},
            "uploadCompletedAt": "d",
            "localizedPath": "/home/owner/elsewhere/fasset_edc35feb43be1181ff025cb4.txt", "localizedAt": "c",
        });
        let asset: Asset = serde_json::from_value(stored.clone()).unwrap();
        assert_eq!(
            asset.path(&paths),
            paths.file_asset_objects().join("fasset_edc35feb43be1181ff025cb4.txt")
        );
        asset.write(&paths).unwrap();
        let read = Asset::read(&paths, &asset.id).unwrap().unwrap();
        assert_eq!((&read, serde_json::to_value(&read).unwrap()), (&asset, stored));
        let place = Place { local_filename: "../../auth.json".into(), ..Place::default() };
        assert_eq!(Asset { storage: place, ..asset.clone() }.path(&paths), asset.path(&paths));
    }
}
