//! Programs to return to. One that was replaced on the disk lives on only as long as a process runs it, so a copy
//! of it is made first.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use remotelab_config::{OwnerPaths, atomic};

use crate::control::Child;
use crate::outside::Service;

/// What Linux adds to the path of a program that was replaced or removed.
const DELETED: &str = " (deleted)";

/// The copies, in a folder of their own.
#[derive(Debug)]
pub(super) struct Kept {
    folder: PathBuf,
    made: BTreeMap<(u64, u64), PathBuf>,
}

impl Kept {
    pub(super) fn new(paths: &OwnerPaths) -> Self {
        Self { folder: paths.runtime().join("converge"), made: BTreeMap::new() }
    }

    /// Where the program that a child runs can be found also after it has ended.
    pub(super) fn of(&mut self, child: &Child) -> Result<PathBuf, atomic::Error> {
        let text = child.program.to_string_lossy();
        let (Some(_), Some(pid)) = (text.strip_suffix(DELETED), child.pid) else {
            return Ok(child.program.clone());
        };
        let running = PathBuf::from(format!("/proc/{pid}/exe"));
        let data = fs::metadata(&running).map_err(|error| atomic::Error::new("read", &running, error))?;
        let key = (data.dev(), data.ino());
        if let Some(copy) = self.made.get(&key) {
            return Ok(copy.clone());
        }
        let copy = self.folder.join(format!("{:x}-{:x}", key.0, key.1)).join("remotelab");
        if !copy.exists() {
            make(&running, &copy)?;
        }
        self.made.insert(key, copy.clone());
        Ok(copy)
    }

    /// Removes copies that nothing runs.
    pub(super) fn tidy(&self, service: &dyn Service) {
        // Who cannot be asked may be running one.
        let Ok(children) = service.report() else { return };
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let is_used = children.iter().any(|child| child.program.starts_with(entry.path()));
            if !is_used && let Err(error) = fs::remove_dir_all(entry.path()) {
                tracing::warn!(%error, "cannot remove {}", entry.path().display());
            }
        }
        let _ = fs::remove_dir(&self.folder);
    }
}

fn make(running: &Path, copy: &Path) -> Result<(), atomic::Error> {
    let cannot = |error| atomic::Error::new("write", copy, error);
    if let Some(folder) = copy.parent() {
        atomic::create_private_dir(folder)?;
    }
    let fresh = copy.with_extension("new");
    fs::copy(running, &fresh).map_err(cannot)?;
    fs::set_permissions(&fresh, fs::Permissions::from_mode(0o700)).map_err(cannot)?;
    fs::rename(&fresh, copy).map_err(cannot)
}
