//! Files of the instance that hold a list of records: one that is damaged, or of a newer version, costs itself.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use remotelab_config::atomic;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Reads a JSON file; one that cannot be understood is put aside, never overwritten, and counts as missing.
/// Blocks.
pub(crate) fn read_or_put_aside<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, atomic::Error> {
    match atomic::read_json(path) {
        Err(error) if error.step == "parse" => {
            let aside = put_aside(path)?;
            tracing::error!(error = %error.source, kept = %aside.display(), "{} is damaged", path.display());
            Ok(None)
        }
        outcome => outcome,
    }
}

/// Parts the entries of a list into those that are understood and those that are not, which its file keeps.
pub(crate) fn understood<T: DeserializeOwned>(list: Vec<Value>, what: &str) -> (Vec<T>, Vec<Value>) {
    let (mut records, mut other) = (Vec::new(), Vec::new());
    for entry in list {
        match serde_json::from_value(entry.clone()) {
            Ok(record) => records.push(record),
            Err(error) => {
                tracing::warn!(%error, "a {what} is damaged and was left alone");
                other.push(entry);
            }
        }
    }
    (records, other)
}

fn put_aside(path: &Path) -> Result<PathBuf, atomic::Error> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".damaged-{}", Timestamp::now().as_millisecond()));
    let aside = path.with_file_name(name);
    std::fs::rename(path, &aside).map_err(|source| atomic::Error::new("put aside", path, source))?;
    Ok(aside)
}
