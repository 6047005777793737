//! The object storage, if one is set: its links, and the few requests that the server makes itself.

use std::io;
use std::path::Path;
use std::time::Duration;

use futures_util::StreamExt;
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, RANGE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use jiff::Timestamp;
use remotelab_config::object_storage::{Dialect, ObjectStorage};
use remotelab_protocol::time;
use tokio_util::io::ReaderStream;

use super::record::Asset;
use super::{disposition, presign, sniff};

const CONNECT: Duration = Duration::from_secs(10);
/// How long the storage may be silent.
const SILENCE: Duration = Duration::from_secs(30);
/// The slowest upload that is waited for, in bytes a second.
const SLOWEST: u64 = 256 << 10;

/// The object storage.
#[derive(Debug)]
pub(crate) struct Storage {
    pub(super) settings: ObjectStorage,
    http: reqwest::Client,
}

/// An address that works for a while; for ever where no time is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) url: String,
    pub(crate) expires_at: Option<String>,
}

/// Why a request of the server failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("the object storage cannot be reached")]
    Unreachable(#[source] reqwest::Error),
    #[error("the object storage answers {0}")]
    Refused(StatusCode),
    #[error("cannot read the file")]
    File(#[source] io::Error),
}

impl Storage {
    pub(super) fn new(settings: ObjectStorage) -> Self {
        // Set already unless the server runs inside another program.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT)
            .read_timeout(SILENCE)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .expect("a client without files of its own can be built");
        Self { settings, http }
    }

    /// Names the object of a new asset.
    pub(super) fn key(&self, asset: &Asset, now: Timestamp) -> String {
        let (session, day) = (&asset.session_id, now.strftime("%Y/%m/%d"));
        let key = format!("{session}/{day}/{}-{}", asset.id, safe_name(&asset.original_name));
        if self.settings.key_prefix.is_empty() { key } else { format!("{}/{key}", self.settings.key_prefix) }
    }

    /// Where a client may put an object.
    pub(super) fn upload_link(&self, key: &str) -> Link {
        self.signed("PUT", key, &[])
    }

    /// Where anybody who gets the link may read an asset.
    pub(crate) fn link(&self, asset: &Asset, inline: bool) -> Link {
        let key = &asset.storage.object_key;
        if let Some(base) = &self.settings.public_base_url {
            return Link { url: presign::public(base, key), expires_at: None };
        }
        let disposition = disposition(inline, &asset.original_name);
        match self.settings.dialect {
            Dialect::S3 => self.signed("GET", key, &[("response-content-disposition", &disposition)]),
            Dialect::Tos => self.signed("GET", key, &[]),
        }
    }

    /// Tells whether its links cannot name a file, so that the server must pass saved files on itself.
    pub(crate) fn names_no_files(&self) -> bool {
        self.settings.dialect == Dialect::Tos
    }

    /// Stores a file and returns its tag.
    pub(super) async fn put(&self, key: &str, media_type: &str, path: &Path) -> Result<String, Error> {
        let file = tokio::fs::File::open(path).await.map_err(Error::File)?;
        let size = file.metadata().await.map_err(Error::File)?.len();
        let patience = SILENCE + Duration::from_secs(size / SLOWEST);
        let request = self
            .http
            .put(self.signed("PUT", key, &[]).url)
            .header(CONTENT_LENGTH, size)
            .header(CONTENT_TYPE, media_type)
            .timeout(patience)
            .body(reqwest::Body::wrap_stream(ReaderStream::new(file)));
        let answer = request.send().await.map_err(unreachable)?;
        if !answer.status().is_success() {
            return Err(Error::Refused(answer.status()));
        }
        Ok(text(answer.headers(), ETAG).unwrap_or_default().to_owned())
    }

    /// Returns an object's size and first bytes; `None` when it is not there.
    pub(super) async fn peek(&self, key: &str) -> Result<Option<(u64, Vec<u8>)>, Error> {
        let range = HeaderValue::from_str(&format!("bytes=0-{}", sniff::HEAD - 1)).ok();
        let answer = self.get(key, range).await?;
        match answer.status() {
            StatusCode::NOT_FOUND => return Ok(None),
            StatusCode::RANGE_NOT_SATISFIABLE => return Ok(Some((0, Vec::new()))),
            status if !status.is_success() => return Err(Error::Refused(status)),
            _ => {}
        }
        let whole = || text(answer.headers(), CONTENT_LENGTH)?.parse().ok();
        let of_range = || text(answer.headers(), CONTENT_RANGE)?.rsplit('/').next()?.parse().ok();
        let size: u64 = of_range().or_else(whole).unwrap_or_default();
        let mut head = Vec::new();
        let mut chunks = answer.bytes_stream();
        while head.len() < sniff::HEAD
            && let Some(chunk) = chunks.next().await
        {
            let chunk = chunk.map_err(unreachable)?;
            head.extend_from_slice(&chunk[..chunk.len().min(sniff::HEAD - head.len())]);
        }
        Ok(Some((size, head)))
    }

    /// Asks for an object or a range of it; whatever status comes is returned.
    pub(crate) async fn get(
        &self,
        key: &str,
        range: Option<HeaderValue>,
    ) -> Result<reqwest::Response, Error> {
        let headers: HeaderMap = range.map(|range| (RANGE, range)).into_iter().collect();
        let request = self.http.get(self.signed("GET", key, &[]).url).headers(headers);
        request.send().await.map_err(unreachable)
    }

    fn signed(&self, method: &str, key: &str, more: &[(&str, &str)]) -> Link {
        let now = Timestamp::now();
        let expires = now.saturating_add(self.settings.lifetime).unwrap_or(now);
        let url = presign::presign(&self.settings, method, key, more, now);
        Link { url, expires_at: Some(time::iso(expires)) }
    }
}

/// An address holds a signature, which belongs into no log.
fn unreachable(error: reqwest::Error) -> Error {
    Error::Unreachable(error.without_url())
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

/// Keeps letters, digits, dots and underscores; a dash stands for every run of others.
fn safe_name(name: &str) -> String {
    const LONGEST: usize = 120;
    let mut safe = String::new();
    for c in name.chars() {
        let kept = c.is_ascii_alphanumeric() || matches!(c, '.' | '_');
        if kept && safe.len() < LONGEST {
            safe.push(c);
        } else if !kept && !safe.ends_with('-') && safe.len() < LONGEST {
            safe.push('-');
        }
    }
    if safe.is_empty() { "file".to_owned() } else { safe }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_keys() {
        for (name, safe) in [
            ("Rep ort é.pdf", "Rep-ort-.pdf"),
            ("", "file"),
            ("../../a b", "..-..-a-b"),
            ("报告", "-"),
            ("a_b.tar.gz", "a_b.tar.gz"),
        ] {
            assert_eq!(safe_name(name), safe);
        }
        assert_eq!(safe_name(&"é1".repeat(1_000)).len(), 120);
    }
}
