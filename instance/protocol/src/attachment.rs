//! Files that travel with a message.

use serde::{Deserialize, Serialize};

use crate::AssetId;

/// A file of a message, as stored. [`Attachment::public`] is what the wire may show.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attachment {
    /// The stored media file's name; absent when an asset stands for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filename: Option<String>,
    /// The file asset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asset_id: Option<AssetId>,
    /// The name the sender gave it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original_name: Option<String>,
    /// Its media type.
    #[serde(default)]
    pub mime_type: String,
    /// Its size in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<u64>,
    /// `file` forces a file card instead of a picture or player.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub render_as: Option<String>,
    /// Where the bytes are on this host. Never leaves the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saved_path: Option<String>,
}

impl Attachment {
    /// Returns the form that may leave the server.
    #[must_use]
    pub fn public(&self) -> Self {
        let filename = if self.asset_id.is_some() { None } else { self.filename.clone() };
        Self { filename, saved_path: None, ..self.clone() }
    }

    /// Returns what tells two attachments apart, in the documented order of preference.
    #[must_use]
    pub fn identity(&self) -> String {
        match (&self.asset_id, &self.filename) {
            (Some(asset), _) => format!("asset:{asset}"),
            (None, Some(filename)) => format!("file:{filename}"),
            (None, None) => format!(
                "meta:{}:{}:{}",
                self.original_name.as_deref().unwrap_or_default(),
                self.mime_type,
                self.size_bytes.unwrap_or_default()
            ),
        }
    }

    /// Returns the name a person knows the file by.
    #[must_use]
    pub fn display_name(&self) -> &str {
        self.original_name
            .as_deref()
            .or(self.filename.as_deref())
            .or(self.asset_id.as_ref().map(AssetId::as_str))
            .unwrap_or("file")
    }

    /// Returns the line by which a prompt tells the executor of this file.
    #[must_use]
    pub fn prompt_line(&self) -> String {
        let kind = match self.mime_type.split('/').next() {
            Some("image") => "image",
            Some("video") => "video",
            _ => "file",
        };
        let path = self.saved_path.as_deref().unwrap_or_default();
        format!("[User attached {kind}: {} -> {path}]", self.display_name())
    }
}
