//! Who can get in.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use remotelab_config::api_tokens::TokenFile;
use remotelab_config::auth::{self, Auth};

use super::{Finding, Patient, Status, quoted};

/// How many files are named before the rest is counted.
const NAMED: usize = 5;

pub(super) fn token(patient: &Patient) -> Vec<Finding> {
    let mut findings = vec![match Auth::load(&patient.paths.auth()) {
        Ok(_) => Finding::new("token", Status::Ok, "the access token can be used"),
        Err(error @ auth::Error::File(_)) => {
            let message = format!("{:#}; move the file away to start with a new one", chain(&error));
            Finding::new("token", Status::Fail, message)
        }
        Err(error) => {
            Finding::new("token", Status::Fail, error.to_string()).with_fix("remotelab generate-token")
        }
    }];
    if let Err(error) = TokenFile::in_folder(patient.paths.config()).load() {
        let message = format!("no connector gets in: {}", chain(&error));
        findings.push(Finding::new("token", Status::Fail, message));
    }
    findings
}

/// Looks at the folder, at what lies directly in it, and at the mailbox: all secrets are there.
pub(super) fn permissions(patient: &Patient) -> Vec<Finding> {
    let config = patient.paths.config();
    let mut open: Vec<PathBuf> = Vec::new();
    for folder in [config.to_owned(), patient.paths.mailbox(), patient.paths.memory().to_owned()] {
        if is_open(&folder) {
            open.push(folder);
        }
    }
    // A closed folder closes what is in it, but a copy of the file would not be.
    for folder in [config.to_owned(), patient.paths.mailbox()] {
        let files = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
        open.extend(files.filter(|path| path.is_file() && !path.is_symlink() && is_open(path)));
    }
    if open.is_empty() {
        return vec![Finding::new("permissions", Status::Ok, "other users of this machine read nothing")];
    }
    open.sort();
    let is_reachable = is_open(config);
    let status = if is_reachable { Status::Fail } else { Status::Warn };
    let named: Vec<String> = open.iter().take(NAMED).map(|path| path.display().to_string()).collect();
    let more = open.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let message = format!("other users of this machine may read {}{more}", named.join(", "));
    let folders = [config, patient.paths.memory()].map(quoted);
    let fix = format!("chmod -R go-rwx {}", folders.join(" "));
    vec![Finding::new("permissions", status, message).with_fix(fix)]
}

fn is_open(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|about| about.permissions().mode() & 0o077 != 0)
}

/// Writes an error with its causes.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.ends_with(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}
