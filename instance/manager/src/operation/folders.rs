//! Moving and removing whole folders, so that doing it again after a kill ends it.

use std::ffi::OsString;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::{fs, io};

use remotelab_config::atomic;
use serde::{Deserialize, Serialize};

use super::Error;

/// One folder and where it goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Move {
    /// Where it is.
    pub from: PathBuf,
    /// Where it is to be: absent, or an empty folder.
    pub to: PathBuf,
}

impl Move {
    /// The way back.
    #[must_use]
    pub fn reversed(&self) -> Self {
        Self { from: self.to.clone(), to: self.from.clone() }
    }
}

/// Moves a folder, also to another file system. What is not there is moved already, or never was.
pub(super) fn carry(step: &Move) -> Result<(), Error> {
    let Move { from, to } = step;
    let [partial, leaving] = [beside(to, ".partial"), beside(from, ".leaving")];
    let cannot = |error| atomic::Error::new("move", from, error);
    if exists(from) {
        if let Some(parent) = to.parent() {
            atomic::create_private_dir(parent)?;
        }
        // Only an empty one goes.
        let _ = fs::remove_dir(to);
        if exists(to) {
            return Err(atomic::Error::new("make", to, io::ErrorKind::AlreadyExists).into());
        }
        match fs::rename(from, to) {
            Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
                copy_whole(from, &partial, &leaving)?;
            }
            outcome => outcome.map_err(cannot)?,
        }
    }
    if exists(&partial) {
        // The original has left its place, so the copy is whole.
        fs::rename(&partial, to).map_err(cannot)?;
    }
    sync_parent(to)?;
    sync_parent(from)?;
    purge(&leaving)
}

/// Undoes a move, however far it came.
pub(super) fn carry_back(step: &Move) -> Result<(), Error> {
    if exists(&step.from) {
        return purge(&beside(&step.to, ".partial"));
    }
    carry(step)?;
    carry(&step.reversed())
}

/// Removes a folder with all that is in it; links are removed, not followed. What is not there is removed
/// already.
pub(super) fn purge(folder: &Path) -> Result<(), Error> {
    match fs::symlink_metadata(folder)
        .and_then(|data| if data.is_dir() { fs::remove_dir_all(folder) } else { fs::remove_file(folder) })
    {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(atomic::Error::new("remove", folder, error).into())
        }
        _ => Ok(()),
    }
}

/// Copies a folder and puts it out of the way only when the copy is whole.
fn copy_whole(from: &Path, partial: &Path, leaving: &Path) -> Result<(), Error> {
    purge(partial)?;
    copy(from, partial).map_err(|error| atomic::Error::new("copy", from, error))?;
    sync_parent(partial)?;
    purge(leaving)?;
    Ok(fs::rename(from, leaving).map_err(|error| atomic::Error::new("move", from, error))?)
}

/// Copies folders, files and links with their modes and times. Sockets and pipes belong to processes that are gone.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let data = fs::symlink_metadata(from)?;
    if data.is_symlink() {
        return symlink(fs::read_link(from)?, to);
    }
    if data.is_file() {
        fs::copy(from, to)?;
        let file = fs::File::options().append(true).open(to)?;
        file.set_times(fs::FileTimes::new().set_modified(data.modified()?))?;
        return file.sync_all();
    }
    if data.is_dir() {
        fs::create_dir(to)?;
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            copy(&entry.path(), &to.join(entry.file_name()))?;
        }
        fs::set_permissions(to, data.permissions())?;
        return atomic::sync_dir(to);
    }
    Ok(())
}

fn exists(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.file_name().map_or_else(OsString::new, OsString::from);
    name.push(end);
    path.with_file_name(name)
}

fn sync_parent(path: &Path) -> Result<(), Error> {
    let Some(parent) = path.parent().filter(|parent| parent.exists()) else {
        return Ok(());
    };
    Ok(atomic::sync_dir(parent).map_err(|error| atomic::Error::new("sync", parent, error))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_move_to_another_file_system_is_whole_wherever_it_was_cut_off() {
        let root = tempfile::tempdir().unwrap();
        let [from, to] = ["from", "to"].map(|name| root.path().join(name));
        let [partial, leaving] = [beside(&to, ".partial"), beside(&from, ".leaving")];
        fs::create_dir_all(from.join("deep")).unwrap();
        fs::write(from.join("deep/file"), "x").unwrap();
        fs::set_permissions(from.join("deep/file"), fs::Permissions::from_mode(0o600)).unwrap();
        symlink("/etc/passwd", from.join("link")).unwrap();
        let step = Move { from: from.clone(), to: to.clone() };
        // Killed while it was being copied.
        fs::create_dir(&partial).unwrap();
        carry_back(&step).unwrap();
        assert!(from.exists() && !partial.exists());
        // Killed when the copy was whole, and while the original was being removed.
        copy_whole(&from, &partial, &leaving).unwrap();
        carry(&step).unwrap();
        fs::create_dir(&leaving).unwrap();
        carry(&step).unwrap();
        assert_eq!(fs::read_link(to.join("link")).unwrap(), Path::new("/etc/passwd"));
        assert_eq!(fs::metadata(to.join("deep/file")).unwrap().permissions().mode() & 0o777, 0o600);
        // Undone from every state.
        carry_back(&step).unwrap();
        copy_whole(&from, &partial, &leaving).unwrap();
        carry_back(&step).unwrap();
        carry_back(&step).unwrap();
        let left: Vec<_> = fs::read_dir(root.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(left, [from.as_path()]);
        assert_eq!(fs::read_to_string(from.join("deep/file")).unwrap(), "x");
    }

    #[test]
    fn nothing_is_overwritten_and_no_link_followed() {
        let root = tempfile::tempdir().unwrap();
        let [from, to] = ["from", "to"].map(|name| root.path().join(name));
        fs::create_dir_all(to.join("full")).unwrap();
        fs::create_dir(&from).unwrap();
        assert!(carry(&Move { from: from.clone(), to: to.clone() }).is_err());
        symlink(&to, from.join("link")).unwrap();
        purge(&from).unwrap();
        purge(&from).unwrap();
        assert!(to.join("full").exists());
    }
}
