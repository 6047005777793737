//! The files of an answer: fetched from the instance into the mailbox before the letter is written, so that
//! every attempt to send it carries the same bytes.

use std::sync::Arc;

use remotelab_client::Instance;
use remotelab_protocol::Attachment;
use reqwest::Method;

use crate::letter::LetterFile;
use crate::office::{Error, blocking};
use crate::store::Store;

/// Files in one letter, and their size together unless the settings say otherwise (bytes).
const MAX_FILES: usize = 25;
const MAX_BYTES: u64 = 10 * 1024 * 1024;

/// Why files could not be fetched now.
pub(super) enum Fault {
    Office(Error),
    Instance(remotelab_client::Error),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Office(error)
    }
}

/// What goes along, and what does not.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Gathered {
    pub(super) files: Vec<LetterFile>,
    /// The names of files that are gone, too many or too large.
    pub(super) left: Vec<String>,
}

/// Fetches what fits. `most`: bytes of all together, 0 being the usual.
pub(super) async fn gather(
    client: &Instance,
    store: &Arc<Store>,
    offered: &[Attachment],
    most: u64,
) -> Result<Gathered, Fault> {
    let most = if most == 0 { MAX_BYTES } else { most };
    let mut room = most;
    let mut gathered = Gathered::default();
    for file in offered {
        let name =
            file.original_name.clone().or_else(|| file.filename.clone()).unwrap_or_else(|| "file".to_owned());
        let fits = gathered.files.len() < MAX_FILES && file.size_bytes.is_none_or(|size| size <= room);
        let path = path(file).filter(|_| fits);
        let fetched = match &path {
            Some(path) => fetch(client, store, path, room).await?,
            None => None,
        };
        match fetched {
            Some((sha256, size)) => {
                room -= size;
                let mime_type = file.mime_type.clone();
                gathered.files.push(LetterFile { name, mime_type, sha256, size });
            }
            None => gathered.left.push(name),
        }
    }
    Ok(gathered)
}

/// Where an instance has a file. Its names are no paths of ours.
fn path(file: &Attachment) -> Option<String> {
    let is_name = |name: &&str| {
        !name.is_empty()
            && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
            && !name.starts_with('.')
    };
    if let Some(asset) = &file.asset_id {
        return Some(asset.as_str())
            .filter(is_name)
            .map(|id| format!("/api/assets/{id}/download?download=1"));
    }
    file.filename.as_deref().filter(is_name).map(|name| format!("/api/media/{name}"))
}

/// Fetches one file; `None` when it is gone or larger than there is room.
async fn fetch(
    client: &Instance,
    store: &Arc<Store>,
    path: &str,
    room: u64,
) -> Result<Option<(String, u64)>, Fault> {
    let mut answer = match client.fetch(Method::GET, path, None).await {
        Ok(answer) => answer,
        Err(error) if error.is_transient() => return Err(Fault::Instance(error)),
        Err(_) => return Ok(None),
    };
    let opening = Arc::clone(store);
    let mut incoming = blocking(move || Ok(opening.incoming()?)).await?;
    let mut size = 0;
    while let Some(piece) = answer.piece().await.map_err(Fault::Instance)? {
        size += piece.len() as u64;
        if size > room {
            return Ok(None);
        }
        incoming = blocking(move || {
            incoming.write(&piece)?;
            Ok(incoming)
        })
        .await?;
    }
    let blob = blocking(move || Ok(incoming.keep()?)).await?;
    Ok(Some((blob.scan.sha256, size)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_an_instance_are_no_paths() {
        let file = |name: &str| Attachment { filename: Some(name.to_owned()), ..Attachment::default() };
        assert_eq!(path(&file("a-1.png")).as_deref(), Some("/api/media/a-1.png"));
        for bad in ["../auth", "a/b", "", ".x", "a?b"] {
            assert_eq!(path(&file(bad)), None, "{bad}");
        }
    }
}
