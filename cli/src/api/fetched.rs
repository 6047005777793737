//! An answer that is printed or kept as it comes.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use remotelab_client::Fetched;

use crate::verb::{Failure, Kind};

/// Takes an answer to standard output or into a file, which is there whole or not at all.
pub(super) async fn take(mut answer: Fetched, include: bool, file: Option<&Path>) -> Result<(), Failure> {
    if include {
        let mut head = format!("HTTP {}\n", answer.status());
        answer.headers().for_each(|(name, value)| head.push_str(&format!("{name}: {value}\n")));
        crate::output::text(&(head + "\n"))?;
    }
    let Some(path) = file else {
        return print(answer).await;
    };
    let wrong = |error: io::Error| Failure::new(Kind::Refused, format!("{}: {error}", path.display()));
    let part = part_of(path);
    let mut kept = File::create_new(&part).map_err(wrong)?;
    let received = async {
        while let Some(piece) = answer.piece().await? {
            kept.write_all(&piece).map_err(wrong)?;
        }
        kept.sync_all().and_then(|()| fs::rename(&part, path)).map_err(wrong)
    };
    let received = received.await;
    if received.is_err() {
        // What is half there is of no use; the reason is told.
        let _ = fs::remove_file(&part);
    }
    received
}

async fn print(mut answer: Fetched) -> Result<(), Failure> {
    let mut stdout = io::stdout();
    while let Some(piece) = answer.piece().await? {
        match stdout.write_all(&piece).and_then(|()| stdout.flush()) {
            // A reader that went away ends the command, without a fuss.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            written => written.map_err(|error| anyhow::Error::from(error).context("cannot print"))?,
        }
    }
    Ok(())
}

/// A name beside the file.
fn part_of(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.part", std::process::id()));
    path.with_file_name(name)
}
