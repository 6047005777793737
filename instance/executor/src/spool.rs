//! What an executor printed, line by line: `spool.jsonl` and the long lines in `artifacts/`.

mod earlier;
mod reader;
mod writer;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use reader::{Record, SpoolReader};
pub(crate) use writer::{Artifact, Writer};

/// The longest line that is kept inside its record, in bytes; longer ones become artefacts.
pub(crate) const LINE_MAX: usize = 1 << 20;

/// How much of a long line its record still shows, in characters.
const PREVIEW_CHARS: usize = 4096;

/// Where a line came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    /// The executor's output.
    Stdout,
    /// Its notices.
    Stderr,
    /// Neither: the runner's own words, or a damaged record.
    Error,
}

/// A record as it is stored.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Stored {
    ts: String,
    stream: Stream,
    #[serde(default)]
    line: String,
    /// The artefact with the whole line, without `.txt`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    line_artifact: Option<String>,
    /// The whole line's length in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    line_bytes: Option<u64>,
    /// What the earlier server made of the line.
    #[serde(default, skip_serializing)]
    json: Option<serde_json::Value>,
}

/// Tells whether anything was ever printed.
pub(crate) fn has_content(run_dir: &Path) -> bool {
    std::fs::metadata(spool_path(run_dir)).is_ok_and(|meta| meta.len() > 0)
}

fn spool_path(run_dir: &Path) -> PathBuf {
    run_dir.join("spool.jsonl")
}

fn artifact_path(run_dir: &Path, name: &str) -> PathBuf {
    run_dir.join("artifacts").join(format!("{name}.txt"))
}
