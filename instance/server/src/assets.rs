//! File assets: files of sessions, up to 2 GiB, each with a record of its own.
//!
//! The bytes are on this host or in an object storage. A record is written after its bytes are durable, so
//! whatever it calls ready is there. Nothing about a file is taken from its sender but its name.

mod disposition;
mod incoming;
mod presign;
mod record;
mod sniff;
mod storage;

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use jiff::Timestamp;
use remotelab_config::chat::Settings;
use remotelab_config::{InstancePaths, atomic};
use remotelab_protocol::{AssetId, SessionId};
use serde_json::Map;
use tokio_util::io::ReaderStream;

use crate::app::blocking;
use crate::attachments::safe_name;
use crate::clock::now_iso;
use crate::contained;

pub(crate) use disposition::disposition;
pub(crate) use incoming::{Error as IncomingError, Incoming};
pub(crate) use record::{Asset, Creator, Provider, Status};
pub(crate) use sniff::viewable;
pub(crate) use storage::{Error as StorageError, Link, Storage};

use record::Place;

/// The largest file, in bytes.
pub(crate) const FILE_BYTES: u64 = 2 << 30;
/// How much of a file is in memory while it is copied.
const CHUNK: usize = 256 << 10;

/// The files of all sessions.
#[derive(Debug)]
pub(crate) struct Assets {
    paths: InstancePaths,
    storage: Option<Storage>,
    /// Where files of this host may be taken from, where not from everywhere.
    sources: Option<Vec<PathBuf>>,
    /// Those that are being received or completed.
    busy: Mutex<BTreeSet<AssetId>>,
}

/// What a file is said to be.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) session: SessionId,
    pub(crate) creator: Creator,
    pub(crate) name: String,
    pub(crate) media_type: String,
    pub(crate) size: Option<u64>,
}

/// Why something could not be done with a file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("Asset not found")]
    NotFound,
    #[error("File asset is already complete")]
    Complete,
    #[error("File asset is being uploaded at the moment")]
    Busy,
    #[error("File asset has not been uploaded yet")]
    NotUploaded,
    #[error("{found} bytes arrived and {announced} were announced")]
    OtherSize { found: u64, announced: u64 },
    #[error("files may have 2 GiB at most")]
    TooLarge,
    #[error("the upload was broken off")]
    BrokenOff,
    #[error("localPath must point to a file: {}", .0.display())]
    NoFile(PathBuf),
    #[error("the object storage does not answer")]
    Storage(#[from] storage::Error),
    #[error("cannot store a file")]
    Disk(#[source] io::Error),
    #[error(transparent)]
    Record(#[from] atomic::Error),
}

impl Assets {
    /// Looks after the files of an instance. Blocks.
    pub(crate) fn open(settings: &Settings) -> Self {
        let paths = &settings.paths;
        // In the cache runners may be at work, which outlive a server.
        let folders = [paths.file_assets(), paths.file_asset_objects(), paths.images()];
        folders.iter().for_each(|folder| incoming::sweep(folder));
        Self {
            paths: paths.clone(),
            storage: settings.object_storage.clone().map(Storage::new),
            sources: contained::sources(settings),
            busy: Mutex::default(),
        }
    }

    /// The object storage, where there is one.
    pub(crate) fn storage(&self) -> Option<&Storage> {
        self.storage.as_ref()
    }

    /// Returns the origins from which pages load files besides their own.
    pub(crate) fn origins(&self) -> Vec<String> {
        self.storage.as_ref().map(|storage| storage.settings.origins()).unwrap_or_default()
    }

    /// Reads a file's record. Blocks.
    pub(crate) fn find(&self, id: &AssetId) -> Result<Asset, Error> {
        Asset::read(&self.paths, id)?.ok_or(Error::NotFound)
    }

    /// Where a file is, or will be, on this host.
    pub(crate) fn path(&self, asset: &Asset) -> PathBuf {
        asset.path(&self.paths)
    }

    /// Makes the record of a file that is to be uploaded. The link leads to the object storage; without
    /// one the bytes come here.
    pub(crate) async fn begin(&self, wanted: Wanted) -> Result<(Asset, Option<Link>), Error> {
        if wanted.size.is_some_and(|size| size > FILE_BYTES) {
            return Err(Error::TooLarge);
        }
        let mut asset = new(AssetId::random(), wanted);
        let mut link = None;
        if let Some(storage) = self.storage.as_ref().filter(|storage| storage.settings.direct_upload) {
            let object_key = storage.key(&asset, Timestamp::now());
            link = Some(storage.upload_link(&object_key));
            asset.storage = Place { provider: Provider::S3Compatible, object_key, ..Place::default() };
        }
        Ok((self.write(asset).await?, link))
    }

    /// Takes the bytes of a file that was begun. Bytes of an upload that failed are gone; it may be tried
    /// again.
    pub(crate) async fn receive<E>(
        &self,
        id: &AssetId,
        mut body: impl Stream<Item = Result<Bytes, E>> + Unpin,
    ) -> Result<Asset, Error> {
        let _claim = self.claim(id)?;
        let mut asset = self.read(id).await?;
        if asset.is_ready() {
            return Err(Error::Complete);
        }
        let mut incoming = Incoming::begin(self.paths.file_asset_objects(), FILE_BYTES).await?;
        while let Some(chunk) = body.next().await {
            incoming.write(&chunk.map_err(|_| Error::BrokenOff)?).await?;
        }
        check_size(incoming.size(), asset.size_bytes)?;
        // Also of one that was to go to the object storage: a client that cannot reach it comes here.
        self.keep(&mut asset, incoming).await?;
        asset.upload_completed_at = Some(now_iso());
        self.write(asset).await
    }

    /// Completes a file whose bytes have arrived; one that is complete stays as it is.
    pub(crate) async fn finalize(
        &self,
        id: &AssetId,
        size: Option<u64>,
        etag: Option<String>,
    ) -> Result<Asset, Error> {
        let _claim = self.claim(id)?;
        let mut asset = self.read(id).await?;
        if asset.is_ready() {
            return Ok(asset);
        }
        let found = match (asset.storage.provider, &self.storage) {
            (Provider::Local, _) => {
                let path = self.path(&asset);
                blocking(move || fs::metadata(path).ok().map(|about| about.len())).await
            }
            (Provider::S3Compatible, Some(storage)) => {
                let peeked = storage.peek(&asset.storage.object_key).await?;
                peeked.map(|(size, head)| {
                    asset.mime_type =
                        sniff::media_type(&head, &asset.original_name, &asset.mime_type).to_owned();
                    size
                })
            }
            (Provider::S3Compatible, None) => None,
        };
        let found = found.ok_or(Error::NotUploaded)?;
        if found > FILE_BYTES {
            return Err(Error::TooLarge);
        }
        check_size(found, size.or(asset.size_bytes))?;
        asset.size_bytes = Some(found);
        asset.etag = etag.unwrap_or_default();
        self.complete(asset).await
    }

    /// Makes a complete file of one that was received.
    pub(crate) async fn adopt(&self, wanted: Wanted, incoming: Incoming) -> Result<Asset, Error> {
        let mut asset = new(AssetId::random(), wanted);
        self.keep(&mut asset, incoming).await?;
        self.complete(asset).await
    }

    /// Makes a complete file of a regular one of this host, which may change afterwards. The same id makes
    /// the same file again.
    pub(crate) async fn publish(&self, id: AssetId, wanted: Wanted, source: PathBuf) -> Result<Asset, Error> {
        let (opened, within) = (source.clone(), self.sources.clone());
        let file =
            blocking(move || open_regular(&opened, within.as_deref())).await.ok_or(Error::NoFile(source))?;
        let mut incoming = Incoming::begin(self.paths.file_asset_objects(), FILE_BYTES).await?;
        let mut chunks = ReaderStream::with_capacity(tokio::fs::File::from_std(file), CHUNK);
        while let Some(chunk) = chunks.next().await {
            incoming.write(&chunk.map_err(Error::Disk)?).await?;
        }
        let mut asset = new(id, wanted);
        self.keep(&mut asset, incoming).await?;
        self.complete(asset).await
    }

    /// Gives received bytes their place on this host.
    async fn keep(&self, asset: &mut Asset, incoming: Incoming) -> Result<(), Error> {
        asset.size_bytes = Some(incoming.size());
        asset.mime_type =
            sniff::media_type(incoming.head(), &asset.original_name, &asset.mime_type).to_owned();
        asset.storage = Place { local_filename: asset.own_name(), ..Place::default() };
        Ok(incoming.keep(self.path(asset)).await?)
    }

    /// Makes a file ready whose bytes are in place. Those that are here go to the object storage, if there
    /// is one and it takes them; a copy stays for executors.
    async fn complete(&self, mut asset: Asset) -> Result<Asset, Error> {
        asset.status = Status::Ready;
        asset.upload_completed_at.get_or_insert_with(now_iso);
        let here = self.path(&asset);
        let Some(storage) = self.storage.as_ref().filter(|_| asset.storage.provider == Provider::Local)
        else {
            return self.write(asset).await;
        };
        let object_key = storage.key(&asset, Timestamp::now());
        match storage.put(&object_key, &asset.mime_type, &here).await {
            Ok(etag) => {
                asset.etag = etag;
                asset.storage = Place { provider: Provider::S3Compatible, object_key, ..Place::default() };
                let asset = self.write(asset).await?;
                let copy = self.path(&asset);
                let moved = blocking(move || {
                    copy.parent().map_or(Ok(()), atomic::create_private_dir).map_err(io::Error::other)?;
                    incoming::move_file(&here, &copy)
                });
                if let Err(error) = moved.await {
                    tracing::warn!(asset.id = %asset.id, %error, "a copy of a file was not kept");
                }
                Ok(asset)
            }
            Err(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                tracing::warn!(asset.id = %asset.id, %error, cause, "a file stays here");
                self.write(asset).await
            }
        }
    }

    async fn read(&self, id: &AssetId) -> Result<Asset, Error> {
        let (paths, id) = (self.paths.clone(), id.clone());
        blocking(move || Asset::read(&paths, &id)).await?.ok_or(Error::NotFound)
    }

    async fn write(&self, mut asset: Asset) -> Result<Asset, Error> {
        asset.updated_at = now_iso();
        let paths = self.paths.clone();
        Ok(blocking(move || asset.write(&paths).map(|()| asset)).await?)
    }

    fn claim(&self, id: &AssetId) -> Result<Claim<'_>, Error> {
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        if busy.insert(id.clone()) { Ok(Claim { assets: self, id: id.clone() }) } else { Err(Error::Busy) }
    }
}

/// Somebody is at work on a file, alone.
struct Claim<'a> {
    assets: &'a Assets,
    id: AssetId,
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.assets.busy.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}

impl From<IncomingError> for Error {
    fn from(error: IncomingError) -> Self {
        match error {
            IncomingError::TooLarge(_) => Self::TooLarge,
            IncomingError::Disk(error) => Self::Disk(error),
        }
    }
}

fn new(id: AssetId, wanted: Wanted) -> Asset {
    let name = safe_name(&wanted.name);
    let now = now_iso();
    let mut asset = Asset {
        id,
        session_id: wanted.session,
        status: Status::PendingUpload,
        created_at: now.clone(),
        updated_at: now,
        created_by: wanted.creator,
        original_name: if name.is_empty() { "file".to_owned() } else { name },
        mime_type: wanted.media_type,
        size_bytes: wanted.size,
        etag: String::new(),
        storage: Place::default(),
        upload_completed_at: None,
        rest: Map::new(),
    };
    asset.storage.local_filename = asset.own_name();
    asset
}

fn check_size(found: u64, announced: Option<u64>) -> Result<(), Error> {
    match announced.filter(|announced| *announced != found) {
        Some(announced) => Err(Error::OtherSize { found, announced }),
        None => Ok(()),
    }
}

fn open_regular(path: &Path, within: Option<&[PathBuf]>) -> Option<fs::File> {
    // Asked for before it is opened as well: to open a pipe is to wait for its other end.
    let is_file = path.is_absolute() && fs::metadata(path).is_ok_and(|about| about.is_file());
    let file = fs::File::open(path).ok().filter(|_| is_file)?;
    let is_allowed = within.is_none_or(|folders| contained::is_in(&file, folders));
    (is_allowed && file.metadata().is_ok_and(|about| about.is_file())).then_some(file)
}

/// What a field of a request may say about a media type.
pub(crate) fn declared_type(given: Option<&str>) -> String {
    let essence = given.unwrap_or_default().split(';').next().unwrap_or_default().trim().to_lowercase();
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"!#$&-^_.+/".contains(&b);
    let is_type = essence.len() <= 127 && essence.split('/').count() == 2 && essence.bytes().all(fits);
    if is_type { essence } else { "application/octet-stream".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_regular_files_are_opened() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("a");
        fs::write(&file, "x").unwrap();
        assert!(open_regular(&file, None).is_some());
        for path in [root.path(), Path::new("/dev/zero"), Path::new("relative"), &root.path().join("gone")] {
            assert!(open_regular(path, None).is_none(), "{}", path.display());
        }
    }

    #[test]
    fn declared_types_are_read_or_forgotten() {
        for (given, read) in [
            (Some("Text/Plain; charset=utf-8"), "text/plain"),
            (Some("a/b\r\nx: y"), "application/octet-stream"),
            (Some("plain"), "application/octet-stream"),
            (None, "application/octet-stream"),
        ] {
            assert_eq!(declared_type(given), read);
        }
    }
}
