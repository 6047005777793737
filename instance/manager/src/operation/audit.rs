//! Who has changed which guest, and what came of it: a line each in `logs/audit.jsonl`.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;

use jiff::Timestamp;
use remotelab_config::{Env, InstanceName, OwnerPaths, atomic};
use rustix::process::getuid;
use serde_json::json;

/// A log that has reached this many bytes is put aside, in the place of the one before.
const MAX_BYTES: u64 = 4 * 1024 * 1024;

/// What came of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Result {
    Done,
    /// Nothing is left of it, for this reason.
    Undone(String),
    /// It is half done or half undone, for this reason.
    Unfinished(String),
}

/// Notes a change. What is done is done, also when it cannot be noted.
pub(crate) fn note(paths: &OwnerPaths, env: &Env, what: &str, guest: &InstanceName, result: &Result) {
    let (result, reason) = match result {
        Result::Done => ("done", None),
        Result::Undone(reason) => ("undone", Some(reason)),
        Result::Unfinished(reason) => ("unfinished", Some(reason)),
    };
    let mut line = json!({
        "at": format!("{:.3}", Timestamp::now()),
        "uid": getuid().as_raw(),
        "what": what,
        "guest": guest,
        "result": result,
    });
    if let Some(user) = env.get("SUDO_USER") {
        line["sudoUser"] = json!(user);
    }
    if let Some(reason) = reason {
        line["reason"] = json!(reason);
    }
    if let Err(error) = append(paths, &format!("{line}\n")) {
        tracing::warn!(%error, "cannot note that {what} of {guest} is {result}");
    }
}

fn append(paths: &OwnerPaths, line: &str) -> io::Result<()> {
    atomic::create_private_dir(&paths.logs()).map_err(|error| error.source)?;
    let path = paths.logs().join("audit.jsonl");
    if fs::metadata(&path).is_ok_and(|data| data.len() >= MAX_BYTES) {
        fs::rename(&path, path.with_extension("jsonl.1"))?;
    }
    let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(&path)?;
    // One write, so that lines of several commands do not mix.
    file.write_all(line.as_bytes())
}
