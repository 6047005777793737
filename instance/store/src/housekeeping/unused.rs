//! What no session goes on with: executors' own logs of conversations, and copies of sessions that were never
//! finished.

use std::fs;
use std::io;
use std::path::PathBuf;

use remotelab_config::InstancePaths;
use remotelab_protocol::Session;

use super::{File, walk};
use crate::sessions;

/// What a session is called that a server was copying when it died.
const HALF_A_COPY: &str = "fork_in_progress";

/// What the records of all sessions tell.
#[derive(Debug, Default)]
pub(super) struct Unused {
    /// By what executors resume the conversations that sessions may go on with.
    resumed: Vec<String>,
    /// The folders of copies that were never finished.
    copies: Vec<PathBuf>,
}

impl Unused {
    /// Reads the records of all sessions.
    ///
    /// # Errors
    /// When one cannot be read: what it needs is not known then.
    pub(super) fn find(paths: &InstancePaths) -> io::Result<Self> {
        let mut unused = Self::default();
        let folders = match fs::read_dir(paths.chat_history()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(unused),
            folders => folders?,
        };
        for folder in folders {
            let folder = folder?.path();
            if let Some(session) = sessions::record(&folder.join("session.json")).map_err(io::Error::other)? {
                unused.note(session, folder);
            }
        }
        unused.copies.sort();
        Ok(unused)
    }

    fn note(&mut self, session: Session, folder: PathBuf) {
        if session.internal_role.as_deref() == Some(HALF_A_COPY) {
            self.copies.push(folder);
        }
        self.resumed.extend(session.codex_thread_id);
        self.resumed.extend(session.resume_points.into_values().map(|point| point.id));
    }

    /// Lists the session logs in the instance's own Codex home that nobody resumes.
    pub(super) fn logs(&self, paths: &InstancePaths) -> Vec<File> {
        let mut logs = Vec::new();
        walk(&paths.managed_codex_home().join("sessions"), &mut |file| logs.push(file));
        logs.retain(|file| {
            let name = file.path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            // `rollout-<time>-<thread>.jsonl`
            let thread = name.strip_suffix(".jsonl");
            thread.is_some_and(|name| !self.resumed.iter().any(|id| !id.is_empty() && name.ends_with(id)))
        });
        logs.sort_by(|a, b| a.path.cmp(&b.path));
        logs
    }

    /// Lists the history in unfinished copies. Their records stay: without one, a session is in the export alone
    /// and would come back from it.
    pub(super) fn copied(&self) -> Vec<File> {
        let mut files = Vec::new();
        for folder in self.copies.iter().flat_map(|copy| [copy.join("events"), copy.join("bodies")]) {
            walk(&folder, &mut |file| files.push(file));
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
        files
    }
}
