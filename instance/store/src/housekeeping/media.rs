//! Which media no message names any longer.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use remotelab_config::InstancePaths;

use super::{File, walk};

/// A larger record is no record. Bytes.
const RECORD_MAX: u64 = 256 << 20;

/// Returns the media files that nothing of the instance names.
///
/// # Errors
/// When a record cannot be read: what it names is not known then, so that nothing is an orphan.
pub(super) fn orphans(paths: &InstancePaths) -> io::Result<Vec<PathBuf>> {
    let mut orphans = BTreeSet::new();
    walk(&paths.images(), &mut |File { path, .. }| {
        if let Some(name) = path.file_name().and_then(|name| name.to_str()) {
            orphans.insert(name.to_owned());
        }
    });
    let mut failed = None;
    for folder in [paths.chat_history(), paths.config().join("shared-snapshots"), paths.chat_runs()] {
        walk(&folder, &mut |File { path, .. }| {
            if orphans.is_empty() || failed.is_some() || is_output(&path) {
                return;
            }
            if let Err(error) = strike_out(&path, &mut orphans) {
                failed = Some(io::Error::new(error.kind(), format!("cannot read {}", path.display())));
            }
        });
    }
    // Records beside the folders: triggers, apps and whatever else may name a file.
    for entry in fs::read_dir(paths.config())?.flatten() {
        if entry.path().extension().is_some_and(|extension| extension == "json") {
            strike_out(&entry.path(), &mut orphans)?;
        }
    }
    match failed {
        Some(error) => Err(error),
        None => Ok(orphans.into_iter().map(|name| paths.images().join(name)).collect()),
    }
}

/// What an executor printed names files, too, but nobody reads them from there.
fn is_output(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let below_artifacts = path.parent().and_then(Path::file_name).is_some_and(|name| name == "artifacts");
    below_artifacts || matches!(name, "spool.jsonl" | "runner.log" | "runner.lock")
}

/// Takes every name that stands in a record off the list.
fn strike_out(record: &Path, orphans: &mut BTreeSet<String>) -> io::Result<()> {
    let text = match fs::metadata(record).map(|about| about.len()) {
        Ok(length) if length > RECORD_MAX => return Err(io::ErrorKind::FileTooLarge.into()),
        // A record that was just replaced or removed by a running server is read the next time.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
        Ok(_) => match fs::read(record) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        },
    };
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    for word in text.split(|byte| !is_name(byte)).filter(|word| word.contains(&b'.')) {
        if let Ok(word) = std::str::from_utf8(word) {
            orphans.remove(word.trim_end_matches('.'));
        }
    }
    Ok(())
}
