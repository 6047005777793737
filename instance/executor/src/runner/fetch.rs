//! Files of a message that are elsewhere: fetched before the executor starts, so that it finds each where
//! its prompt says.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use futures_util::StreamExt;
use remotelab_config::atomic;
use reqwest::StatusCode;
use tokio::io::AsyncWriteExt;
use tokio::time::sleep;

use crate::Download;

const CONNECT: Duration = Duration::from_secs(10);
/// How long the other side may be silent.
const SILENCE: Duration = Duration::from_secs(30);
/// How long to wait before each further try.
const PAUSES: [Duration; 3] =
    [Duration::from_millis(250), Duration::from_millis(750), Duration::from_millis(1_500)];
/// The largest file, in bytes.
const FILE_BYTES: u64 = 2 << 30;

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("it cannot be reached")]
    Unreachable(#[source] reqwest::Error),
    #[error("the answer was {0}")]
    Refused(StatusCode),
    #[error("the transfer broke off")]
    BrokenOff,
    #[error("it is larger than it should be")]
    TooLarge,
    #[error("it cannot be stored: {0}")]
    Disk(io::Error),
}

/// Fetches those that are not there yet; an error is a sentence for people.
pub(super) async fn all(downloads: &[Download]) -> Result<(), String> {
    let missing: Vec<&Download> = downloads.iter().filter(|download| !is_there(download)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    // Set already unless the runner is part of another program.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().connect_timeout(CONNECT).read_timeout(SILENCE).no_proxy().build();
    let client = client.map_err(|error| format!("The attached files cannot be fetched: {error}"))?;
    for download in missing {
        fetch(&client, download)
            .await
            .map_err(|error| format!("The attached file {} could not be fetched: {error}", download.name))?;
    }
    Ok(())
}

fn is_there(download: &Download) -> bool {
    let size = fs::metadata(&download.path).ok().filter(fs::Metadata::is_file).map(|about| about.len());
    size.is_some_and(|size| download.size.is_none_or(|expected| expected == size))
}

async fn fetch(client: &reqwest::Client, download: &Download) -> Result<(), Error> {
    let mut pauses = PAUSES.iter();
    loop {
        let Err(error) = attempt(client, download).await else { return Ok(()) };
        let Some(pause) = pauses.next().filter(|_| may_pass(&error)) else { return Err(error) };
        tracing::warn!(name = %download.name, %error, "a file is fetched again");
        sleep(*pause).await;
    }
}

/// Tells whether another try may do better. A signature may be new to a storage whose clock is behind, so
/// that a refusal is no reason to stop; a file that is too large stays so.
fn may_pass(error: &Error) -> bool {
    !matches!(error, Error::TooLarge | Error::Disk(_))
}

async fn attempt(client: &reqwest::Client, download: &Download) -> Result<(), Error> {
    // An address holds a signature, which belongs into no log.
    let unreachable = |error: reqwest::Error| Error::Unreachable(error.without_url());
    let answer = client.get(&download.url).send().await.map_err(unreachable)?;
    if !answer.status().is_success() {
        return Err(Error::Refused(answer.status()));
    }
    let folder = download.path.parent().unwrap_or(Path::new("."));
    atomic::create_private_dir(folder).map_err(|error| Error::Disk(io::Error::other(error)))?;
    let temporary = folder.join(format!(".incoming-{:016x}", rand::random::<u64>()));
    let written = write(answer, download, &temporary).await;
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}

async fn write(answer: reqwest::Response, download: &Download, temporary: &Path) -> Result<(), Error> {
    let limit = download.size.unwrap_or(FILE_BYTES);
    let mut options = tokio::fs::OpenOptions::new();
    let mut file =
        options.write(true).create_new(true).mode(0o600).open(temporary).await.map_err(Error::Disk)?;
    let (mut chunks, mut size) = (answer.bytes_stream(), 0);
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| Error::BrokenOff)?;
        size += chunk.len() as u64;
        if size > limit {
            return Err(Error::TooLarge);
        }
        file.write_all(&chunk).await.map_err(Error::Disk)?;
    }
    if download.size.is_some_and(|expected| expected != size) {
        return Err(Error::BrokenOff);
    }
    file.sync_all().await.map_err(Error::Disk)?;
    fs::rename(temporary, &download.path).map_err(Error::Disk)
}
